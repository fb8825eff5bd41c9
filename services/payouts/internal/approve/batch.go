package approve

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/services/payouts/internal/admin"
	"github.com/agogopay/agogo/services/payouts/internal/store"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// chunk is how many payouts one statement decides about.
const chunk = 500

// ApproveBatch records the caller's approval of a batch, and of every payout of it that waits on its own. Payouts that the
// caller may not approve are left to others, and counted.
func (a *Approver) ApproveBatch(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, reason string) (done admin.Approved, err error) {
	actor, err := caller(ctx)
	if err != nil {
		return done, err
	}
	b, err := a.batch(ctx, tx, tenant, actor, id)
	if err != nil {
		return done, err
	}
	waited := b.State == store.BatchAwaiting
	if waited {
		if err := a.agree(ctx, tx, b, actor, reason); err != nil {
			return done, err
		}
	}
	seen, err := a.eachWaiting(ctx, tx, id, func(ids []uuid.UUID) error {
		return a.approveSome(ctx, tx, tenant, actor, reason, ids, &done)
	})
	if err == nil && seen == 0 && !waited {
		err = nothingWaits(id, b.State)
	}
	return done, err
}

func nothingWaits(id uuid.UUID, state string) error {
	return rpc.Refused("state", "look at it: agogo batches get "+id.String(), "batch %s is %s and nothing of it waits for approval", id, state)
}

func (a *Approver) batch(ctx context.Context, tx pgx.Tx, tenant, actor string, id uuid.UUID) (db.BatchOfRow, error) {
	q := db.New(tx)
	if _, err := q.LockBatches(ctx, []uuid.UUID{id}); err != nil {
		return db.BatchOfRow{}, fmt.Errorf("lock batch %s: %w", id, err)
	}
	b, err := q.BatchOf(ctx, db.BatchOfParams{Actor: actor, BatchID: id, Tenant: tenant})
	if errors.Is(err, pgx.ErrNoRows) {
		return b, rpc.NotFound("batch", id.String())
	}
	if err != nil {
		return b, fmt.Errorf("read batch %s: %w", id, err)
	}
	return b, nil
}

func (a *Approver) agree(ctx context.Context, tx pgx.Tx, b db.BatchOfRow, actor, reason string) error {
	t := ties{word: b.Word, started: b.Started, imported: b.Imported, expires: b.ApprovalExpiresAt}
	if bar := t.bars(a.Clock.Now()); bar != "" {
		return refuse(bar, "batch "+b.BatchID.String(), "agogo batches resume "+b.BatchID.String())
	}
	return a.Store.AgreeToBatch(ctx, tx, b.BatchID, actor, reason)
}

// eachWaiting goes through the payouts of a batch that wait, and says how many there were.
func (a *Approver) eachWaiting(ctx context.Context, tx pgx.Tx, batch uuid.UUID, do func([]uuid.UUID) error) (int, error) {
	q, seen := db.New(tx), 0
	for after := uuid.Nil; ; {
		ids, err := q.WaitingOfBatch(ctx, db.WaitingOfBatchParams{BatchID: batch, After: after, PageLimit: chunk})
		if err != nil {
			return seen, fmt.Errorf("find payouts of batch %s that wait: %w", batch, err)
		}
		if len(ids) == 0 {
			return seen, nil
		}
		if err := do(ids); err != nil {
			return seen, err
		}
		after, seen = ids[len(ids)-1], seen+len(ids)
	}
}

func (a *Approver) approveSome(ctx context.Context, tx pgx.Tx, tenant, actor, reason string, ids []uuid.UUID, done *admin.Approved) error {
	rows, err := a.waiting(ctx, tx, tenant, actor, ids)
	if err != nil {
		return err
	}
	now := a.Clock.Now()
	mine := make([]uuid.UUID, 0, len(rows))
	for _, r := range rows {
		switch tiesOf(r).bars(now) {
		case "":
			mine = append(mine, r.PayoutID)
		case barTwice:
			done.Waiting++
		default:
			done.LeftToOthers++
		}
	}
	agreed, err := a.Store.Agree(ctx, tx, actor, reason, mine...)
	done.Approved += agreed
	done.Waiting += len(mine) - agreed
	return err
}

// RejectBatch rejects what of a batch waits, but for what was sent before and may have been paid: that waits on. A batch that waits itself ends with it: the rest of its payouts is cancelled, and
// all their items are free for another run.
func (a *Approver) RejectBatch(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, reason string) (admin.Rejected, error) {
	var done admin.Rejected
	actor, err := caller(ctx)
	if err != nil {
		return done, err
	}
	b, err := a.batch(ctx, tx, tenant, actor, id)
	if err != nil {
		return done, err
	}
	var first []uuid.UUID
	seen, err := a.eachWaiting(ctx, tx, id, func(ids []uuid.UUID) error {
		if first == nil {
			first = ids
		}
		some, err := a.rejectSome(ctx, tx, tenant, actor, reason, ids)
		done.Rejected += some
		return err
	})
	done.LeftInDoubt = seen - done.Rejected
	switch {
	case err != nil:
		return done, err
	case b.State == store.BatchAwaiting:
		return done, a.Store.RejectBatch(ctx, tx, id, actor, reason)
	case seen == 0:
		return done, nothingWaits(id, b.State)
	case done.Rejected == 0:
		return done, a.inDoubt(ctx, tx, "all that waits of batch "+id.String(), first...)
	default:
		return done, nil
	}
}

func (a *Approver) rejectSome(ctx context.Context, tx pgx.Tx, tenant, actor, reason string, ids []uuid.UUID) (int, error) {
	rows, err := a.waiting(ctx, tx, tenant, actor, ids) // locked before their attempts are read
	if err != nil {
		return 0, err
	}
	waiting := make([]uuid.UUID, len(rows))
	for i, r := range rows {
		waiting[i] = r.PayoutID
	}
	return a.Store.Reject(ctx, tx, actor, reason, waiting...)
}
