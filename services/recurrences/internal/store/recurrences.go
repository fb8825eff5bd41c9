package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store/db"
)

// RecurrenceChange moves one recurrence.
type RecurrenceChange struct {
	Key  Key
	From []recurrence.State // compare-and-set: it must be in one of these
	To   recurrence.State
	// Event is named where a state is kept for a reason of its own (cycle_missed, payment_method_updated); "" is the table's.
	Event event.Type
	// Reason is why. A change that keeps the state and gives none keeps the reason too.
	Reason Reason
	HeldBy *time.Time      // to hold: nominal time of the tick that did it
	Cycle  recurrence.Date // that the event is about
	At     *recurrence.Position
	CardID uuid.UUID // a new card; the zero id keeps the old one
}

// ApplyRecurrences makes changes in the caller's transaction, in their order, emits one event each, and returns what changed
// as it is now, once each. A recurrence may be changed several times; where one change does not find it in its From, that
// and the later ones of it are left out: someone else was faster. A transition that the state table does not have is an
// error.
func (s *Store) ApplyRecurrences(ctx context.Context, tx pgx.Tx, changes []RecurrenceChange) ([]Recurrence, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	keys := make([]Key, len(changes))
	for i, c := range changes {
		keys[i] = c.Key
	}
	locked, err := s.LockRecurrences(ctx, tx, keys...)
	if err != nil {
		return nil, err
	}
	rows, lost := map[Key]*Recurrence{}, map[Key]bool{}
	for i := range locked {
		rows[locked[i].Key] = &locked[i]
	}
	var msgs []outbox.Message
	moved := map[Key]bool{}
	for _, c := range changes {
		r := rows[c.Key]
		if r == nil || lost[c.Key] || !slices.Contains(c.From, r.State) {
			lost[c.Key] = true
			continue
		}
		t, err := next(event.Recurrence, string(r.State), string(c.To), c.Event)
		if err != nil {
			return nil, fmt.Errorf("recurrence %s: %w", c.Key.ID, err)
		}
		r.change(c, s.Clock.Now())
		msg, err := s.Event(ctx, r.Tenant, t, r.ID, r.Version, RecurrenceSnapshot(*r, c.Cycle))
		if err != nil {
			return nil, err
		}
		msgs, moved[c.Key] = append(msgs, msg), true
	}
	after := slices.DeleteFunc(locked, func(r Recurrence) bool { return !moved[r.Key] })
	if err := s.writeRecurrences(ctx, db.New(tx), after); err != nil {
		return nil, err
	}
	return after, s.Outbox.Append(ctx, tx, msgs...)
}

// change is the recurrence after the change.
func (r *Recurrence) change(c RecurrenceChange, now time.Time) {
	stays := r.State == c.To
	r.Previous, r.State, r.Version = r.State, c.To, r.Version+1
	if !stays || c.Reason != (Reason{}) {
		r.Reason = c.Reason
	}
	if !stays {
		r.HeldBy = nil
	}
	if c.HeldBy != nil && c.To == recurrence.Hold {
		r.HeldBy = c.HeldBy
	}
	if c.At != nil {
		r.At = *c.At
	}
	if c.CardID != uuid.Nil {
		r.CardID = c.CardID
	}
	if recurrence.Ended(c.To) {
		r.At.Next = recurrence.Cycle{}
		if r.EndedAt == nil {
			r.EndedAt = &now
		}
	}
}

func (s *Store) writeRecurrences(ctx context.Context, q *db.Queries, all []Recurrence) error {
	if len(all) == 0 {
		return nil
	}
	p := db.MoveRecurrencesParams{Now: s.Clock.Now()}
	for _, r := range all {
		p.Tenants, p.Ids = append(p.Tenants, r.Tenant), append(p.Ids, r.ID)
		p.States = append(p.States, string(r.State))
		p.ReasonClasses, p.ReasonScopes = append(p.ReasonClasses, r.Reason.Class), append(p.ReasonScopes, r.Reason.Scope)
		p.ReasonCodes, p.ProviderCodes = append(p.ReasonCodes, r.Reason.Code), append(p.ProviderCodes, r.Reason.ProviderCode)
		p.HeldBys, p.EndedAts = append(p.HeldBys, timeOrZero(r.HeldBy)), append(p.EndedAts, timeOrZero(r.EndedAt))
		p.NextCycles = append(p.NextCycles, r.At.Next.Date.String())
		p.NextChargeDates = append(p.NextChargeDates, r.At.Next.ChargeOn.String())
		p.Cycles, p.CardIds, p.Versions = append(p.Cycles, int32(r.At.Cycles)), append(p.CardIds, r.CardID), append(p.Versions, r.Version)
	}
	n, err := q.MoveRecurrences(ctx, p)
	if err != nil {
		return fmt.Errorf("move recurrences: %w", err)
	}
	if n != int64(len(all)) {
		return fmt.Errorf("moved %d recurrences of %d though all were locked", n, len(all))
	}
	return nil
}

// AdvanceRecurrences moves where recurrences stand without a change of state, and so without an event: their charge tells it.
// The caller has locked them.
func (s *Store) AdvanceRecurrences(ctx context.Context, tx pgx.Tx, to map[Key]recurrence.Position) error {
	if len(to) == 0 {
		return nil
	}
	p := db.AdvanceRecurrencesParams{Now: s.Clock.Now()}
	for _, k := range slices.SortedFunc(maps.Keys(to), compareKeys) {
		at := to[k]
		p.Tenants, p.Ids = append(p.Tenants, k.Tenant), append(p.Ids, k.ID)
		p.NextCycles = append(p.NextCycles, at.Next.Date.String())
		p.NextChargeDates = append(p.NextChargeDates, at.Next.ChargeOn.String())
		p.Cycles = append(p.Cycles, int32(at.Cycles))
	}
	if _, err := db.New(tx).AdvanceRecurrences(ctx, p); err != nil {
		return fmt.Errorf("advance recurrences: %w", err)
	}
	return nil
}

// CompleteFinished completes those of the recurrences that have no cycle left and nothing unpaid.
func (s *Store) CompleteFinished(ctx context.Context, tx pgx.Tx, keys ...Key) ([]Recurrence, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	tenants, ids := split(keys)
	rows, err := db.New(tx).FinishedRecurrences(ctx, db.FinishedRecurrencesParams{Tenants: tenants, Ids: ids})
	if err != nil {
		return nil, fmt.Errorf("find finished recurrences: %w", err)
	}
	changes := make([]RecurrenceChange, len(rows))
	for i, r := range rows {
		changes[i] = RecurrenceChange{
			Key: Key{r.Tenant, r.RecurrenceID}, From: []recurrence.State{recurrence.Active, recurrence.PastDue},
			To: recurrence.Completed, Reason: Reason{Code: recurrence.CodeLastCycle},
		}
	}
	return s.ApplyRecurrences(ctx, tx, changes)
}

func compareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.ID, b.ID))
}

// split sorts keys, without repetitions, into the two arrays of a query.
func split(keys []Key) (tenants, ids []string) {
	keys = slices.Clone(keys)
	slices.SortFunc(keys, compareKeys)
	for _, k := range slices.Compact(keys) {
		tenants, ids = append(tenants, k.Tenant), append(ids, k.ID)
	}
	return tenants, ids
}
