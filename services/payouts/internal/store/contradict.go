package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// Contradict marks payouts of which the provider says that a closed attempt moved money, or may yet. From then on nothing
// sends them, whatever state they are in, and nothing frees their items: paying late can be mended, paying twice cannot.
func (s *Store) Contradict(ctx context.Context, tx pgx.Tx, ids ...uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	q := db.New(tx)
	rows, err := q.LockPayouts(ctx, ids)
	if err != nil {
		return fmt.Errorf("lock contradicted payouts: %w", err)
	}
	if err := q.Contradict(ctx, db.ContradictParams{Now: s.Clock.Now(), Ids: ids}); err != nil {
		return fmt.Errorf("mark contradicted payouts: %w", err)
	}
	marked := make([]payout.Payout, len(rows))
	for i, r := range rows {
		marked[i] = fromRow(r)
		marked[i].Contradicted = true
	}
	return s.secure(ctx, tx, marked)
}

// Reversed leaves of payouts those that came back after they had been paid.
func (s *Store) Reversed(ctx context.Context, tx pgx.Tx, ids ...uuid.UUID) ([]uuid.UUID, error) {
	reversed, err := db.New(tx).ReversedOf(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read which payouts came back: %w", err)
	}
	return reversed, nil
}

// PaidThere returns those of the attempts that a statement has as paid.
func (s *Store) PaidThere(ctx context.Context, tx pgx.Tx, attempts []attempt.Attempt) ([]attempt.Attempt, error) {
	if len(attempts) == 0 {
		return nil, nil
	}
	var p db.PaidThereParams
	byKey := make(map[attempt.Key]attempt.Attempt, len(attempts))
	for _, a := range attempts {
		byKey[a.Key] = a
		p.SubjectIds, p.Numbers, p.Refs = append(p.SubjectIds, a.Subject), append(p.Numbers, int32(a.Number)), append(p.Refs, a.Reference)
		p.Tenants, p.Providers = append(p.Tenants, a.Tenant), append(p.Providers, a.Provider)
	}
	rows, err := db.New(tx).PaidThere(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("look into statements: %w", err)
	}
	paid := make([]attempt.Attempt, len(rows))
	for i, r := range rows {
		paid[i] = byKey[attempt.Key{Subject: r.SubjectID, Number: int(r.Number)}]
	}
	return paid, nil
}

// secure puts contradicted payouts where they cannot pay again. What waits to be sent, or to be tried again, is held. What
// ended unpaid claims its items again, and where another payout has taken them, that one is contradicted too.
func (s *Store) secure(ctx context.Context, tx pgx.Tx, payouts []payout.Payout) error {
	var again, hold []Change
	var ended []uuid.UUID
	for _, p := range payouts {
		switch {
		case !p.Contradicted:
		case p.State == payout.Failed && p.RetryAt != nil: // approved only to be held: the state table has no shorter way
			again = append(again, Change{PayoutID: p.ID, From: []payout.State{p.State}, To: payout.Approved, Reason: payout.Reason{Code: payout.CodeRetry}})
		case p.State == payout.Approved || p.State == payout.AwaitingApproval:
			hold = append(hold, Change{PayoutID: p.ID, From: []payout.State{p.State}, To: payout.Held, Reason: payout.HeldBy(payout.CodeContradicted)})
		case payout.MayRelease(p.State):
			ended = append(ended, p.ID)
		}
	}
	for _, changes := range [][]Change{again, hold} { // Apply secures what again approves
		if _, err := s.Apply(ctx, tx, changes); err != nil {
			return fmt.Errorf("hold contradicted payouts: %w", err)
		}
	}
	return s.keepItems(ctx, tx, ended)
}

// keepItems claims again what is still free of the items of payouts that ended, and contradicts those that took the rest
// and have not paid yet.
func (s *Store) keepItems(ctx context.Context, tx pgx.Tx, ended []uuid.UUID) error {
	if len(ended) == 0 {
		return nil
	}
	q := db.New(tx)
	if err := q.ReclaimFreePayments(ctx, ended); err != nil {
		return fmt.Errorf("claim payments of contradicted payouts again: %w", err)
	}
	if err := q.ReclaimFreeCarries(ctx, ended); err != nil {
		return fmt.Errorf("claim carries of contradicted payouts again: %w", err)
	}
	if err := q.ReclaimFreeItems(ctx, ended); err != nil {
		return fmt.Errorf("claim items of contradicted payouts again: %w", err)
	}
	takers, err := q.TakersOf(ctx, ended)
	if err != nil {
		return fmt.Errorf("find who took items of contradicted payouts: %w", err)
	}
	return s.Contradict(ctx, tx, takers...)
}
