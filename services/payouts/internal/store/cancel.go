package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/restore"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// CancelRun ends a run for a person's words: its planning, and the sending of what it has planned, on every replica, from the commit on. What
// was not sent is cancelled page by page by the sweeper, its payments free for the next run; what is on its way, or may have been paid, is
// followed. A run that is cancelled already is left alone.
func (s *Store) CancelRun(ctx context.Context, tx pgx.Tx, id uuid.UUID, words string) error {
	r, err := s.Runs.Lock(ctx, tx, id) // after the page that is being planned
	if err != nil {
		return err
	}
	if err := s.Runs.Cancel(ctx, tx, r); err != nil {
		return err
	}
	batches, err := db.New(tx).LockBatches(ctx, []uuid.UUID{BatchID(id)})
	if err != nil {
		return fmt.Errorf("lock the batch of run %s: %w", id, err)
	}
	ended := r.State == run.Completed || r.State == run.Failed
	switch {
	case len(batches) == 0 && ended:
		return nothingToCancel(id, r.State)
	case len(batches) == 0:
		return s.Settle(ctx, tx, id)
	case batches[0].Control == ControlCancelled:
		return nil
	}
	b := batches[0]
	if _, ok := event.PayoutBatch.Event(b.State, BatchCancelled); !ok {
		return nothingToCancel(id, b.State)
	}
	if ended { // a batch that says it was cancelled, though all of it was sent, would lie for ever
		waits, err := db.New(tx).RunWaits(ctx, id)
		if err != nil {
			return fmt.Errorf("look whether something of run %s waits: %w", id, err)
		}
		if !waits {
			return nothingToCancel(id, r.State)
		}
	}
	_, err = s.controlBatch(ctx, tx, b.BatchID, BatchCancelled, ControlCancelled, payout.Reason{Scope: payout.ScopeBatch, Code: payout.CodeByPerson}, words)
	if err != nil {
		return err
	}
	mark, err := restore.Newest(ctx, tx)
	if err != nil || mark.Epoch == 0 {
		return err
	}
	return s.WakeBatch(ctx, tx, id, s.nonce("c")) // providers are asked what of it was sent before the restore
}

func nothingToCancel(id uuid.UUID, state string) error {
	return rpc.Refused("nothing_to_cancel", "what is unknown, in review or paid is no matter of its run: agogo payouts list --run "+id.String(),
		"run %s is %s, and nothing of it waits to be sent", id, state)
}

// Doubt is why a payout cannot be ended: its payments would be free while it may have been paid.
type Doubt struct {
	Contradicted bool // the provider contradicts a failure
	Open         bool // an attempt is not proven over, or is being asked about
	Denied       bool // the provider knew nothing of what was sent: the same reference may go again, another one may not
	Restored     bool // it may have been sent before a restore, for all that the provider has said since, an hour ago at most
	Elsewhere    bool // it was told of before a restore, through another provider than its own: a person has to look there
}

// Doubts says which payouts, whose rows the caller holds, may have been paid, and why.
func (s *Store) Doubts(ctx context.Context, tx pgx.Tx, ids ...uuid.UUID) (map[uuid.UUID]Doubt, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	since, until := attempt.Believed(s.Clock.Now())
	rows, err := db.New(tx).Unproven(ctx, db.UnprovenParams{Ids: ids, ProvenSince: since, ProvenUntil: until})
	if err != nil {
		return nil, fmt.Errorf("find payouts that may have been paid: %w", err)
	}
	doubts := make(map[uuid.UUID]Doubt, len(rows))
	for _, r := range rows {
		doubts[r.PayoutID] = Doubt{Contradicted: r.Contradicted, Open: r.Open, Denied: r.Denied, Restored: r.Restored, Elsewhere: r.Elsewhere}
	}
	return doubts, nil
}

// AskAnew has the provider asked anew about a payout, or about what waits of a batch, of which it said after a restore that it has nothing, where
// that is too long ago to end it on: the sweeper asks. It is for whoever was refused, and changes nothing else.
func (s *Store) AskAnew(ctx context.Context, q db.DBTX, tenant string, id uuid.UUID) error {
	since, until := attempt.Believed(s.Clock.Now())
	p := db.AskAnewParams{Tenant: tenant, ID: id, ProvenSince: since, ProvenUntil: until}
	if s.Tenants != nil {
		t, _ := s.Tenants.Tenant(tenant)
		p.Providers = slices.Collect(maps.Keys(t.Providers))
	}
	if err := db.New(q).AskAnew(ctx, p); err != nil {
		return fmt.Errorf("have the provider of %s asked anew: %w", id, err)
	}
	return nil
}

// proven leaves of payouts, whose rows the caller holds, those that are proven not to have been paid.
func (s *Store) proven(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) ([]uuid.UUID, error) {
	doubts, err := s.Doubts(ctx, tx, ids...)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(ids), func(id uuid.UUID) bool {
		_, doubted := doubts[id]
		return doubted
	}), nil
}

// OfCancelled leaves of payouts those whose batch was cancelled.
func (s *Store) OfCancelled(ctx context.Context, tx pgx.Tx, ids ...uuid.UUID) ([]uuid.UUID, error) {
	cancelled, err := db.New(tx).OfCancelledBatches(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read which payouts are of cancelled batches: %w", err)
	}
	return cancelled, nil
}

// RefuseCancelled refuses to bring something of a cancelled batch back: the sweeper would cancel it again.
func (s *Store) RefuseCancelled(ctx context.Context, tx pgx.Tx, batch uuid.UUID) error {
	cancelled, err := db.New(tx).BatchIsCancelled(ctx, batch)
	if err != nil {
		return fmt.Errorf("read the control of batch %s: %w", batch, err)
	}
	if cancelled {
		return rpc.Refused("run_cancelled", "the payments of what was not paid are free: the next run plans them anew", "batch %s was cancelled with its run", batch)
	}
	return nil
}

// RetryRun has a failed run planned further, from where it stopped. What people approved of its batch was less than it will be, so they are
// asked again when its sum is known. A run that is queued or running already, say because somebody was faster, is left alone.
func (s *Store) RetryRun(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	r, err := s.Runs.Lock(ctx, tx, id)
	if err != nil {
		return err
	}
	switch r.State {
	case run.Queued, run.Running:
		return nil
	case run.Completed:
		return rpc.Refused("not_failed", "what of it failed is tried again by: agogo batches retry-failed "+BatchID(id).String()+" --reason TEXT", "run %s has not failed, it is completed", id)
	}
	if err := s.reopenBatch(ctx, tx, id); err != nil {
		return err
	}
	_, err = s.Runs.Resume(ctx, tx, r)
	if errors.Is(err, run.ErrBusy) {
		return rpc.Refused("schedule_busy", "give the command again when that run is over: agogo runs list --state running", "runs of one schedule follow each other: %v", err)
	}
	return err
}

// reopenBatch brings the batch of a run that is planned further to where it was while it was planned.
func (s *Store) reopenBatch(ctx context.Context, tx pgx.Tx, runID uuid.UUID) error {
	q, id := db.New(tx), BatchID(runID)
	batches, err := q.LockBatches(ctx, []uuid.UUID{id})
	if err != nil {
		return fmt.Errorf("lock the batch of run %s: %w", runID, err)
	}
	if len(batches) == 0 {
		return nil
	}
	b := batches[0]
	if b.Control == ControlCancelled {
		return rpc.Refused("batch_cancelled", "its payments are free: the next run plans them", "the batch of run %s was cancelled or rejected", runID)
	}
	if err := q.VoidApprovals(ctx, []uuid.UUID{id}); err != nil {
		return fmt.Errorf("void approvals of batch %s: %w", id, err)
	}
	if err := q.CountBatchApprovals(ctx, id); err != nil {
		return fmt.Errorf("count approvals of batch %s: %w", id, err)
	}
	if err := q.SetBatchApproval(ctx, db.SetBatchApprovalParams{BatchID: id}); err != nil {
		return fmt.Errorf("ask for no approval of batch %s before it is planned: %w", id, err)
	}
	if b.State == BatchCreated || b.State == BatchPaused {
		return nil
	}
	return s.moveBatch(ctx, tx, q, b, BatchCreated, payout.Reason{Scope: payout.ScopeBatch, Code: payout.CodeRunRetried})
}
