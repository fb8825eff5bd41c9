package resolve

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/precheck"
	"github.com/agogopay/agogo/internal/restore"
	"github.com/agogopay/agogo/internal/review"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// CancelCharge ends a charge that is not paid and not on its way. What its gateway said of it is believed for an hour, as when it is sent.
func (r *Resolver) CancelCharge(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, _ string) error {
	sub, err := r.lock(ctx, tx, tenant, id)
	if err != nil {
		return err
	}
	if err := r.endable(ctx, tx, sub); err != nil {
		return err
	}
	if err := r.cancel(ctx, tx, recurrence.CodeByPerson, sub.Charge); err != nil {
		return err
	}
	_, err = r.Store.CompleteFinished(ctx, tx, sub.Key())
	return err
}

// endable refuses to end a charge that may have been charged, for all that its gateway has said within the hour; see ADR 10 and 18.
func (r *Resolver) endable(ctx context.Context, tx pgx.Tx, sub subject) error {
	switch {
	case sub.State == charge.Unknown && sub.Reason.Code == charge.CodeDenialLapsed:
		return review.Outstanding(fmt.Sprintf("charge %s was sent, and its gateway denied it too long ago", sub.ID))
	case !slices.Contains(charge.Cancellable(), sub.State):
		return refused(sub.Charge, "only a charge that is due, waits for a retry or for its customer can be cancelled")
	}
	if err := sub.proven(); err != nil {
		return err
	}
	sorted, err := r.sort(ctx, tx, sub)
	if err != nil {
		return err
	}
	_, served := r.Outcomes.Connectors.Get(sub.Tenant, sub.Gateway)
	switch {
	case len(sorted.Go) == 0 && !served:
		return rpc.Refused("sent_before_restore", "put gateway "+sub.Gateway+" back into the tenants file: it is asked then",
			"charge %s may have been sent before the restore, and nobody can ask about it", sub.ID)
	case len(sorted.Go) == 0:
		return rpc.Refused("sent_before_restore", "its gateway is being asked: give the command again when agogo restore list asks about nothing any more",
			"charge %s may have been sent before the restore", sub.ID)
	case sub.lapsed(r.Clock.Now()):
		return r.deniedOnce(ctx, tx, sub, served)
	}
	return nil
}

// deniedOnce refuses to end a charge whose denial is too old, and says when its gateway is asked anew; see [Resolver.ask].
func (r *Resolver) deniedOnce(ctx context.Context, tx pgx.Tx, sub subject, served bool) error {
	other, waits, err := r.otherUnderWay(ctx, tx, sub)
	if err != nil {
		return err
	}
	next := "its gateway is being asked anew: give the command again when agogo charges get " + sub.ID.String() + " does not say unknown any more"
	switch {
	case !served:
		next = "put gateway " + sub.Gateway + " back into the tenants file and give the command again: it is asked then"
	case waits:
		next = "its gateway is asked about one charge of a recurrence at a time: give the command again when agogo charges get " + other.ID.String() +
			" says neither submitting, processing, unknown nor manual_review any more"
	}
	return rpc.Refused("denied_once", next, "charge %s was sent, and its gateway said more than an hour ago that it knows nothing of it", sub.ID)
}

// lapsed reports whether what was sent last was denied, and too long ago to be believed.
func (s subject) lapsed(now time.Time) bool {
	a, ok := s.newest()
	return ok && a.State == attempt.NotSent && a.OpenedAt != nil && (a.DeniedAt == nil || now.Sub(*a.DeniedAt) > attempt.ResendWithin)
}

// sort asks, after a restore, whether a charge was sent before it; see [precheck.Gate.Sort]. What it asks for is kept when the transaction is.
func (r *Resolver) sort(ctx context.Context, tx pgx.Tx, sub subject) (precheck.Sorted, error) {
	start, mark := attempt.Start{}, restore.Mark{}
	if r.Gate != nil {
		var err error
		if mark, err = r.Gate.Mark(ctx, tx); err != nil {
			return precheck.Sorted{}, err
		}
	}
	if mark.Epoch == 0 {
		return precheck.Sorted{Go: []attempt.Start{start}}, nil
	}
	cards, err := r.Store.Cards(ctx, tx, sub.CardID)
	if err != nil {
		return precheck.Sorted{}, err
	}
	newest, _ := sub.newest()
	number := attempt.Next(sub.Attempt, newest.State, false)
	start = attempt.Start{
		Key: attempt.Key{Subject: sub.ID, Number: number}, Tenant: sub.Tenant, Provider: sub.Gateway, Reference: charge.Reference(sub.ID, number),
		Amount: sub.Amount, Destination: cards[0].Destination(), Day: charge.MadeUp(sub.Cycle),
	}
	of := precheck.Of{Tenant: sub.Tenant, Provider: sub.Gateway, Sends: true, At: func(uuid.UUID) run.Place { return placeOf(sub.Charge) }}
	return r.Gate.Sort(ctx, tx, mark, of, []attempt.Start{start})
}

// placeOf is where a charge is sent from, or would be.
func placeOf(c store.Charge) run.Place {
	if c.Send.Wanted() {
		return run.Place{Run: c.Send.Run, Page: c.Send.Page}
	}
	return run.Place{Run: c.RunID}
}

// AskAnew has the gateway of a charge asked which somebody was refused to end because its word is too old, or missing: after a restore about what may have
// been sent before it, and takes over what turns out to have been; otherwise about what it denied. It changes nothing that could be ended.
func (r *Resolver) AskAnew(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID) (asked bool, err error) {
	sub, err := r.lock(ctx, tx, tenant, id)
	if err != nil {
		return false, err
	}
	if !sub.over() {
		return false, nil
	}
	return r.ask(ctx, tx, sub)
}

// over reports whether nothing of a charge that may be cancelled is on its way or being asked about, as far as its attempts say.
func (s subject) over() bool {
	return slices.Contains(charge.Cancellable(), s.State) && s.proven() == nil
}

// ask asks about a charge that is locked. While another one of its recurrence is on its way or in doubt it cannot be in doubt too.
func (r *Resolver) ask(ctx context.Context, tx pgx.Tx, sub subject) (asked bool, err error) {
	if _, served := r.Outcomes.Connectors.Get(sub.Tenant, sub.Gateway); !served {
		return false, nil
	}
	sorted, err := r.sort(ctx, tx, sub)
	switch {
	case err != nil:
		return false, err
	case len(sorted.Adopt) > 0:
		return true, r.adopt(ctx, tx, sub, sorted.Adopt)
	case sorted.Asked > 0:
		return true, nil
	case !sub.lapsed(r.Clock.Now()):
		return false, nil
	}
	if _, waits, err := r.otherUnderWay(ctx, tx, sub); err != nil || waits {
		return false, err
	}
	newest, _ := sub.newest()
	return true, r.Outcomes.Doubt(ctx, tx, []attempt.Start{{Key: newest.Key}})
}

// otherUnderWay finds a charge of the same recurrence that keeps this one, which is neither, from being in doubt.
func (r *Resolver) otherUnderWay(ctx context.Context, tx pgx.Tx, sub subject) (other store.Charge, found bool, err error) {
	unpaid, err := r.Store.Unpaid(ctx, tx, sub.Key())
	if err != nil {
		return store.Charge{}, false, err
	}
	all := unpaid[sub.Key()]
	i := slices.IndexFunc(all, underWay)
	if i < 0 {
		return store.Charge{}, false, nil
	}
	return all[i], true, nil
}

// underWay reports whether a charge is on its way or in doubt.
func underWay(c store.Charge) bool {
	return c.State != charge.Due && slices.Contains(charge.Unresolved(), c.State)
}

// adopt takes over what the gateway has of a charge from before a restore: a lookup tells its outcome.
func (r *Resolver) adopt(ctx context.Context, tx pgx.Tx, sub subject, found []precheck.Adoption) error {
	conn, ok := r.Outcomes.Connectors.Get(sub.Tenant, sub.Gateway)
	if !ok {
		return nil
	}
	send := store.Send{Run: sub.RunID, Date: r.Store.Today(sub.Tenant), Cause: store.ByRun} // the day of the attempt, which nobody knows any more
	if _, err := r.Store.WantSent(ctx, tx, send, sub.ID); err != nil {
		return err
	}
	begun := func(ctx context.Context, tx pgx.Tx, begun []attempt.Attempt) error {
		changes := make([]store.ChargeChange, len(begun))
		for i, a := range begun {
			changes[i] = store.ChargeChange{
				ID: a.Subject, From: []charge.State{sub.State}, To: charge.Submitting, Attempt: a.Number, Reference: a.Reference,
				Tried: a.Number - found[i].Number, // what was lost before it counts
			}
		}
		moved, err := r.Store.ApplyCharges(ctx, tx, changes)
		if err == nil && len(moved) != len(changes) {
			err = fmt.Errorf("take over charge %s: it is %s", sub.ID, sub.State)
		}
		return err
	}
	moved, err := r.Gate.Adopt(ctx, tx, "ending/"+uuid.NewString(), conn.Policy.Lease, found, begun)
	if err != nil {
		return err
	}
	return r.Outcomes.Apply(ctx, tx, moved)
}

// cancelOpen ends what is open of a recurrence that has just ended. What may have been charged stays for now, and its gateway is asked: see
// [Resolver.Ending].
func (r *Resolver) cancelOpen(ctx context.Context, tx pgx.Tx, open []store.Charge) error {
	attempts, err := attempt.OfSubjects(ctx, tx, idsOf(open)...)
	if err != nil {
		return err
	}
	var over, left []store.Charge
	for _, c := range open { // of one recurrence
		ended, err := r.endOrAsk(ctx, tx, subject{Charge: c, attempts: attempts[c.ID]})
		switch {
		case err != nil:
			return err
		case ended:
			over = append(over, c)
		default:
			left = append(left, c)
		}
	}
	if err := r.Store.LeaveOpen(ctx, tx, left...); err != nil {
		return err
	}
	return r.cancel(ctx, tx, recurrence.CodeByPerson, over...)
}

// endOrAsk reports whether a charge may end, for all that its gateway has said. Otherwise the gateway is asked, if it can be at the moment.
func (r *Resolver) endOrAsk(ctx context.Context, tx pgx.Tx, sub subject) (ended bool, err error) {
	switch err := r.endable(ctx, tx, sub); {
	case err == nil:
		return true, nil
	case status.Code(err) != codes.FailedPrecondition:
		return false, err
	case sub.over():
		_, err := r.ask(ctx, tx, sub)
		return false, err
	default: // it is being asked about, or the gateway contradicts itself
		return false, nil
	}
}

// cancel ends charges, which the caller has locked, and the waiting of their runs.
func (r *Resolver) cancel(ctx context.Context, tx pgx.Tx, code string, charges ...store.Charge) error {
	changes := make([]store.ChargeChange, len(charges))
	for i, c := range charges {
		changes[i] = store.ChargeChange{
			ID: c.ID, From: []charge.State{c.State}, To: charge.Cancelled, Reason: store.Reason{Code: code},
		}
	}
	if _, err := r.Store.ApplyCharges(ctx, tx, changes); err != nil {
		return err
	}
	return r.Runs.Settle(ctx, tx, senders(charges)...)
}

// senders lists the runs that were to send charges.
func senders(charges []store.Charge) []uuid.UUID {
	var ids []uuid.UUID
	for _, c := range charges {
		if c.Send.Wanted() && !slices.Contains(ids, c.Send.Run) {
			ids = append(ids, c.Send.Run)
		}
	}
	return ids
}
