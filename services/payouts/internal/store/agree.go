package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// Agree notes that a person approves payouts that wait, whose rows the caller holds, and approves those that have now as many
// approvals as they need. It returns how many those are.
func (s *Store) Agree(ctx context.Context, tx pgx.Tx, actor, reason string, ids ...uuid.UUID) (int, error) {
	if len(ids) == 0 {
		return 0, nil
	}
	if err := s.sayOfPayouts(ctx, tx, actor, WordApproved, reason, ids); err != nil {
		return 0, err
	}
	if err := db.New(tx).CountApprovals(ctx, ids); err != nil {
		return 0, fmt.Errorf("count approvals: %w", err)
	}
	now, err := s.Get(ctx, tx, ids...)
	if err != nil {
		return 0, err
	}
	var changes []Change
	for _, p := range now {
		if !s.unapproved(p) {
			changes = append(changes, Change{
				PayoutID: p.ID, From: []payout.State{payout.AwaitingApproval}, To: payout.Approved,
				Reason: payout.Reason{Scope: payout.ScopePayment, Code: payout.CodeApproved},
			})
		}
	}
	moved, err := s.Apply(ctx, tx, changes)
	if err != nil {
		return 0, err
	}
	return len(moved), s.WakeDispatch(ctx, tx, s.nonce("a"), moved...)
}

// nonce tells a wake-up from those before it.
func (s *Store) nonce(prefix string) string {
	return fmt.Sprintf("%s%x", prefix, s.Clock.Now().UnixNano())
}

func (s *Store) sayOfPayouts(ctx context.Context, tx pgx.Tx, actor, word, reason string, ids []uuid.UUID) error {
	payouts, err := s.Get(ctx, tx, ids...)
	if err != nil {
		return err
	}
	nets := make([]int64, len(payouts))
	for i, p := range payouts {
		nets[i] = p.Net.Minor
	}
	return s.say(ctx, tx, actor, word, reason, idsOf(payouts), nets)
}

// Reject ends payouts that wait for approval, whose rows the caller holds, and frees their items. What was sent before and may
// still have been paid is left as it is, for its items would be paid twice. It returns how many payouts it ended.
func (s *Store) Reject(ctx context.Context, tx pgx.Tx, actor, reason string, ids ...uuid.UUID) (int, error) {
	ids, err := s.proven(ctx, tx, ids)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	if err := s.sayOfPayouts(ctx, tx, actor, WordRejected, reason, ids); err != nil {
		return 0, err
	}
	return len(ids), s.end(ctx, tx, ids, payout.AwaitingApproval, payout.Rejected)
}

// end moves payouts to a final state that frees their items, and settles their runs.
func (s *Store) end(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, from, to payout.State) error {
	changes := make([]Change, len(ids))
	for i, id := range ids {
		changes[i] = Change{PayoutID: id, From: []payout.State{from}, To: to, Reason: payout.HeldBy(payout.CodeRejected)}
	}
	moved, err := s.Apply(ctx, tx, changes)
	if err != nil || len(moved) == 0 {
		return err
	}
	runs := map[uuid.UUID]bool{}
	for _, p := range moved {
		if !runs[p.RunID] {
			runs[p.RunID] = true
			if err := s.Settle(ctx, tx, p.RunID); err != nil {
				return err
			}
		}
	}
	return nil
}

// AgreeToBatch notes that a person approves a batch that waits, and lets it go once it has as many approvals as it needs.
func (s *Store) AgreeToBatch(ctx context.Context, tx pgx.Tx, id uuid.UUID, actor, reason string) error {
	q := db.New(tx)
	total, err := q.BatchTotal(ctx, id)
	if err != nil {
		return fmt.Errorf("add up batch %s: %w", id, err)
	}
	if err := s.say(ctx, tx, actor, WordApproved, reason, []uuid.UUID{id}, []int64{total}); err != nil {
		return err
	}
	if err := q.CountBatchApprovals(ctx, id); err != nil {
		return fmt.Errorf("count approvals of batch %s: %w", id, err)
	}
	b, err := s.lockBatch(ctx, q, id)
	if err != nil || b.Approvals < b.ApprovalsNeeded {
		return err
	}
	if err := s.moveBatch(ctx, tx, q, b, BatchApproved, payout.Reason{Scope: payout.ScopeBatch, Code: payout.CodeApproved}); err != nil {
		return err
	}
	return s.WakeBatch(ctx, tx, b.RunID, s.nonce("a"))
}

// RejectBatch ends a batch that waits: what of it was not sent is cancelled. Its payouts that wait on their own are rejected
// before.
func (s *Store) RejectBatch(ctx context.Context, tx pgx.Tx, id uuid.UUID, actor, reason string) error {
	q := db.New(tx)
	total, err := q.BatchTotal(ctx, id)
	if err != nil {
		return fmt.Errorf("add up batch %s: %w", id, err)
	}
	if err := s.say(ctx, tx, actor, WordRejected, reason, []uuid.UUID{id}, []int64{total}); err != nil {
		return err
	}
	if _, err := s.controlBatch(ctx, tx, id, BatchRejected, ControlCancelled, payout.Reason{Scope: payout.ScopeBatch, Code: payout.CodeRejected}, reason); err != nil {
		return err
	}
	for after := uuid.Nil; ; {
		ids, err := q.UnsentOfBatch(ctx, db.UnsentOfBatchParams{BatchID: id, After: after, PageLimit: unsentPage})
		if err != nil {
			return fmt.Errorf("find unsent payouts of batch %s: %w", id, err)
		}
		if len(ids) == 0 {
			return nil
		}
		after = ids[len(ids)-1]
		if _, err := s.Lock(ctx, tx, ids...); err != nil {
			return err
		}
		if ids, err = s.proven(ctx, tx, ids); err != nil {
			return err
		}
		for _, from := range []payout.State{payout.Approved, payout.Held} {
			if err := s.end(ctx, tx, ids, from, payout.Cancelled); err != nil {
				return err
			}
		}
	}
}

// unsentPage is how many payouts one statement cancels.
const unsentPage = 500
