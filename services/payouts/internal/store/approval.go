package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// Words of people about what needs approval.
const (
	wordAsked    = "asked"
	WordApproved = "approved"
	WordRejected = "rejected"
)

// Unapproved reports whether a payout lacks approvals: those that its tier asked for when it was planned, or asks for now.
// They are given for its net, which never changes, so a payout that was approved, sent and refused has them still.
func (s *Store) Unapproved(tenant string, net int64, needed, has int) bool {
	return has < max(needed, s.rules(tenant).Approval.OfPayout(net))
}

func (s *Store) unapproved(p payout.Payout) bool {
	return s.Unapproved(p.Tenant, p.Net.Minor, p.ApprovalsNeeded, p.Approvals)
}

func aboveTier() payout.Reason {
	return payout.Reason{Scope: payout.ScopePayment, Code: payout.CodeAboveTier}
}

// approvalFirst makes of an approval that people have not given the wait for it, whoever asks for the change: this is the
// only place through which payouts become approved.
func (s *Store) approvalFirst(c Change, p payout.Payout) Change {
	if c.To != payout.Approved || !s.unapproved(p) {
		return c
	}
	if _, ok := event.Payout.Event(string(p.State), string(payout.AwaitingApproval)); !ok {
		return c // what was sent before goes the longer way, in awaitApproval
	}
	c.To, c.Reason, c.RetryAt = payout.AwaitingApproval, aboveTier(), nil
	return c
}

// awaitApproval brings what is approved without the approvals it needs to where it waits for them: what failed or was never
// sent, while its tier has risen since. Held first, for the state table has no shorter way. payouts is brought up to date.
func (s *Store) awaitApproval(ctx context.Context, tx pgx.Tx, payouts []payout.Payout) error {
	var hold, wait []Change
	at := map[uuid.UUID]int{}
	for i, p := range payouts {
		if p.State != payout.Approved || p.Contradicted || !s.unapproved(p) {
			continue
		}
		at[p.ID] = i
		hold = append(hold, Change{PayoutID: p.ID, From: []payout.State{payout.Approved}, To: payout.Held, Reason: aboveTier()})
		wait = append(wait, Change{PayoutID: p.ID, From: []payout.State{payout.Held}, To: payout.AwaitingApproval, Reason: aboveTier()})
	}
	for _, changes := range [][]Change{hold, wait} {
		moved, err := s.Apply(ctx, tx, changes)
		if err != nil {
			return fmt.Errorf("have payouts wait for approval: %w", err)
		}
		for _, p := range moved {
			payouts[at[p.ID]] = p
		}
	}
	return nil
}

// expiry is until when an answer is waited for; nil is without end.
func (s *Store) expiry(tenant string, now time.Time) *time.Time {
	after := s.rules(tenant).Approval.ExpiresAfter
	if after <= 0 {
		return nil
	}
	at := now.Add(after)
	return &at
}

// Asked notes that the caller asked for payouts to be paid, who therefore cannot approve them; an approval of theirs is taken
// back.
func (s *Store) Asked(ctx context.Context, tx pgx.Tx, payouts ...payout.Payout) error {
	if len(payouts) == 0 {
		return nil
	}
	actor, ok := auth.ActorFrom(ctx)
	if !ok {
		return errors.New("ask for approval: no authenticated actor in the context")
	}
	ids, nets := idsOf(payouts), make([]int64, len(payouts))
	for i, p := range payouts {
		nets[i] = p.Net.Minor
	}
	if err := s.say(ctx, tx, actor.Name, wordAsked, "", ids, nets); err != nil {
		return err
	}
	return db.New(tx).CountApprovals(ctx, ids)
}

func (s *Store) say(ctx context.Context, tx pgx.Tx, actor, word, reason string, ids []uuid.UUID, nets []int64) error {
	_, err := db.New(tx).SayAbout(ctx, db.SayAboutParams{Actor: actor, Word: word, Reason: reason, Now: s.Clock.Now(), Ids: ids, Nets: nets})
	if err != nil {
		return fmt.Errorf("note that %s has %s: %w", actor, word, err)
	}
	return nil
}

// VoidApprovals forgets who approved payouts: what they approved is over, or no longer what they saw.
func (s *Store) VoidApprovals(ctx context.Context, tx pgx.Tx, ids ...uuid.UUID) error {
	q := db.New(tx)
	if err := q.VoidApprovals(ctx, ids); err != nil {
		return fmt.Errorf("void approvals: %w", err)
	}
	if err := q.CountApprovals(ctx, ids); err != nil {
		return fmt.Errorf("count approvals: %w", err)
	}
	return nil
}

// Words are what people said about payouts and batches, by subject, in order.
func (s *Store) Words(ctx context.Context, q db.DBTX, ids ...uuid.UUID) (map[uuid.UUID][]db.WordsAboutRow, error) {
	rows, err := db.New(q).WordsAbout(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read approvals: %w", err)
	}
	all := make(map[uuid.UUID][]db.WordsAboutRow, len(rows))
	for _, r := range rows {
		all[r.SubjectID] = append(all[r.SubjectID], r)
	}
	return all, nil
}

// ExpiredApprovals lists a page of the payouts that nobody has answered about in time, after a place, and returns the next place.
func (s *Store) ExpiredApprovals(ctx context.Context, tx pgx.Tx, after Due, limit int) (ids []uuid.UUID, next Due, err error) {
	rows, err := db.New(tx).ExpiredPayouts(ctx, db.ExpiredPayoutsParams{Now: s.Clock.Now(), AfterAt: after.At, AfterID: after.ID, PageLimit: int32(limit)})
	if err != nil {
		return nil, Due{}, fmt.Errorf("find expired approvals: %w", err)
	}
	ids, next = page(rows, limit, func(r db.ExpiredPayoutsRow) Due { return Due{r.DueAt, r.PayoutID} })
	return ids, next, nil
}

// ExpireApprovals holds those of the payouts whose approval nobody has answered about in time.
func (s *Store) ExpireApprovals(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
	held, err := s.Lock(ctx, tx, ids...)
	if err != nil {
		return err
	}
	now := s.Clock.Now()
	changes := make([]Change, 0, len(held))
	for _, p := range held {
		if p.ApprovalExpiresAt == nil || p.ApprovalExpiresAt.After(now) { // it was asked for anew
			continue
		}
		changes = append(changes, Change{
			PayoutID: p.ID, From: []payout.State{payout.AwaitingApproval}, To: payout.Held, Reason: payout.HeldBy(payout.CodeApprovalExpired),
		})
	}
	moved, err := s.ApplyTo(ctx, tx, held, changes)
	if err != nil {
		return err
	}
	return s.VoidApprovals(ctx, tx, idsOf(moved)...)
}

// ExpiredBatches lists a page of the batches that nobody has answered about in time, after a place, and returns the next place.
func (s *Store) ExpiredBatches(ctx context.Context, tx pgx.Tx, after Due, limit int) (ids []uuid.UUID, next Due, err error) {
	rows, err := db.New(tx).ExpiredBatches(ctx, db.ExpiredBatchesParams{Now: s.Clock.Now(), AfterAt: after.At, AfterID: after.ID, PageLimit: int32(limit)})
	if err != nil {
		return nil, Due{}, fmt.Errorf("find batches whose approval expired: %w", err)
	}
	ids, next = page(rows, limit, func(r db.ExpiredBatchesRow) Due { return Due{r.DueAt, r.BatchID} })
	return ids, next, nil
}

// ExpireBatches pauses those of the batches whose approval nobody has answered about in time.
func (s *Store) ExpireBatches(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
	q, now := db.New(tx), s.Clock.Now()
	batches, err := q.LockBatches(ctx, ids)
	if err != nil {
		return fmt.Errorf("lock batches whose approval expired: %w", err)
	}
	for _, b := range batches { // as many as runs, not as payouts
		if b.State != BatchAwaiting || b.ApprovalExpiresAt == nil || b.ApprovalExpiresAt.After(now) {
			continue
		}
		if err := s.expireBatch(ctx, tx, q, b.BatchID); err != nil {
			return err
		}
	}
	return nil
}

func idsOf(payouts []payout.Payout) []uuid.UUID {
	ids := make([]uuid.UUID, len(payouts))
	for i, p := range payouts {
		ids[i] = p.ID
	}
	return ids
}

// expireBatch pauses a batch: resuming it asks again.
func (s *Store) expireBatch(ctx context.Context, tx pgx.Tx, q *db.Queries, id uuid.UUID) error {
	if _, err := s.PauseBatch(ctx, tx, id, payout.Reason{Scope: payout.ScopeBatch, Code: payout.CodeApprovalExpired}); err != nil {
		return err
	}
	if err := q.VoidApprovals(ctx, []uuid.UUID{id}); err != nil {
		return fmt.Errorf("void approvals of batch %s: %w", id, err)
	}
	return q.CountBatchApprovals(ctx, id)
}
