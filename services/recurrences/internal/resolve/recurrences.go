package resolve

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// Pause keeps a recurrence from being charged until a person resumes it. What is on its way is seen to its end.
func (r *Resolver) Pause(ctx context.Context, tx pgx.Tx, tenant, id, _ string) error {
	owner, unpaid, err := r.agreement(ctx, tx, store.Key{Tenant: tenant, ID: id})
	if err != nil {
		return err
	}
	err = r.move(ctx, tx, owner, recurrence.Paused, "only what is active or past due can be paused", recurrence.Active, recurrence.PastDue)
	if err != nil {
		return err
	}
	// What is in doubt may go on after it, so that is not sent either.
	if err := r.Store.UnwantSent(ctx, tx, idsOf(unpaid)...); err != nil {
		return err
	}
	return r.Runs.Settle(ctx, tx, senders(waitingOf(unpaid))...)
}

// Resume has a paused recurrence charged again: what was due when it was paused now, its next cycle by the rules of the
// morning job, and what was declined on its next retry day; see [Resolver.carryOn] for what is too late for that.
func (r *Resolver) Resume(ctx context.Context, tx pgx.Tx, tenant, id, _ string) error {
	owner, unpaid, err := r.agreement(ctx, tx, store.Key{Tenant: tenant, ID: id})
	if err != nil {
		return err
	}
	retried, due, err := r.carryOn(ctx, tx, unpaid)
	if err != nil {
		return err
	}
	to := recurrence.Active
	if retried {
		to = recurrence.PastDue
	}
	if err := r.move(ctx, tx, owner, to, "only a paused recurrence can be resumed", recurrence.Paused); err != nil {
		return err
	}
	if err := r.send(ctx, tx, store.ByRun, due...); err != nil {
		return err
	}
	_, err = r.Store.CompleteFinished(ctx, tx, owner.Key)
	return err
}

// carryOn gives declined charges that have no day for their next retry one, gives up what is due and too late to be sent by
// itself, and returns whether anything is retried, and what is due. Whether a retry is too late is for the tick to say that it
// waits for: it has a date of its own.
func (r *Resolver) carryOn(ctx context.Context, tx pgx.Tx, unpaid []store.Charge) (retried bool, due []store.Charge, err error) {
	var over []store.ChargeChange
	on := map[uuid.UUID]recurrence.Date{}
	for _, c := range unpaid {
		rules, today := r.Outcomes.Retries(c.Tenant), r.Store.Today(c.Tenant)
		next, more := today, true
		switch {
		case c.Contradicted:
			continue
		case underWay(c): // when nothing comes of it, it waits for the retry that it had
			retried = retried || c.RetryOn != 0
			continue
		case c.State != charge.Due && c.State != charge.FailedSoft:
			continue
		case c.Send.Wanted():
			retried = retried || c.State == charge.FailedSoft
			continue
		case c.State == charge.FailedSoft && c.RetryOn != 0:
			next = c.RetryOn
		case c.State == charge.FailedSoft:
			next, more = rules.Next(c.FirstAttempt, c.LastAttempt, c.Tries)
		}
		switch {
		case !more:
			over = append(over, givenUp(c, recurrence.CodeRetriesOver))
		case c.State == charge.Due && today > rules.Until(c.Cycle.ChargeOn, c.FirstAttempt):
			over = append(over, givenUp(c, charge.CodeTooLate))
		case c.State == charge.Due:
			due = append(due, c)
		default:
			on[c.ID], retried = next, true
		}
	}
	if _, err := r.Store.ApplyCharges(ctx, tx, over); err != nil {
		return false, nil, err
	}
	return retried, due, r.Store.ScheduleRetries(ctx, tx, on)
}

// givenUp is a charge that is a person's to send from now on.
func givenUp(c store.Charge, code string) store.ChargeChange {
	return store.ChargeChange{ID: c.ID, From: []charge.State{c.State}, To: charge.Exhausted, Reason: store.Reason{Code: code}}
}

// Cancel ends a recurrence, and with it what is not paid of it and not on its way.
func (r *Resolver) Cancel(ctx context.Context, tx pgx.Tx, tenant, id, _ string) error {
	owner, unpaid, err := r.agreement(ctx, tx, store.Key{Tenant: tenant, ID: id})
	if err != nil {
		return err
	}
	err = r.move(ctx, tx, owner, recurrence.Cancelled, "what has ended cannot be cancelled",
		recurrence.Active, recurrence.PastDue, recurrence.Paused, recurrence.Hold)
	if err != nil {
		return err
	}
	open := waitingOf(unpaid)
	if err := r.Store.UnwantSent(ctx, tx, idsOf(open)...); err != nil {
		return err
	}
	cancellable := slices.DeleteFunc(slices.Clone(open), func(c store.Charge) bool { return !slices.Contains(charge.Cancellable(), c.State) })
	if err := r.cancelOpen(ctx, tx, cancellable); err != nil {
		return err
	}
	return r.Runs.Settle(ctx, tx, senders(open)...)
}

// Reactivate ends a hold by a person's word. A charge that was declined goes on with its retries if any are left; others are
// for the person to charge.
func (r *Resolver) Reactivate(ctx context.Context, tx pgx.Tx, tenant, id, _ string) error {
	owner, unpaid, err := r.agreement(ctx, tx, store.Key{Tenant: tenant, ID: id})
	if err != nil {
		return err
	}
	cards, err := r.Store.Cards(ctx, tx, owner.CardID)
	if err != nil {
		return err
	}
	if owner.State == recurrence.Hold && cards[0].State == store.CardInvalid {
		return invalidCard(owner)
	}
	if owner.State == recurrence.Hold && cards[0].Network.Forbidden {
		return forbiddenCard(owner)
	}
	if err := r.move(ctx, tx, owner, recurrence.Active, "only a recurrence on hold is reactivated", recurrence.Hold); err != nil {
		return err
	}
	retried, _, err := r.carryOn(ctx, tx, unpaid)
	if err != nil {
		return err
	}
	if retried { // past due is what the retry job looks for
		owner.State = recurrence.Active
		return r.move(ctx, tx, owner, recurrence.PastDue, "", recurrence.Active)
	}
	_, err = r.Store.CompleteFinished(ctx, tx, owner.Key)
	return err
}

// SetCard gives a recurrence another card. What is open of one that is past due or on hold is tried with it at once; paid, it
// is active, and on hold otherwise. A hold that only waited for a card, with nothing left to pay, is over.
func (r *Resolver) SetCard(ctx context.Context, tx pgx.Tx, tenant, id, token, brand string) error {
	card := store.Card{ID: store.CardID(tenant, token), Tenant: tenant, Token: token, Brand: brand}
	if err := r.Store.InsertCards(ctx, tx, []store.Card{card}); err != nil {
		return err
	}
	owner, unpaid, err := r.agreement(ctx, tx, store.Key{Tenant: tenant, ID: id}, card.ID)
	if err != nil {
		return err
	}
	known, err := r.Store.Cards(ctx, tx, card.ID)
	if err != nil {
		return err
	}
	switch {
	case recurrence.Ended(owner.State):
		return refusedRecurrence(owner, "what has ended needs no card")
	case known[0].State == store.CardInvalid:
		return invalidCard(owner)
	case known[0].Network.Forbidden:
		return forbiddenCard(owner)
	case known[0].Brand != brand:
		return rpc.Invalid("brand", "this token is known as one of %s", known[0].Brand)
	}
	_, err = r.Store.ApplyRecurrences(ctx, tx, []store.RecurrenceChange{{
		Key: owner.Key, From: []recurrence.State{owner.State}, To: owner.State, Event: "recurrence.payment_method_updated", CardID: card.ID,
	}})
	if err != nil || (owner.State != recurrence.PastDue && owner.State != recurrence.Hold) {
		return err
	}
	open := slices.DeleteFunc(waitingOf(unpaid), func(c store.Charge) bool { return c.Contradicted || charge.GivenBack(c.Reason.Code) })
	if len(open) == 0 && len(unpaid) == 0 && owner.State == recurrence.Hold && charge.HeldForCard(owner.Reason.Code) {
		return r.move(ctx, tx, owner, recurrence.Active, "", recurrence.Hold)
	}
	return r.send(ctx, tx, store.ByCard, open...)
}

// recurrence holds one recurrence.
func (r *Resolver) recurrence(ctx context.Context, tx pgx.Tx, k store.Key) (store.Recurrence, error) {
	found, err := r.Store.LockRecurrences(ctx, tx, k)
	if err != nil {
		return store.Recurrence{}, err
	}
	if len(found) == 0 {
		return store.Recurrence{}, rpc.NotFound("recurrence", k.ID)
	}
	return found[0], nil
}

// agreement holds a recurrence with what is unpaid of it, charges first, then the given cards, as everybody does. A charge that
// appears in between is the morning job's, which has the recurrence to itself until it commits.
func (r *Resolver) agreement(ctx context.Context, tx pgx.Tx, k store.Key, cards ...uuid.UUID) (store.Recurrence, []store.Charge, error) {
	seen, err := r.Store.Unpaid(ctx, tx, k)
	if err != nil {
		return store.Recurrence{}, nil, err
	}
	if _, err := r.Store.LockCharges(ctx, tx, idsOf(seen[k])...); err != nil {
		return store.Recurrence{}, nil, err
	}
	if _, err := r.Store.LockCards(ctx, tx, cards...); err != nil {
		return store.Recurrence{}, nil, err
	}
	owner, err := r.recurrence(ctx, tx, k)
	if err != nil {
		return store.Recurrence{}, nil, err
	}
	unpaid, err := r.Store.Unpaid(ctx, tx, k)
	return owner, unpaid[k], err
}

// move changes the state of a recurrence that the caller holds.
func (r *Resolver) move(ctx context.Context, tx pgx.Tx, owner store.Recurrence, to recurrence.State, next string, from ...recurrence.State) error {
	moved, err := r.Store.ApplyRecurrences(ctx, tx, []store.RecurrenceChange{{
		Key: owner.Key, From: from, To: to, Reason: store.Reason{Code: recurrence.CodeByPerson},
	}})
	if err != nil {
		return err
	}
	if len(moved) == 0 {
		return refusedRecurrence(owner, next)
	}
	return nil
}

// waitingOf are the charges that are neither on their way nor in doubt.
func waitingOf(unpaid []store.Charge) []store.Charge {
	return slices.DeleteFunc(slices.Clone(unpaid), func(c store.Charge) bool { return !slices.Contains(charge.Open(), c.State) })
}

func idsOf(charges []store.Charge) []uuid.UUID {
	ids := make([]uuid.UUID, len(charges))
	for i, c := range charges {
		ids[i] = c.ID
	}
	return ids
}

func refusedRecurrence(r store.Recurrence, next string) error {
	return rpc.Refused("state", next, "recurrence %s is %s", r.ID, r.State)
}

func invalidCard(r store.Recurrence) error {
	return rpc.Refused("card_invalid", "give it another card: agogo recurrences set-card "+r.ID+" --card TOKEN --brand BRAND --reason TEXT", "the card of recurrence %s does not work any more", r.ID)
}

func forbiddenCard(r store.Recurrence) error {
	return rpc.Refused(charge.CodeNever, "have the customer give another card: agogo recurrences set-card "+r.ID+" --card TOKEN --brand BRAND --reason TEXT",
		"the network of the card of recurrence %s forbids another attempt with it", r.ID)
}
