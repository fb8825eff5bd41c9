package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store/db"
)

// ChargeChange moves one charge.
type ChargeChange struct {
	ID     uuid.UUID
	From   []charge.State // compare-and-set: it must be in one of these
	To     charge.State
	Event  event.Type // of a charge that stays in its state; "" is the table's
	Reason Reason
	// Attempt, Reference and CardID are set when an attempt begins ("" and the zero values leave them).
	Attempt   int
	Reference string
	CardID    uuid.UUID
	Tried     int             // added to the declined attempts, of which the newest one then is the last; -1: it is none any more; with Attempt, the one before it
	RetryOn   recurrence.Date // failed_soft: the local date of the next retry; a send and a send that never left keep the one there is
	// Again keeps the send that was under way, or is to be: nothing was charged, or nobody knows yet, and the same page sends the charge
	// again, not before a time, unless it comes to something else.
	Again     bool
	NotBefore *time.Time
	KeepsSend bool // what is to be sent still is, as the next attempt, although this was an answer
	Fee       *int64
	// TakenBack is added to what was taken back of the charge, and Reversal is the amount that the event is about.
	TakenBack charge.TakenBack
	Reversal  int64
}

// ApplyCharges makes changes in the caller's transaction, in their order, emits one event each, and returns what changed as
// it is now, once each; see [Store.ApplyRecurrences]. An answer ends the send that it answers.
func (s *Store) ApplyCharges(ctx context.Context, tx pgx.Tx, changes []ChargeChange) ([]Charge, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	ids := make([]uuid.UUID, len(changes))
	for i, c := range changes {
		ids[i] = c.ID
	}
	locked, err := s.LockCharges(ctx, tx, ids...)
	if err != nil {
		return nil, err
	}
	rows, lost := map[uuid.UUID]*Charge{}, map[uuid.UUID]bool{}
	for i := range locked {
		rows[locked[i].ID] = &locked[i]
	}
	var msgs []outbox.Message
	moved := map[uuid.UUID]bool{}
	for _, c := range changes {
		r := rows[c.ID]
		if r == nil || lost[c.ID] || !slices.Contains(c.From, r.State) {
			lost[c.ID] = true
			continue
		}
		t, err := next(event.Charge, string(r.State), string(c.To), c.Event)
		if err != nil {
			return nil, fmt.Errorf("charge %s: %w", c.ID, err)
		}
		r.change(c, s.Day(r.Tenant, r.Send))
		body := ChargeSnapshot(*r)
		if c.Reversal != 0 {
			body.Reversal = MoneyProto(money.Amount{Minor: c.Reversal, Currency: r.Amount.Currency})
		}
		msg, err := s.Event(ctx, r.Tenant, t, r.ID.String(), r.Version, body)
		if err != nil {
			return nil, err
		}
		msgs, moved[c.ID] = append(msgs, msg), true
	}
	after := slices.DeleteFunc(locked, func(r Charge) bool { return !moved[r.ID] })
	if err := s.writeCharges(ctx, db.New(tx), after); err != nil {
		return nil, err
	}
	return after, s.Outbox.Append(ctx, tx, msgs...)
}

// change is the charge after the change. Its retry stays while it is sent, and when nothing came of that.
func (r *Charge) change(c ChargeChange, day recurrence.Date) {
	if c.To == charge.Submitting {
		r.Send.Date = day
	}
	if c.To != charge.Submitting && !c.Again {
		r.RetryOn = c.RetryOn
	}
	r.answered(c)
	r.Previous, r.State, r.Version = r.State, c.To, r.Version+1
	r.Reason, r.Tries = c.Reason, r.Tries+c.Tried
	switch {
	case c.Tried > 0:
		r.TriedAttempt = r.Attempt
	case c.Tried < 0:
		r.TriedAttempt = 0 // those before it are over
	}
	if c.Attempt != 0 {
		r.Attempt, r.Reference = c.Attempt, c.Reference
	}
	if c.CardID != uuid.Nil {
		r.CardID = c.CardID
	}
	r.TakenBack = r.TakenBack.Plus(c.TakenBack)
	if c.Fee != nil {
		r.Fee = &money.Amount{Minor: *c.Fee, Currency: r.Amount.Currency}
	}
}

// answered keeps or ends the send. The day of an attempt is that on which its send began, however long ago it was planned,
// and only counts when something was sent.
func (r *Charge) answered(c ChargeChange) {
	r.NotBefore = nil
	if c.To == charge.Submitting {
		return
	}
	if c.Again && !r.Contradicted {
		r.NotBefore = c.NotBefore
		return
	}
	if r.State == charge.Submitting && !c.Again {
		r.LastAttempt = r.Send.Date
		if r.FirstAttempt == 0 {
			r.FirstAttempt = r.Send.Date
		}
	}
	if !c.KeepsSend || r.Contradicted {
		r.Send = Send{Cause: r.Send.Cause}
	}
}

func (s *Store) writeCharges(ctx context.Context, q *db.Queries, all []Charge) error {
	if len(all) == 0 {
		return nil
	}
	p := db.MoveChargesParams{Now: s.Clock.Now()}
	for _, c := range all {
		p.Ids, p.States = append(p.Ids, c.ID), append(p.States, string(c.State))
		p.ReasonClasses, p.ReasonScopes = append(p.ReasonClasses, c.Reason.Class), append(p.ReasonScopes, c.Reason.Scope)
		p.ReasonCodes, p.ProviderCodes = append(p.ReasonCodes, c.Reason.Code), append(p.ProviderCodes, c.Reason.ProviderCode)
		p.CardIds, p.Fees = append(p.CardIds, c.CardID), append(p.Fees, feeOrNone(c.Fee))
		p.Refundeds, p.Disputeds = append(p.Refundeds, c.TakenBack.Refunded), append(p.Disputeds, c.TakenBack.Disputed)
		p.ChargedBacks = append(p.ChargedBacks, c.TakenBack.ChargedBack)
		p.Attempts, p.Refs, p.Tries = append(p.Attempts, int32(c.Attempt)), append(p.Refs, c.Reference), append(p.Tries, int32(c.Tries))
		p.TriedAttempts = append(p.TriedAttempts, int32(c.TriedAttempt))
		p.FirstAttempts, p.LastAttempts = append(p.FirstAttempts, c.FirstAttempt.String()), append(p.LastAttempts, c.LastAttempt.String())
		p.RetryOns = append(p.RetryOns, c.RetryOn.String())
		p.SendRuns, p.SendPages = append(p.SendRuns, c.Send.Run), append(p.SendPages, int32(c.Send.Page))
		p.SendDates = append(p.SendDates, c.Send.Date.String())
		p.NotBefores, p.Versions = append(p.NotBefores, timeOrZero(c.NotBefore)), append(p.Versions, c.Version)
	}
	n, err := q.MoveCharges(ctx, p)
	if err != nil {
		return fmt.Errorf("move charges: %w", err)
	}
	if n != int64(len(all)) {
		return fmt.Errorf("moved %d charges of %d though all were locked", n, len(all))
	}
	return nil
}

func feeOrNone(fee *money.Amount) int64 {
	if fee == nil {
		return -1
	}
	return fee.Minor
}
