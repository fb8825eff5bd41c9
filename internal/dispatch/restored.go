package dispatch

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/precheck"
	"github.com/agogopay/agogo/internal/restore"
	"github.com/agogopay/agogo/internal/run"
)

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
	here := func(uuid.UUID) run.Place { return run.Place{Run: l.Run.ID, Page: l.Page} }
	of := precheck.Of{Tenant: l.Connector.Tenant, Provider: l.Connector.Provider, At: here, Sends: most > 0}
	sorted, err := gate.Sort(ctx, tx, mark, of, claim.Starts)
	if err != nil {
		return Claim{}, err
	}
	if err := l.adopt(ctx, tx, claim, sorted.Adopt); err != nil {
		return Claim{}, err
	}
	claim.Starts, claim.Held = sorted.Go, claim.Held+sorted.Asked+len(sorted.Adopt)
	if most > 0 { // all of them at once, whatever there are slots for
		err = l.doubt(ctx, tx, &claim)
	}
	claim.Starts = claim.Starts[:min(most, len(claim.Starts))]
	return claim, err
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

// adopt makes the attempts that a restore has lost, as far as the provider knows them.
func (l *lane) adopt(ctx context.Context, tx pgx.Tx, claim Claim, found []precheck.Adoption) error {
	if len(found) == 0 {
		return nil
	}
	owner := l.owner + "/" + uuid.NewString() // an owner begins once
	moved, err := l.d.Prechecks.Adopt(ctx, tx, owner, l.Connector.Policy.Lease, found, claim.Begun)
	if err != nil {
		return err
	}
	if err := l.d.Book.Apply(ctx, tx, moved); err != nil {
		return err
	}
	return l.d.Book.Settle(ctx, tx, l.Run.ID)
}
