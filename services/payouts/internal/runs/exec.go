package runs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/crashpoint"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/services/payouts/internal/breaks"
	"github.com/agogopay/agogo/services/payouts/internal/command"
	"github.com/agogopay/agogo/services/payouts/internal/plan"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// askPage is how many open attempts one page of check-pending asks about.
const askPage = 100

// Exec handles the consumer payouts-exec: it plans pages and hands dispatch commands on.
type Exec struct {
	Pool    *pgxpool.Pool
	Store   *store.Store
	Outbox  *outbox.Outbox
	Planner *plan.Planner
	Breaks  *breaks.Breaks
	Logger  *slog.Logger
	// Dispatch sends the approved payouts of a page.
	Dispatch func(ctx context.Context, runID uuid.UUID, page int) error
	// AskPage asks providers about a page of the tenant's open attempts, after a place that an earlier call returned ("" at
	// first), and returns the next place, "" at the end, and how many it asked about.
	AskPage func(ctx context.Context, tenant, after string, limit int) (next string, asked int, err error)
}

// Handle does what a command says.
func (e *Exec) Handle(ctx context.Context, m stream.Message) error {
	c, err := command.Decode(m.Subject, m.Data)
	switch {
	case err != nil:
		return stream.Permanent(err)
	case c.Dispatch != nil:
		return e.Dispatch(ctx, c.Dispatch.RunID, c.Dispatch.Page)
	default:
		return e.plan(ctx, *c.Plan)
	}
}

// plan does one page of a run's planning.
func (e *Exec) plan(ctx context.Context, c command.Plan) error {
	r, err := e.Store.Run(ctx, e.Pool, c.RunID)
	if errors.Is(err, store.ErrNoRun) {
		return stream.Permanent(err)
	}
	if err != nil {
		return err
	}
	if !isNext(r, c) {
		e.Logger.DebugContext(ctx, "page is planned already", "run", r.ID, "page", c.Page)
		return nil
	}
	switch r.Job {
	case JobDaily:
		err = e.inPage(ctx, c, e.Planner.Page)
	case JobCheckPending:
		err = e.ask(ctx, r, c)
	case JobResetBreaks:
		err = e.inPage(ctx, c, e.resetBreaks)
	default:
		err = fmt.Errorf("job %q of run %s: %w", r.Job, r.ID, errUnknownJob)
	}
	if errors.Is(err, plan.ErrNotConfigured) || errors.Is(err, errUnknownJob) {
		return e.fail(ctx, c, err)
	}
	if err != nil {
		return fmt.Errorf("plan page %d of run %s: %w", c.Page, c.RunID, err)
	}
	crashpoint.Hit("payouts.after_plan_commit")
	e.Outbox.Nudge()
	return nil
}

var errUnknownJob = errors.New("this service does not know the job")

// isNext reports whether the command's page is the one that the run waits for.
func isNext(r store.Run, c command.Plan) bool {
	return r.State == store.RunRunning && !r.Planned && r.Page == c.Page
}

// inPage runs fn in the transaction of the page, with the run's row held, unless another replica was faster.
func (e *Exec) inPage(ctx context.Context, c command.Plan, fn func(ctx context.Context, tx pgx.Tx, r store.Run) error) error {
	return pg.InTx(ctx, e.Pool, func(tx pgx.Tx) error {
		r, err := e.Store.LockRun(ctx, tx, c.RunID)
		if err != nil || !isNext(r, c) {
			return err
		}
		return fn(r.Cause(ctx), tx, r)
	})
}

// ask asks about one page of open attempts, outside any transaction, and then notes how far it came. Two replicas that ask
// the same page do no harm: they read.
func (e *Exec) ask(ctx context.Context, r store.Run, c command.Plan) error {
	next, asked, err := e.AskPage(ctx, r.Tenant, r.Cursor, askPage)
	if err != nil {
		return fmt.Errorf("ask about open attempts after %q: %w", r.Cursor, err)
	}
	return e.inPage(ctx, c, func(ctx context.Context, tx pgx.Tx, r store.Run) error {
		return e.next(ctx, tx, r, next, next == "", asked)
	})
}

// resetBreaks resets one page of breaks.
func (e *Exec) resetBreaks(ctx context.Context, tx pgx.Tx, r store.Run) error {
	last, reset, err := e.Breaks.ResetPage(ctx, tx, r.Tenant, r.LocalDate, r.Cursor)
	if err != nil {
		return err
	}
	return e.next(ctx, tx, r, last, last == "", reset)
}

// next moves a run without payouts to its next page, or completes it.
func (e *Exec) next(ctx context.Context, tx pgx.Tx, r store.Run, cursor string, last bool, done int) error {
	if err := e.Store.Advance(ctx, tx, r.ID, cursor, last, done); err != nil {
		return err
	}
	if last {
		return e.Store.Settle(ctx, tx, r.ID)
	}
	return e.Outbox.Append(ctx, tx, command.Plan{RunID: r.ID, Page: r.Page + 1}.Message(ctx, e.Store.Epoch, ""))
}

// fail ends a run whose planning cannot go on: trying again would keep the schedule's next runs waiting for ever.
func (e *Exec) fail(ctx context.Context, c command.Plan, cause error) error {
	e.Logger.ErrorContext(ctx, "run failed", "run", c.RunID, "error", cause)
	code := "not_configured"
	if errors.Is(cause, errUnknownJob) {
		code = "unknown_job"
	}
	err := e.inPage(ctx, c, func(ctx context.Context, tx pgx.Tx, r store.Run) error {
		return e.Store.FinishRun(ctx, tx, r, store.RunFailed, code)
	})
	if err != nil {
		return fmt.Errorf("fail run %s: %w", c.RunID, err)
	}
	e.Outbox.Nudge()
	return nil
}
