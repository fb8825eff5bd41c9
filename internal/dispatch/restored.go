package dispatch

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/precheck"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/restore"
	"github.com/agogopay/agogo/internal/run"
)

// CodeRestored is of attempts from before a restore, which a provider told of.
const CodeRestored = "restored"

// proven claims up to most rows that may be begun. After a restore these are the ones that were proven never to have been sent:
// others are asked about and count as put aside, and what turns out to have been sent is taken over. With most 0 nothing else happens.
func (l *lane) proven(ctx context.Context, tx pgx.Tx, most int) (Claim, error) {
	gate := l.d.Prechecks
	if gate == nil && most == 0 {
		return Claim{}, nil
	}
	if gate == nil {
		claim, err := l.d.Book.Claim(ctx, tx, l.Lane, most, l.resting())
		if err != nil {
			return Claim{}, err
		}
		return claim, l.doubt(ctx, tx, &claim)
	}
	mark, err := gate.Mark(ctx, tx)
	if err != nil {
		return Claim{}, err
	}
	look := most
	if l.careful(mark) {
		look = max(most, holdMost) // a whole page is asked about at once, whatever there are slots for
	}
	if look == 0 {
		return Claim{}, nil
	}
	claim, err := l.d.Book.Claim(ctx, tx, l.Lane, look, l.resting())
	if err != nil {
		return Claim{}, err
	}
	sorted, err := gate.Sort(ctx, tx, mark, run.Place{Run: l.Run.ID, Page: l.Page}, l.Connector.Tenant, l.Connector.Provider, claim.Starts, most > 0)
	if err != nil {
		return Claim{}, err
	}
	if err := l.adopt(ctx, tx, claim, sorted.Adopt); err != nil {
		return Claim{}, err
	}
	claim.Starts = sorted.Go[:min(most, len(sorted.Go))]
	claim.Held += sorted.Asked + len(sorted.Adopt)
	return claim, l.doubt(ctx, tx, &claim)
}

// doubt takes those out of a claim that have lapsed, and has them asked about.
func (l *lane) doubt(ctx context.Context, tx pgx.Tx, claim *Claim) error {
	if !slices.ContainsFunc(claim.Starts, isLapsed) {
		return nil
	}
	var lapsed []attempt.Start
	for _, s := range claim.Starts {
		if isLapsed(s) {
			lapsed = append(lapsed, s)
		}
	}
	claim.Starts = slices.DeleteFunc(slices.Clone(claim.Starts), isLapsed)
	claim.Held += len(lapsed)
	return claim.Doubt(ctx, tx, lapsed)
}

func isLapsed(s attempt.Start) bool { return s.Lapsed }

// careful reports whether the lane's run is of a day whose rows may have been sent before the restore.
func (l *lane) careful(mark restore.Mark) bool {
	day, err := time.Parse(time.DateOnly, l.Run.LocalDate)
	return mark.Epoch > 0 && (err != nil || mark.Careful(day))
}

// adopt makes the attempts that a restore has lost, as far as the provider knows them. The newest is under way until a lookup has
// told its outcome, by the same rules as for any other: it may have paid, have failed, or be of another amount. Those before it had
// ended without paying, or it would not have been sent; they are closed, and asked about all the same.
func (l *lane) adopt(ctx context.Context, tx pgx.Tx, claim Claim, found []precheck.Adoption) error {
	if len(found) == 0 {
		return nil
	}
	now := l.d.Clock.Now()
	var starts []attempt.Start
	newest := make(map[uuid.UUID]int, len(found))
	subjects := make([]uuid.UUID, 0, len(found))
	for _, f := range found {
		starts = append(starts, l.d.Prechecks.Attempts(f)...)
		newest[f.Subject], subjects = f.Upto, append(subjects, f.Subject)
	}
	owner := l.owner + "/" + uuid.NewString() // an owner begins once
	all, err := attempt.Begin(ctx, tx, owner, l.Connector.Policy.Lease, now, starts)
	if err != nil {
		return err
	}
	outcomes, current := make([]attempt.Outcome, 0, len(all)), make([]attempt.Attempt, 0, len(found))
	for _, a := range all {
		o := attempt.Outcome{Key: a.Key, Owner: owner, Sends: a.Sends, State: attempt.Failed, Result: provider.Result{Class: provider.RejectedFinal, Code: CodeRestored}, NextLookup: &now}
		if newest[a.Subject] == a.Number {
			o.State, o.Result.Class = attempt.Processing, provider.Accepted
			current = append(current, a)
		}
		outcomes = append(outcomes, o)
	}
	if err := claim.Begun(ctx, tx, current); err != nil {
		return err
	}
	recorded, err := attempt.Record(ctx, tx, now, outcomes)
	if err != nil {
		return err
	}
	moved := make([]attempt.Moved, 0, len(current))
	for _, a := range recorded {
		if a.State == attempt.Processing {
			moved = append(moved, attempt.Moved{Attempt: a, Result: provider.Result{Class: provider.Accepted, Code: CodeRestored}})
		}
	}
	if err := l.d.Book.Apply(ctx, tx, moved); err != nil {
		return err
	}
	if err := l.d.Prechecks.Adopted(ctx, tx, subjects...); err != nil {
		return err
	}
	return l.d.Book.Settle(ctx, tx, l.Run.ID)
}
