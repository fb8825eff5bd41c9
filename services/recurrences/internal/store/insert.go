package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/outbox"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store/db"
)

// InsertRecurrences stores recurrences in their first states, with the event of each, and returns those that were not there
// yet. Their cards are.
func (s *Store) InsertRecurrences(ctx context.Context, tx pgx.Tx, all []Recurrence) ([]Recurrence, error) {
	if len(all) == 0 {
		return nil, nil
	}
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b Recurrence) int { return compareKeys(a.Key, b.Key) })
	rows, err := db.New(tx).InsertRecurrences(ctx, s.insertion(all))
	if err != nil {
		return nil, fmt.Errorf("insert recurrences: %w", err)
	}
	fresh := map[Key]bool{}
	for _, r := range rows {
		fresh[Key{r.Tenant, r.RecurrenceID}] = true
	}
	all = slices.DeleteFunc(all, func(r Recurrence) bool { return !fresh[r.Key] })
	msgs := make([]outbox.Message, 0, len(all))
	for i := range all {
		r := &all[i]
		r.Previous, r.Version = "", 1
		t, err := next(event.Recurrence, "", string(r.State), "")
		if err != nil {
			return nil, fmt.Errorf("recurrence %s: %w", r.ID, err)
		}
		msg, err := s.Event(ctx, r.Tenant, t, r.ID, 1, RecurrenceSnapshot(*r, 0))
		if err != nil {
			return nil, err
		}
		msgs = append(msgs, msg)
	}
	return all, s.Outbox.Append(ctx, tx, msgs...)
}

func (s *Store) insertion(all []Recurrence) db.InsertRecurrencesParams {
	p := db.InsertRecurrencesParams{Now: s.Clock.Now()}
	for _, r := range all {
		t, imported := r.Terms, r.Imported
		if imported == nil {
			imported = []byte("{}")
		}
		p.Tenants, p.Ids = append(p.Tenants, r.Tenant), append(p.Ids, r.ID)
		p.CustomerIds, p.CustomerNames = append(p.CustomerIds, r.CustomerID), append(p.CustomerNames, r.CustomerName)
		p.SellerIds, p.Descriptions = append(p.SellerIds, r.SellerID), append(p.Descriptions, r.Description)
		p.Currencies, p.Amounts = append(p.Currencies, string(r.Amount.Currency)), append(p.Amounts, r.Amount.Minor)
		p.Periods, p.AnchorDays = append(p.Periods, string(t.Period)), append(p.AnchorDays, int32(t.Day))
		p.AnchorMonths, p.Intervals = append(p.AnchorMonths, int32(t.Month)), append(p.Intervals, int32(t.Interval))
		p.NextCycles = append(p.NextCycles, r.At.Next.Date.String())
		p.NextChargeDates = append(p.NextChargeDates, r.At.Next.ChargeOn.String())
		p.EndDates, p.MaxCycles = append(p.EndDates, t.EndDate.String()), append(p.MaxCycles, int32(t.MaxCycles))
		p.Cycles, p.CardIds = append(p.Cycles, int32(r.At.Cycles)), append(p.CardIds, r.CardID)
		p.States = append(p.States, string(r.State))
		p.ReasonClasses, p.ReasonScopes = append(p.ReasonClasses, r.Reason.Class), append(p.ReasonScopes, r.Reason.Scope)
		p.ReasonCodes, p.ProviderCodes = append(p.ReasonCodes, r.Reason.Code), append(p.ProviderCodes, r.Reason.ProviderCode)
		p.HeldBys, p.EndedAts = append(p.HeldBys, timeOrZero(r.HeldBy)), append(p.EndedAts, timeOrZero(r.EndedAt))
		p.Importeds = append(p.Importeds, string(imported))
	}
	return p
}

// InsertCharges stores charges that are due, each with its event, and returns those that were not there yet: a cycle has
// one charge, however often it is planned.
func (s *Store) InsertCharges(ctx context.Context, tx pgx.Tx, all []Charge) ([]Charge, error) {
	if len(all) == 0 {
		return nil, nil
	}
	all = slices.Clone(all)
	for i := range all {
		c := &all[i]
		c.ID = charge.ID(c.Tenant, c.RecurrenceID, c.Cycle.Date.String())
		c.State, c.Previous, c.Version = charge.Due, "", 1
	}
	slices.SortFunc(all, func(a, b Charge) int { return compareIDs(a.ID, b.ID) })
	ids, err := db.New(tx).InsertCharges(ctx, s.dues(all))
	if err != nil {
		return nil, fmt.Errorf("insert charges: %w", err)
	}
	all = slices.DeleteFunc(all, func(c Charge) bool { return !slices.Contains(ids, c.ID) })
	msgs := make([]outbox.Message, 0, len(all))
	for _, c := range all {
		t, err := next(event.Charge, "", string(c.State), "")
		if err != nil {
			return nil, err
		}
		msg, err := s.Event(ctx, c.Tenant, t, c.ID.String(), 1, ChargeSnapshot(c))
		if err != nil {
			return nil, err
		}
		msgs = append(msgs, msg)
	}
	return all, s.Outbox.Append(ctx, tx, msgs...)
}

func (s *Store) dues(all []Charge) db.InsertChargesParams {
	p := db.InsertChargesParams{Now: s.Clock.Now()}
	for _, c := range all {
		p.Ids, p.Tenants, p.RecurrenceIds = append(p.Ids, c.ID), append(p.Tenants, c.Tenant), append(p.RecurrenceIds, c.RecurrenceID)
		p.Cycles, p.ChargeDates = append(p.Cycles, c.Cycle.Date.String()), append(p.ChargeDates, c.Cycle.ChargeOn.String())
		p.CustomerIds, p.SellerIds = append(p.CustomerIds, c.CustomerID), append(p.SellerIds, c.SellerID)
		p.CardIds, p.Gateways = append(p.CardIds, c.CardID), append(p.Gateways, c.Gateway)
		p.Currencies, p.Amounts = append(p.Currencies, string(c.Amount.Currency)), append(p.Amounts, c.Amount.Minor)
		p.SendRuns, p.SendPages = append(p.SendRuns, c.Send.Run), append(p.SendPages, int32(c.Send.Page))
		p.SendDates, p.SendCauses = append(p.SendDates, c.Send.Date.String()), append(p.SendCauses, c.Send.Cause)
		p.RunIds, p.NominalTimes = append(p.RunIds, c.RunID), append(p.NominalTimes, c.NominalTime)
	}
	return p
}

// Missed is a cycle that is too late to be charged by itself.
type Missed struct {
	Key   Key
	Cycle recurrence.Cycle
	RunID uuid.UUID
}

// InsertMissed keeps missed cycles for people, who may charge them. The event is the recurrence's cycle_missed.
func (s *Store) InsertMissed(ctx context.Context, tx pgx.Tx, all []Missed) error {
	if len(all) == 0 {
		return nil
	}
	p := db.InsertMissedParams{Now: s.Clock.Now()}
	for _, m := range all {
		p.Tenants, p.Ids, p.RunIds = append(p.Tenants, m.Key.Tenant), append(p.Ids, m.Key.ID), append(p.RunIds, m.RunID)
		p.Cycles, p.ChargeDates = append(p.Cycles, m.Cycle.Date.String()), append(p.ChargeDates, m.Cycle.ChargeOn.String())
	}
	if err := db.New(tx).InsertMissed(ctx, p); err != nil {
		return fmt.Errorf("insert missed cycles: %w", err)
	}
	return nil
}

// TakeMissed takes a cycle out of the missed ones, or reports that it is none.
func (s *Store) TakeMissed(ctx context.Context, tx pgx.Tx, k Key, cycle recurrence.Date) (m Missed, ok bool, err error) {
	rows, err := db.New(tx).TakeMissed(ctx, db.TakeMissedParams{Tenant: k.Tenant, RecurrenceID: k.ID, Cycle: cycle.String()})
	if err != nil || len(rows) == 0 {
		return Missed{}, false, err
	}
	return Missed{Key: k, Cycle: recurrence.Cycle{Date: cycle, ChargeOn: rows[0].ChargeDate}, RunID: rows[0].RunID}, true, nil
}

// Digest tells a seller what of theirs is on hold on a local date.
type Digest struct {
	Tenant        string
	SellerID      string
	On            recurrence.Date
	RecurrenceIDs []string
	Total         money.Amount
	RunID         uuid.UUID
}

// InsertDigests stores digests and their events, one per seller and date, and returns how many were not there yet.
func (s *Store) InsertDigests(ctx context.Context, tx pgx.Tx, all []Digest) (int, error) {
	if len(all) == 0 {
		return 0, nil
	}
	p, byID := db.InsertDigestsParams{Now: s.Clock.Now()}, map[uuid.UUID]Digest{}
	for _, d := range all {
		id := recurrence.DigestID(d.Tenant, d.SellerID, d.On)
		list, err := json.Marshal(d.RecurrenceIDs)
		if err != nil {
			return 0, fmt.Errorf("digest of %s: %w", d.SellerID, err)
		}
		byID[id] = d
		p.Ids, p.Tenants, p.SellerIds = append(p.Ids, id), append(p.Tenants, d.Tenant), append(p.SellerIds, d.SellerID)
		p.LocalDates, p.RecurrenceIds = append(p.LocalDates, d.On.String()), append(p.RecurrenceIds, string(list))
		p.Currencies, p.Totals = append(p.Currencies, string(d.Total.Currency)), append(p.Totals, d.Total.Minor)
		p.RunIds = append(p.RunIds, d.RunID)
	}
	fresh, err := db.New(tx).InsertDigests(ctx, p)
	if err != nil {
		return 0, fmt.Errorf("insert digests: %w", err)
	}
	slices.SortFunc(fresh, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	msgs := make([]outbox.Message, 0, len(fresh))
	for _, id := range fresh {
		d := byID[id]
		msg, err := s.Event(ctx, d.Tenant, "hold_digest.created", id.String(), 1, &eventsv1.HoldDigest{
			DigestId: id.String(), Tenant: d.Tenant, SellerId: d.SellerID, LocalDate: d.On.String(), State: "created",
			RecurrenceIds: d.RecurrenceIDs, Total: MoneyProto(d.Total),
		})
		if err != nil {
			return 0, err
		}
		msgs = append(msgs, msg)
	}
	return len(fresh), s.Outbox.Append(ctx, tx, msgs...)
}
