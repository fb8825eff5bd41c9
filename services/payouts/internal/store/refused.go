package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// Freed counts the payouts of a batch that were held as refused often, by what a person's word about all of them came to.
type Freed struct {
	Released     int
	Waiting      int // for approval
	Contradicted int // the provider says of a closed attempt that it was paid
	OverCap      int // above what is left of today
	Left         []Kept
}

// Kept is a payout that stays held, and why.
type Kept struct {
	PayoutID uuid.UUID
	PayeeID  string
	Code     string
}

const (
	refusedPage = 500 // payouts that one round lets go
	keptMost    = 100 // of those that stay are named; all are counted
)

// ReleaseRefused lets go what of a batch is held as refused often, of one provider or (none given) of all, each by the rules of a single release: what is
// contradicted or finds no room in today's caps stays, a sum that needs an approval waits for it, and each goes once, under the reference that was refused.
// What else holds a payout by now, its payee or its wallet say, holds it again before it is sent. The caller is who asks.
func (s *Store) ReleaseRefused(ctx context.Context, tx pgx.Tx, tenant string, batch uuid.UUID, provider string) (Freed, error) {
	var done Freed
	if _, err := s.LockOutflow(ctx, tx, tenant); err != nil { // before payouts, as everything that takes caps does
		return done, err
	}
	if err := s.RefuseCancelled(ctx, tx, batch); err != nil {
		return done, err
	}
	rows, err := db.New(tx).HeldFor(ctx, db.HeldForParams{BatchID: batch, Tenant: tenant, Provider: provider, Code: payout.CodeRefusedOften})
	if err != nil {
		return done, fmt.Errorf("find what of batch %s was refused often: %w", batch, err)
	}
	for some := range slices.Chunk(rows, refusedPage) {
		if err := s.releaseSome(ctx, tx, tenant, some, &done); err != nil {
			return done, err
		}
	}
	if len(rows) == 0 {
		return done, nil
	}
	return done, s.Settle(ctx, tx, rows[0].RunID)
}

func (s *Store) releaseSome(ctx context.Context, tx pgx.Tx, tenant string, rows []db.HeldForRow, done *Freed) error {
	ids := make([]uuid.UUID, len(rows))
	for i, r := range rows {
		ids[i] = r.PayoutID
	}
	held, err := s.Lock(ctx, tx, ids...)
	if err != nil {
		return err
	}
	held = slices.DeleteFunc(held, func(p payout.Payout) bool { // somebody was faster
		return p.State != payout.Held || p.Reason.Code != payout.CodeRefusedOften
	})
	today, payees := s.Today(tenant), make([]string, len(held))
	var want int64
	for i, p := range held {
		payees[i], want = p.PayeeID, want+p.Net.Minor
	}
	slices.Sort(payees)
	caps, err := s.Caps(ctx, tx, tenant, today, slices.Compact(payees), want)
	if err != nil {
		return err
	}
	moved, err := s.ApplyTo(ctx, tx, held, done.choose(held, caps, today))
	if err != nil {
		return err
	}
	approved, waiting, err := s.goOn(ctx, tx, moved)
	done.Released, done.Waiting = done.Released+approved, done.Waiting+waiting
	return err
}

// choose makes the changes of those that go, and counts the others.
func (f *Freed) choose(held []payout.Payout, caps *Caps, today string) []Change {
	var changes []Change
	for _, p := range held {
		if p.Contradicted {
			f.Contradicted++
			f.keep(p, payout.CodeContradicted)
			continue
		}
		if code := caps.Take(p.PayeeID, p.Net.Minor); code != "" {
			f.OverCap++
			f.keep(p, code)
			continue
		}
		changes = append(changes, Change{
			PayoutID: p.ID, From: []payout.State{payout.Held}, To: payout.Approved, CapDate: today,
			Reason: payout.Reason{Scope: payout.ScopePayment, Code: payout.CodeCauseGone},
		})
	}
	return changes
}

func (f *Freed) keep(p payout.Payout, code string) {
	if len(f.Left) < keptMost {
		f.Left = append(f.Left, Kept{PayoutID: p.ID, PayeeID: p.PayeeID, Code: code})
	}
}

// goOn counts what a person has let go or tried again, notes who asked for what waits for approval, and wakes the rest.
func (s *Store) goOn(ctx context.Context, tx pgx.Tx, moved []payout.Payout) (approved, waiting int, err error) {
	asked := slices.DeleteFunc(slices.Clone(moved), func(p payout.Payout) bool { return p.State != payout.AwaitingApproval })
	for _, p := range moved {
		if p.State == payout.Approved {
			approved++
		} else {
			waiting++
		}
	}
	if err := s.Asked(ctx, tx, asked...); err != nil {
		return approved, waiting, err
	}
	return approved, waiting, s.WakeDispatch(ctx, tx, s.nonce("f"), moved...)
}
