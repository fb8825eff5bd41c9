package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/run"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// The states of a batch that a control sets; the others are derived from its payouts.
const (
	BatchCreated   = "created"
	BatchAwaiting  = "awaiting_approval"
	BatchApproved  = "approved"
	BatchRejected  = "rejected"
	BatchPaused    = "paused"
	BatchCancelled = "cancelled"
)

// The controls of a batch.
const (
	ControlOpen      = "open"
	ControlPaused    = "paused"
	ControlCancelled = "cancelled"
)

// BatchID is the identity of a run's batch.
func BatchID(run uuid.UUID) uuid.UUID { return event.UUID("batch", run.String()) }

// CreateBatch makes a run's batch; a second call does nothing.
func (s *Store) CreateBatch(ctx context.Context, tx pgx.Tx, r run.Run, currency money.Currency) (uuid.UUID, error) {
	id := BatchID(r.ID)
	n, err := db.New(tx).InsertBatch(ctx, db.InsertBatchParams{
		BatchID: id, Tenant: r.Tenant, RunID: r.ID, PeriodDate: r.LocalDate, Currency: string(currency), Now: s.Clock.Now(),
	})
	if err != nil {
		return uuid.Nil, fmt.Errorf("insert batch of run %s: %w", r.ID, err)
	}
	if n == 0 {
		return id, nil
	}
	zero := MoneyProto(money.Amount{Currency: currency})
	body := &eventsv1.PayoutBatch{
		BatchId: id.String(), Tenant: r.Tenant, RunId: r.ID.String(), PeriodDate: r.LocalDate, State: BatchCreated,
		Control: ControlOpen, Counts: map[string]int64{}, Gross: zero, Commission: zero, Net: zero,
	}
	msg, err := s.Event(ctx, r.Tenant, "payout_batch.created", id.String(), 1, body)
	if err != nil {
		return uuid.Nil, err
	}
	return id, s.Outbox.Append(ctx, tx, msg)
}

// PauseBatch stops sending a batch's payouts, until a person resumes it; what is on its way is followed. It reports false
// when the batch cannot be paused as it is.
func (s *Store) PauseBatch(ctx context.Context, tx pgx.Tx, id uuid.UUID, reason payout.Reason) (bool, error) {
	return s.controlBatch(ctx, tx, id, BatchPaused, ControlPaused, reason, reason.Code)
}

// PauseBatchBy is [Store.PauseBatch] by a person, whose words stay with the batch; events only say that it was a person.
func (s *Store) PauseBatchBy(ctx context.Context, tx pgx.Tx, id uuid.UUID, words string) (bool, error) {
	return s.controlBatch(ctx, tx, id, BatchPaused, ControlPaused, payout.HeldBy(payout.CodeByPerson), words)
}

// HoldsRest reports whether the rest of a batch is held that paused itself for its failures.
func (s *Store) HoldsRest(tenant string) bool {
	return s.rules(tenant).OnFailures == config.OnFailuresHold
}

// ResumeBatch lifts a pause. Failures so far are taken as seen, so that the next one does not pause the batch again. A batch
// that lacks approvals waits for them then, and actor has asked for that.
func (s *Store) ResumeBatch(ctx context.Context, tx pgx.Tx, id uuid.UUID, actor string) (bool, error) {
	ok, err := s.controlBatch(ctx, tx, id, BatchCreated, ControlOpen, payout.Reason{}, "")
	if err != nil || !ok {
		return ok, err
	}
	return true, s.askAgain(ctx, tx, db.New(tx), id, actor)
}

func (s *Store) controlBatch(ctx context.Context, tx pgx.Tx, id uuid.UUID, state, control string, reason payout.Reason, words string) (bool, error) {
	q := db.New(tx)
	locked, err := q.LockBatches(ctx, []uuid.UUID{id})
	if err != nil {
		return false, fmt.Errorf("lock batch %s: %w", id, err)
	}
	if len(locked) == 0 || locked[0].Control == control {
		return false, nil
	}
	b := locked[0]
	if _, ok := event.PayoutBatch.Event(b.State, state); !ok {
		return false, nil
	}
	err = q.SetBatchControl(ctx, db.SetBatchControlParams{
		Control: control, ControlReason: words, State: state, AcceptFailures: control == ControlOpen, BatchID: id,
	})
	if err != nil {
		return false, fmt.Errorf("set control of batch %s: %w", id, err)
	}
	from := b.State
	b.Control = control
	return true, s.tellBatch(ctx, tx, q, b, from, state, reason)
}

// moveBatch brings a locked batch to a derived state.
func (s *Store) moveBatch(ctx context.Context, tx pgx.Tx, q *db.Queries, b db.LockBatchesRow, to string, reason payout.Reason) error {
	if _, ok := event.PayoutBatch.Event(b.State, to); !ok {
		return nil // another replica moved it between the read and the lock, or the table keeps it where it is
	}
	if err := q.SetBatchState(ctx, db.SetBatchStateParams{State: to, BatchID: b.BatchID}); err != nil {
		return fmt.Errorf("move batch %s: %w", b.BatchID, err)
	}
	return s.tellBatch(ctx, tx, q, b, b.State, to, reason)
}

// tellBatch emits the event of a move that was just written.
func (s *Store) tellBatch(ctx context.Context, tx pgx.Tx, q *db.Queries, b db.LockBatchesRow, from, to string, reason payout.Reason) error {
	t, err := eventOf(event.PayoutBatch, from, to)
	if err != nil {
		return err
	}
	counts, err := q.BatchCounts(ctx, []uuid.UUID{b.BatchID})
	if err != nil {
		return fmt.Errorf("count payouts of batch %s: %w", b.BatchID, err)
	}
	amount := money.Amount{Currency: money.Currency(b.Currency)}
	body := &eventsv1.PayoutBatch{
		BatchId: b.BatchID.String(), Tenant: b.Tenant, RunId: b.RunID.String(), PeriodDate: b.PeriodDate, State: to,
		PreviousState: from, Control: b.Control, Reason: ReasonProto(reason), Counts: map[string]int64{},
		Gross: MoneyProto(amount), Commission: MoneyProto(amount), Net: MoneyProto(amount),
	}
	for _, c := range counts {
		body.Counts[c.State] = c.Count
		body.Gross.Minor += c.Gross
		body.Commission.Minor += c.Commission
		body.Net.Minor += c.Net
	}
	msg, err := s.Event(ctx, b.Tenant, t, b.BatchID.String(), b.Version+1, body)
	if err != nil {
		return err
	}
	return s.Outbox.Append(ctx, tx, msg)
}
