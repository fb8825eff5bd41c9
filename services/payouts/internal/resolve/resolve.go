// Package resolve lets people decide about single payouts: two of them about one in manual review, one of them to retry,
// hold, release or cancel.
package resolve

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/review"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/services/payouts/internal/admin"
	"github.com/agogopay/agogo/services/payouts/internal/outcome"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/resolve/db"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// Resolver decides in the transaction of the request; it implements admin.Operate.
type Resolver struct {
	Store    *store.Store
	Outcomes *outcome.Outcomes
	Clock    clock.Clock
}

var _ admin.Operate = (*Resolver)(nil)

// Resolve records the first person's proposal, and applies it when a second one gives the same words; see [review.Say].
func (r *Resolver) Resolve(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, res admin.Resolution) (review.Said, error) {
	words := review.Words{Subject: id, Paid: res.Outcome == review.Paid, Again: res.PayAgain, Evidence: res.Evidence}
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
	p := sub.Payout
	if p.State != payout.ManualReview {
		return review.Said{}, refused(p, "only a payout in manual_review is decided by people")
	}
	if res.PayAgain && p.Contradicted {
		return review.Said{}, contradicted(p)
	}
	if res.PayAgain {
		const next = "say not_paid without --pay-again: its payments are free then, and the next run plans them anew"
		if err := r.ofCancelled(ctx, tx, p, next); err != nil {
			return review.Said{}, err
		}
	}
	words.Attempt = p.Attempt
	said, err := review.Say(ctx, tx, r.Clock.Now(), words, actor.Name)
	if err != nil || !said.Agreed {
		return said, err
	}
	return said, r.apply(ctx, tx, sub, words)
}

func (r *Resolver) apply(ctx context.Context, tx pgx.Tx, sub subject, w review.Words) error {
	a, ok := sub.newest()
	if !ok || a.State != attempt.ManualReview {
		return lookAgain(sub.Payout, "its attempt has just moved")
	}
	if err := review.Settled(a, r.Clock.Now()); err != nil {
		return err
	}
	if err := r.Outcomes.Resolved(ctx, tx, a, w); err != nil {
		return err
	}
	return r.after(ctx, tx, sub.ID)
}

// after wakes the sending of what is approved now, notes who asked for what waits for approval, and settles the run.
func (r *Resolver) after(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	now, err := r.Store.Get(ctx, tx, id)
	if err != nil || len(now) != 1 {
		return errors.Join(err, rpc.NotFound("payout", id.String()))
	}
	if now[0].State == payout.AwaitingApproval {
		if err := r.Store.Asked(ctx, tx, now[0]); err != nil {
			return err
		}
	}
	if now[0].State == payout.Approved {
		nonce := fmt.Sprintf("v%d", now[0].Version) // one wake-up per decision
		if err := r.Store.WakeDispatch(ctx, tx, nonce, now[0]); err != nil {
			return err
		}
	}
	return r.Store.Settle(ctx, tx, now[0].RunID)
}

// subject is a payout and its attempts, locked.
type subject struct {
	payout.Payout
	attempts []attempt.Attempt
}

// newest is the attempt that the payout speaks of.
func (s subject) newest() (attempt.Attempt, bool) {
	for _, a := range s.attempts {
		if a.Number == s.Attempt {
			return a, true
		}
	}
	return attempt.Attempt{}, false
}

// lock takes the attempts' rows and then the payout's, in the order of those who record outcomes, so that nobody else moves
// it before this decision commits.
func (r *Resolver) lock(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID) (subject, error) {
	attempts, err := attempt.LockSubject(ctx, tx, tenant, id)
	if err != nil {
		return subject{}, err
	}
	_, err = db.New(tx).LockPayout(ctx, db.LockPayoutParams{Tenant: tenant, PayoutID: id})
	if errors.Is(err, pgx.ErrNoRows) {
		return subject{}, rpc.NotFound("payout", id.String())
	}
	if err != nil {
		return subject{}, fmt.Errorf("lock payout %s: %w", id, err)
	}
	found, err := r.Store.Get(ctx, tx, id)
	if err != nil {
		return subject{}, err
	}
	if found[0].Attempt > len(attempts) {
		return subject{}, lookAgain(found[0], "an attempt of it has just begun")
	}
	return subject{Payout: found[0], attempts: attempts}, nil
}
