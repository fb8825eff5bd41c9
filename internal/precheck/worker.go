package precheck

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/precheck/db"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/run"
)

const (
	// inSuccession is how many references in a row must be absent: an attempt that was refused without a trace leaves a gap, and the
	// next one follows it. There are never more such gaps in a row than attempts may make, whatever was lost with the tables.
	inSuccession = attempt.Traceless + 1
	// most is how many references of one subject are asked about at once. No tenant allows so many attempts.
	most = 64
	// page is how many questions a connector's worker takes at once, parallel how many it asks at once.
	page, parallel = 128, 16
	// questionLease is how long a page may take before another replica may ask the same. A question too many does no harm.
	questionLease = 10 * time.Minute
	every         = time.Second
	// keepPatience is how long recording the answers of a page may take when the service stops.
	keepPatience = 10 * time.Second
)

// Worker asks. It runs in every replica; questions are shared out by leases.
type Worker struct {
	Service    string
	Pool       *pgxpool.Pool
	Outbox     *outbox.Outbox
	Clock      clock.Clock
	Connectors *connector.Set
	Runs       *run.Store
	Gate       *Gate
	Logger     *slog.Logger
}

// Run asks until ctx ends, of each connector by itself: one that does not answer holds up nobody else.
func (w *Worker) Run(ctx context.Context) error {
	ctx = event.WithCause(ctx, event.Cause{Actor: run.Actor(w.Service), CorrelationID: "restore"})
	var loops sync.WaitGroup
	for _, c := range w.Connectors.All() {
		loops.Go(func() { w.loop(ctx, c) })
	}
	loops.Wait()
	<-ctx.Done()
	return nil
}

func (w *Worker) loop(ctx context.Context, c *connector.Connector) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		more, err := w.pass(ctx, c)
		if err != nil && ctx.Err() == nil {
			w.Logger.ErrorContext(ctx, w.Service+": asking before first sends failed, trying again", "tenant", c.Tenant, "provider", c.Provider, "error", err)
		}
		if more && err == nil && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Pass asks what is due of all connectors, once, for tests.
func (w *Worker) Pass(ctx context.Context) error {
	ctx = event.WithCause(ctx, event.Cause{Actor: run.Actor(w.Service), CorrelationID: "restore"})
	var errs []error
	for _, c := range w.Connectors.All() {
		_, err := w.pass(ctx, c)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// pass asks whose the ids are by which webhooks wait, takes a page of what is due of a connector, asks, and keeps the answers.
func (w *Worker) pass(ctx context.Context, c *connector.Connector) (more bool, err error) {
	unasked, idle, err := w.name(ctx, c)
	if err != nil || idle {
		return false, err
	}
	due, err := w.claim(ctx, c, unasked)
	if err != nil || len(due) == 0 {
		return false, err
	}
	answered := make([]db.ClaimRow, len(due))
	slots := make(chan struct{}, parallel)
	var asked sync.WaitGroup
	for i, q := range due {
		slots <- struct{}{}
		asked.Go(func() {
			defer func() { <-slots }()
			answered[i] = w.answer(ctx, c, q)
		})
	}
	asked.Wait()
	if slices.ContainsFunc(answered, func(q db.ClaimRow) bool { return q.State == absent }) {
		if unasked, _, err = w.name(ctx, c); err != nil { // what came meanwhile may be about it
			unasked = true
			w.Logger.ErrorContext(ctx, w.Service+": not known what waiting webhooks are about, so nothing is proven", "tenant", c.Tenant, "provider", c.Provider, "error", err)
		}
	}
	kept, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepPatience) // also when ctx has ended: it gives the leases back
	defer cancel()
	return len(due) == page, w.keep(kept, c, answered, unasked)
}

// claim takes what is due, and what may be proven.
func (w *Worker) claim(ctx context.Context, c *connector.Connector, unasked bool) (due []db.ClaimRow, err error) {
	err = pg.InTx(ctx, w.Pool, func(tx pgx.Tx) (err error) {
		oldest, err := unnamed(ctx, tx, c, unasked)
		if err != nil {
			return err
		}
		due, err = db.New(tx).Claim(ctx, db.ClaimParams{
			LeaseSeconds: questionLease.Seconds(), Tenant: c.Tenant, Provider: c.Provider, At: w.Clock.Now(), PageLimit: page,
			ProvableUntil: oldest.Add(-awaited),
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("claim questions: %w", err)
	}
	return due, nil
}

// answer asks about one subject and says what is known of it then.
func (w *Worker) answer(ctx context.Context, c *connector.Connector, q db.ClaimRow) db.ClaimRow {
	now := w.Clock.Now() // what a provider does not know, it did not know when it was asked
	upto, err := w.ask(ctx, c, q)
	if err != nil && ctx.Err() != nil {
		return q // not asked to the end, which says nothing
	}
	if err != nil {
		w.Logger.WarnContext(ctx, w.Service+": not known whether it was sent before the restore, asking again", "tenant", c.Tenant,
			"provider", c.Provider, "subject", q.SubjectID, "error", err)
		q.NextAt = now.Add(c.Policy.LookupAfter[min(int(q.Unanswered), len(c.Policy.LookupAfter)-1)])
		q.Unanswered++
		return q
	}
	q.Unanswered = 0
	if upto > 0 {
		w.Logger.WarnContext(ctx, w.Service+": it was sent before the restore; its attempts are taken over", "tenant", c.Tenant,
			"provider", c.Provider, "subject", q.SubjectID, "attempts", upto)
		q.State, q.Found, q.NextAt = found, int32(upto), now
		return q
	}
	b, next, proven := attempt.Absence{Reads: int(q.AbsentReads), First: q.FirstAbsentAt}.Read(c.Policy, q.SentUntil, now)
	q.AbsentReads, q.FirstAbsentAt, q.NextAt = int32(b.Reads), b.First, next
	if proven {
		q.State, q.ProvenAt = absent, &now
	}
	return q
}

// ask looks references up until as many in succession are absent as prove that there is none after them, and returns the last that
// is there, 0 when none is.
func (w *Worker) ask(ctx context.Context, c *connector.Connector, q db.ClaimRow) (upto int, err error) {
	defer func() {
		if p := recover(); p != nil { // a defect of an adapter is no answer
			w.Logger.ErrorContext(ctx, w.Service+": the adapter panicked while looking up", "provider", c.Provider, "panic", provider.Panic(p))
			err = errors.New("the adapter panicked")
		}
	}()
	missing := 0
	for n := int(q.Number); missing < inSuccession; n++ {
		if n-int(q.Number) >= most {
			return 0, fmt.Errorf("more than %d attempts of %s are there", most, q.SubjectID)
		}
		exists, err := w.lookup(ctx, c, q, n)
		if err != nil {
			return 0, fmt.Errorf("attempt %d: %w", n, err)
		}
		if exists {
			upto, missing = n, 0
		} else {
			missing++
		}
	}
	return upto, nil
}

func (w *Worker) lookup(ctx context.Context, c *connector.Connector, q db.ClaimRow, n int) (exists bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, questionLease/2)
	defer cancel()
	if _, err := c.Throttle.Take(ctx, 1); err != nil {
		return false, err
	}
	t := provider.Transfer{
		Tenant: q.Tenant, Reference: w.Gate.Reference(q.SubjectID, n), Destination: q.Destination,
		Amount: money.Amount{Minor: q.Amount, Currency: money.Currency(q.Currency)},
	}
	if q.SentSince != nil {
		t.SubmittedAt = *q.SentSince
	}
	if named, err := w.named(ctx, c, t.Reference); named || err != nil {
		return named, err
	}
	f, err := c.Lookuper.Lookup(ctx, t)
	return f.Exists, err
}

// keep stores answers and has sent, or taken over, what is decided.
func (w *Worker) keep(ctx context.Context, c *connector.Connector, answered []db.ClaimRow, unasked bool) error {
	err := pg.InTx(ctx, w.Pool, func(tx pgx.Tx) error {
		believed, err := w.Gate.unspoken(ctx, tx, c, answered)
		if err != nil {
			return err
		}
		oldest, err := unnamed(ctx, tx, c, unasked)
		if err != nil {
			return err
		}
		p, places := records(withheld(believed, oldest, w.Clock.Now()))
		if err := db.New(tx).Record(ctx, p); err != nil {
			return fmt.Errorf("record what providers say of first sends: %w", err)
		}
		return w.Runs.WakeDispatch(ctx, tx, "b"+strconv.FormatInt(w.Clock.Now().UnixMilli(), 36), places...)
	})
	w.Outbox.Nudge()
	return err
}

// records are answers as they are stored, and the places whose dispatch they wake.
func records(answered []db.ClaimRow) (p db.RecordParams, places []run.Place) {
	for _, q := range answered {
		p.SubjectIds, p.Epochs, p.Numbers = append(p.SubjectIds, q.SubjectID), append(p.Epochs, q.Epoch), append(p.Numbers, q.Number)
		p.Providers, p.States, p.Founds = append(p.Providers, q.Provider), append(p.States, q.State), append(p.Founds, q.Found)
		p.AbsentReads, p.FirstAbsents = append(p.AbsentReads, q.AbsentReads), append(p.FirstAbsents, orZero(q.FirstAbsentAt))
		p.Provens = append(p.Provens, orZero(q.ProvenAt))
		p.Unanswereds, p.NextAts = append(p.Unanswereds, q.Unanswered), append(p.NextAts, q.NextAt)
		p.Versions = append(p.Versions, q.Version)
		if q.State != asking {
			places = append(places, run.Place{Run: q.RunID, Page: int(q.Page)})
		}
	}
	return p, places
}

// orZero is the zero time for NULL: arrays of nullable elements are clumsy in a driver.
func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
