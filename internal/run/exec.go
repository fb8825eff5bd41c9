package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/crashpoint"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/stream"
)

// Page is what one transaction of a job did.
type Page struct {
	Cursor string // where the next page goes on
	Last   bool   // there is no next one
	Done   int    // added to the run's count
	// After is called when the page is committed; it may be nil.
	After func()
}

// Job does one page of a run in the transaction, after the run's cursor. The run's row is held, and the page is the one that
// the run waits for. What it makes for sending it wakes itself ([Store.WakeDispatch]); what comes next is not its concern.
type Job func(ctx context.Context, tx pgx.Tx, r Run) (Page, error)

// Jobs are a service's jobs by the names that schedules use: "payouts/daily".
type Jobs map[string]Job

// failure ends a run.
type failure struct {
	code string
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// Fail makes an error of a job that ends the run as failed, with a code for its event: trying such a page again would keep
// the schedule's next runs waiting for ever.
func Fail(code string, err error) error { return &failure{code, err} }

// codeUnknownJob is of runs whose job the service does not have (any more).
const codeUnknownJob = "unknown_job"

// Exec handles the consumer <service>-exec: it does pages of jobs and hands dispatch commands on.
type Exec struct {
	Runs   *Store
	Jobs   Jobs
	Logger *slog.Logger
	// Dispatch sends what is to be sent of a page.
	Dispatch func(ctx context.Context, run uuid.UUID, page int) error
	// Settle is [Store.Settle], or what a service has around it.
	Settle func(ctx context.Context, tx pgx.Tx, runs ...uuid.UUID) error
}

// Handle does what a command says.
func (x *Exec) Handle(ctx context.Context, m stream.Message) error {
	c, err := Decode(x.Runs.Service, m.Subject, m.Data)
	switch {
	case err != nil:
		return stream.Permanent(err)
	case c.Verb == VerbDispatch:
		return x.Dispatch(ctx, c.Run, c.Page)
	default:
		return x.plan(ctx, c.Place)
	}
}

// plan does one page of a run.
func (x *Exec) plan(ctx context.Context, at Place) error {
	r, err := x.Runs.Get(ctx, x.Runs.Pool, at.Run)
	if errors.Is(err, ErrNoRun) {
		return stream.Permanent(err)
	}
	if err != nil {
		return err
	}
	if !isNext(r, at) {
		x.Logger.DebugContext(ctx, "page is planned already", "run", r.ID, "page", at.Page)
		return nil
	}
	after, err := x.page(ctx, r.Job, at)
	var f *failure
	if errors.As(err, &f) {
		return x.fail(ctx, at, f)
	}
	if err != nil {
		return fmt.Errorf("plan page %d of run %s: %w", at.Page, at.Run, err)
	}
	crashpoint.Hit(x.Runs.Service + ".after_plan_commit")
	x.Runs.Outbox.Nudge()
	if after != nil {
		after()
	}
	return nil
}

// page does the job's page and moves the run past it, in one transaction.
func (x *Exec) page(ctx context.Context, name string, at Place) (after func(), err error) {
	job, ok := x.Jobs[name]
	if !ok {
		return nil, Fail(codeUnknownJob, fmt.Errorf("job %q of run %s: this service does not know the job", name, at.Run))
	}
	err = x.inPage(ctx, at, func(ctx context.Context, tx pgx.Tx, r Run) error {
		p, err := job(ctx, tx, r)
		if err != nil {
			return err
		}
		after = p.After
		return x.next(ctx, tx, r, p)
	})
	return after, err
}

// isNext reports whether the page is the one that the run waits for.
func isNext(r Run, at Place) bool {
	return r.State == Running && !r.Planned && r.Page == at.Page
}

// inPage runs fn in the transaction of the page, with the run's row held, unless another replica was faster.
func (x *Exec) inPage(ctx context.Context, at Place, fn func(ctx context.Context, tx pgx.Tx, r Run) error) error {
	return pg.InTx(ctx, x.Runs.Pool, func(tx pgx.Tx) error {
		r, err := x.Runs.Lock(ctx, tx, at.Run)
		if err != nil || !isNext(r, at) {
			return err
		}
		return fn(r.Cause(ctx), tx, r)
	})
}

// next moves a run to its next page, or ends its planning.
func (x *Exec) next(ctx context.Context, tx pgx.Tx, r Run, p Page) error {
	if err := x.Runs.Advance(ctx, tx, r.ID, p); err != nil {
		return err
	}
	if p.Last {
		return x.Settle(ctx, tx, r.ID)
	}
	return x.Runs.Outbox.Append(ctx, tx, x.Runs.message(ctx, VerbPlan, r.Tenant, Place{Run: r.ID, Page: r.Page + 1}, ""))
}

// fail ends a run whose planning cannot go on.
func (x *Exec) fail(ctx context.Context, at Place, cause *failure) error {
	x.Logger.ErrorContext(ctx, "run failed", "run", at.Run, "error", cause.err)
	err := x.inPage(ctx, at, func(ctx context.Context, tx pgx.Tx, r Run) error {
		return x.Runs.Finish(ctx, tx, r, Failed, cause.code)
	})
	if err != nil {
		return fmt.Errorf("fail run %s: %w", at.Run, err)
	}
	x.Runs.Outbox.Nudge()
	return nil
}
