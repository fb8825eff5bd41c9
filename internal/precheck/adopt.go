package precheck

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/precheck/db"
	"github.com/agogopay/agogo/internal/provider"
)

// CodeRestored is of attempts from before a restore, which a provider told of.
const CodeRestored = "restored"

// Adoption is a subject that turns out to have been sent before the restore.
type Adoption struct {
	attempt.Start     // as it was about to be sent, which was as attempt Number
	Upto          int // the newest attempt that the provider knows
}

// Adopt makes the attempts that a restore has lost, as far as the provider knows them, and returns the newest of each subject. That one is under
// way until a lookup has told its outcome, by the same rules as for any other: it may have paid, have failed, or be of another amount. An
// answer counts only when it tells what there is to compare. Those
// before it had ended without paying, or it would not have been sent; they are closed, and asked about all the same. The caller holds the subjects'
// rows; begun has the newest posted as under way. An owner adopts once.
func (g *Gate) Adopt(ctx context.Context, tx pgx.Tx, owner string, lease time.Duration, found []Adoption, begun func(context.Context, pgx.Tx, []attempt.Attempt) error) ([]attempt.Moved, error) {
	now := g.Clock.Now()
	var starts []attempt.Start
	newest, earlier := make(map[uuid.UUID]int, len(found)), make(map[uuid.UUID]int, len(found))
	subjects := make([]uuid.UUID, 0, len(found))
	for _, f := range found {
		starts = append(starts, g.attempts(f)...)
		newest[f.Subject], earlier[f.Subject], subjects = f.Upto, f.Upto-f.Number, append(subjects, f.Subject)
	}
	all, err := attempt.Begin(ctx, tx, owner, lease, now, starts)
	if err != nil {
		return nil, err
	}
	if err := attempt.Require(ctx, tx, g.MustTell, all...); err != nil {
		return nil, err
	}
	outcomes, current := make([]attempt.Outcome, 0, len(all)), make([]attempt.Attempt, 0, len(found))
	for _, a := range all {
		o := lost(a, owner, now)
		if newest[a.Subject] == a.Number {
			o.State, o.Result.Class = attempt.Processing, provider.Accepted
			current = append(current, a)
		}
		outcomes = append(outcomes, o)
	}
	if err := begun(ctx, tx, current); err != nil {
		return nil, err
	}
	recorded, err := attempt.Record(ctx, tx, now, outcomes)
	if err != nil {
		return nil, err
	}
	moved := make([]attempt.Moved, 0, len(current))
	for _, a := range recorded {
		if a.State == attempt.Processing {
			moved = append(moved, attempt.Moved{Attempt: a, Result: provider.Result{Class: provider.Accepted, Code: CodeRestored}, Earlier: earlier[a.Subject]})
		}
	}
	if err := db.New(tx).Adopted(ctx, subjects); err != nil {
		return nil, fmt.Errorf("note adopted attempts: %w", err)
	}
	return moved, nil
}

// attempts are those that an adoption makes: of every reference up to the newest that is there. One in between that is not there
// ended before it reached the provider, or the next one would not have been sent.
func (g *Gate) attempts(a Adoption) []attempt.Start {
	var all []attempt.Start
	for n := a.Number; n <= a.Upto; n++ {
		s := a.Start
		s.Number, s.Reference, s.Found = n, g.Reference(s.Subject, n), true
		all = append(all, s)
	}
	return all
}
