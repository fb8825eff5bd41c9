// Package resolve lets people decide: two of them about a charge in manual review, one of them to charge now, to cancel, and
// about a recurrence and its card. Everything happens in the transaction of the request.
package resolve

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/precheck"
	"github.com/agogopay/agogo/internal/review"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/outcome"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// Resolver decides.
type Resolver struct {
	Store    *store.Store
	Runs     *run.Store
	Outcomes *outcome.Outcomes
	Clock    clock.Clock
	Gate     *precheck.Gate // nil: nothing was ever restored
}

// Outcomes that people prove.
const (
	Paid    = review.Paid
	NotPaid = review.NotPaid
)

// Resolution is what a person says became of a charge in manual review.
type Resolution struct {
	Outcome  string // [Paid] or [NotPaid]
	PayAgain bool   // with NotPaid: the next attempt follows at once
	Evidence string
}

// ResolveCharge records the first person's words, and applies them when a second person gives the same. Whatever is said has
// the gateway asked anew; not_paid is only applied on a lookup that was answered after it.
func (r *Resolver) ResolveCharge(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, res Resolution) (review.Said, error) {
	words := review.Words{Subject: id, Paid: res.Outcome == Paid, Again: res.PayAgain, Evidence: res.Evidence}
	if err := words.Check(); err != nil {
		return review.Said{}, err
	}
	actor, ok := auth.ActorFrom(ctx)
	if !ok {
		return review.Said{}, errors.New("resolve: no authenticated actor in the context")
	}
	sub, err := r.lock(ctx, tx, tenant, id)
	if err != nil {
		return review.Said{}, err
	}
	switch {
	case sub.State != charge.ManualReview:
		return review.Said{}, refused(sub.Charge, "only a charge in manual_review is decided by people; lookups go on for the others")
	case res.PayAgain && sub.Contradicted:
		return review.Said{}, contradicted(sub.Charge)
	}
	words.Attempt = sub.Attempt
	said, err := review.Say(ctx, tx, r.Clock.Now(), words, actor.Name)
	if err != nil || !said.Agreed {
		return said, err
	}
	return said, r.apply(ctx, tx, sub, words)
}

func (r *Resolver) apply(ctx context.Context, tx pgx.Tx, sub subject, w review.Words) error {
	a, ok := sub.newest()
	if !ok || a.State != attempt.ManualReview {
		return refused(sub.Charge, "its attempt has just moved; look at it again")
	}
	if err := review.Settled(a, r.Clock.Now()); err != nil {
		return err
	}
	if err := r.Outcomes.Resolved(ctx, tx, a, w); err != nil || !w.Again {
		return err
	}
	return r.send(ctx, tx, store.ByPerson, sub.Charge)
}

// subject is a charge and its attempts, locked.
type subject struct {
	store.Charge
	attempts []attempt.Attempt
}

// newest is the attempt that the charge speaks of.
func (s subject) newest() (attempt.Attempt, bool) {
	for _, a := range s.attempts {
		if a.Number == s.Attempt {
			return a, true
		}
	}
	return attempt.Attempt{}, false
}

// proven refuses unless everything that was ever sent for the charge is proven not to have been charged, with nothing left
// to ask about.
func (s subject) proven() error {
	if s.Contradicted {
		return contradicted(s.Charge)
	}
	for _, a := range s.attempts {
		if a.State != attempt.Failed && a.State != attempt.NotSent {
			return refused(s.Charge, fmt.Sprintf("its attempt %d is %s", a.Number, a.State))
		}
		if a.NextLookupAt != nil {
			return review.Outstanding(fmt.Sprintf("attempt %d is being looked up again: a webhook spoke of it", a.Number))
		}
	}
	return nil
}

// lock takes the attempts' rows and then the charge's, in the order of those who record outcomes, so that nobody else moves
// it before this decision commits.
func (r *Resolver) lock(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID) (subject, error) {
	attempts, err := attempt.LockSubject(ctx, tx, tenant, id)
	if err != nil {
		return subject{}, err
	}
	found, err := r.Store.LockCharges(ctx, tx, id)
	switch {
	case err != nil:
		return subject{}, err
	case len(found) == 0 || found[0].Tenant != tenant:
		return subject{}, rpc.NotFound("charge", id.String())
	case found[0].Attempt > len(attempts):
		return subject{}, refused(found[0], "an attempt of it has just begun; look at it again")
	}
	return subject{Charge: found[0], attempts: attempts}, nil
}

// send has charges sent at once. They go through the page 0 of the runs that made them: a page is only a share of the work,
// and what is wanted of one is in the rows.
func (r *Resolver) send(ctx context.Context, tx pgx.Tx, cause string, charges ...store.Charge) error {
	nonce := "p" + strconv.FormatInt(r.Clock.Now().UnixMilli(), 36) // one wake-up per decision
	for _, c := range charges {                                     // those of one recurrence
		wanted, err := r.Store.WantSent(ctx, tx, store.Send{Run: c.RunID, Date: r.Store.Today(c.Tenant), Cause: cause}, c.ID)
		if err != nil {
			return err
		}
		if len(wanted) == 0 {
			return refused(c, "it is on its way, or the gateway contradicts what is booked about it")
		}
		if err := r.Runs.WakeDispatch(ctx, tx, nonce, run.Place{Run: c.RunID}); err != nil {
			return err
		}
	}
	return nil
}

func refused(c store.Charge, next string) error {
	return rpc.Refused("state", next, "charge %s is %s", c.ID, c.State)
}

// contradicted refuses what could charge a second time.
func contradicted(c store.Charge) error {
	return rpc.Refused("contradicted", "reconcile it with the gateway's statement; recon.mismatch_found names the difference, which is in suspense",
		"the gateway contradicts what is booked about an attempt of charge %s", c.ID)
}
