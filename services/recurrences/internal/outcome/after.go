package outcome

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// cancelEnded cancels what came back unpaid to a recurrence that has ended meanwhile: nothing would ever send it.
func (o *Outcomes) cancelEnded(ctx context.Context, tx pgx.Tx, all []news, v view) error {
	var changes []store.ChargeChange
	for _, n := range all {
		r, ok := v.recurrences[n.before.Key()]
		if ok && charge.Over(r.State, r.Reason.Code) && !n.before.Contradicted && slices.Contains(charge.Cancellable(), n.outcome.State) {
			changes = append(changes, store.ChargeChange{
				ID: n.before.ID, From: charge.Cancellable(), To: charge.Cancelled, Reason: store.Reason{Code: charge.CodeEnded},
			})
		}
	}
	_, err := o.Store.ApplyCharges(ctx, tx, changes)
	return err
}

// tryNewCards has charges that an old card was declined for, or that never left, sent with the card that was given while they were on their way
// or in doubt: whoever gave it could not have them sent. So it has those of which nobody can tell whether the new card was declined.
func (o *Outcomes) tryNewCards(ctx context.Context, tx pgx.Tx, all []news, v view) error {
	for _, n := range all { // hardly ever one of a batch
		r, ok := v.recurrences[n.before.Key()]
		s := v.standing(n, r)
		tries := s.TriesNewCard(n.outcome) || s.LeftToNewCard(n.outcome) || n.eitherCard && s.StillToTry(n.before.Send.Wanted())
		if !ok || !tries {
			continue
		}
		send := store.Send{Run: n.before.RunID, Date: o.Store.Today(r.Tenant), Cause: store.ByCard}
		wanted, err := o.Store.WantSent(ctx, tx, send, n.before.ID)
		if err != nil {
			return err
		}
		if len(wanted) == 0 { // the gateway contradicts itself about it
			continue
		}
		nonce := fmt.Sprintf("c/%s/%d", n.before.ID, n.Attempt.Version)
		if err := o.Runs.WakeDispatch(ctx, tx, nonce, run.Place{Run: send.Run}); err != nil {
			return err
		}
	}
	return nil
}
