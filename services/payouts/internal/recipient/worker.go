package recipient

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/recipient/db"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

const (
	// page is how many wallets of a connector are asked about at once, parallel how many of them at the same time.
	page, parallel = 64, 8
	// lease is how long a page may take before another replica may ask the same, asking how long its questions may.
	lease, asking = 10 * time.Minute, 8 * time.Minute
	// keeping is how long recording the answers of a page may take when the service stops.
	keeping = 10 * time.Second
	every   = time.Second
	// longest is the longest pause of a connector that answers nothing.
	longest = time.Minute
)

// Worker asks. It runs in every replica; questions are shared out by leases, and each replica asks within its share of the provider's
// rate.
type Worker struct {
	Pool       *pgxpool.Pool
	Clock      clock.Clock
	Connectors *connector.Set
	States     *provider.States
	Logger     *slog.Logger
}

// Run asks until ctx ends, of each connector by itself: one that does not answer holds up nobody else.
func (w *Worker) Run(ctx context.Context) error {
	ctx = caused(ctx)
	var loops sync.WaitGroup
	for _, c := range w.Connectors.All() {
		if c.Recipients != nil {
			loops.Go(func() { w.loop(ctx, c) })
		}
	}
	loops.Wait()
	<-ctx.Done()
	return nil
}

func caused(ctx context.Context) context.Context {
	return event.WithCause(ctx, event.Cause{Actor: run.Actor(store.Service), CorrelationID: "recipients"})
}

// loop asks a connector. While it answers nothing it is asked one question at a time, after pauses that grow.
func (w *Worker) loop(ctx context.Context, c *connector.Connector) {
	most, pause := page, every
	for ctx.Err() == nil {
		p, err := w.pass(ctx, c, most)
		if err != nil && ctx.Err() == nil {
			w.Logger.ErrorContext(ctx, "payouts: asking about wallets failed, trying again", "tenant", c.Tenant, "provider", c.Provider, "error", err)
		}
		switch {
		case p.asked > 0 && p.answered == 0:
			most, pause = 1, min(2*pause, longest)
		case p.answered > 0:
			most, pause = page, every
		}
		if p.asked == page && p.answered > 0 && err == nil {
			continue
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Pass asks what is due of all connectors, once, for tests.
func (w *Worker) Pass(ctx context.Context) error {
	var errs []error
	for _, c := range w.Connectors.All() {
		if c.Recipients != nil {
			_, err := w.pass(caused(ctx), c, page)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// passed is what a pass came to.
type passed struct{ asked, answered int }

// pass takes a page of what is due of a connector, asks outside any transaction, and keeps the answers. A connector that is stopped, or
// rests, is not asked; one that is degraded is asked one question.
func (w *Worker) pass(ctx context.Context, c *connector.Connector, most int) (passed, error) {
	st, err := w.States.Get(ctx, w.Pool, c.Connector)
	switch {
	case err != nil:
		return passed{}, err
	case st.State == provider.Stopped || st.Resting(w.Clock.Now()) && !st.WantsFloat(w.Clock.Now()):
		return passed{}, nil
	case st.State == provider.Degraded:
		most = 1
	}
	due, err := db.New(w.Pool).Claim(ctx, db.ClaimParams{
		LeaseSeconds: lease.Seconds(), Tenant: c.Tenant, Provider: c.Provider, At: w.Clock.Now(), PageLimit: int32(most),
	})
	if err != nil || len(due) == 0 {
		return passed{}, wrapped("claim wallets to ask about", err)
	}
	p, results := w.ask(ctx, c, due)
	kept, cancel := context.WithTimeout(context.WithoutCancel(ctx), keeping) // also when ctx has ended: it gives the leases back
	defer cancel()
	return p, w.keep(kept, c, due, results)
}

func wrapped(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// ask puts all questions of a page and writes what is known then into due. It returns what concerns the connector itself.
func (w *Worker) ask(ctx context.Context, c *connector.Connector, due []db.ClaimRow) (passed, []provider.Result) {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	var (
		p       = passed{asked: len(due)}
		mu      sync.Mutex
		results []provider.Result
		slots   = make(chan struct{}, parallel)
		asked   sync.WaitGroup
	)
	for i := range due {
		slots <- struct{}{}
		asked.Go(func() {
			defer func() { <-slots }()
			q, res, ok := w.answer(ctx, c, due[i])
			mu.Lock()
			defer mu.Unlock()
			due[i] = q
			if ok {
				p.answered++
			}
			if res.Stop || res.SlowDown {
				results = append(results, res)
			}
		})
	}
	asked.Wait()
	return p, results
}

// answer asks about one wallet. Logs name the payee by id only, and say nothing of what the provider has said.
func (w *Worker) answer(ctx context.Context, c *connector.Connector, q db.ClaimRow) (db.ClaimRow, provider.Result, bool) {
	r, err := w.question(ctx, c, q)
	now := w.Clock.Now()
	if err == nil {
		return answered(q, r, now), provider.Result{}, true
	}
	if ctx.Err() != nil {
		return q, provider.Result{}, false // not asked to the end, which says nothing
	}
	w.Logger.WarnContext(ctx, "payouts: not known whose wallet it is, asking again", "tenant", c.Tenant, "provider", c.Provider,
		"payee", q.PayeeID, "unanswered", q.Unanswered+1, "error", err)
	var f *provider.Failure
	if errors.As(err, &f) {
		return silent(q, c.Policy.LookupAfter, now), f.Result, false
	}
	return silent(q, c.Policy.LookupAfter, now), provider.Result{}, false
}

// question makes the call, within this replica's share of the provider's rate: of a name, some providers are asked in a second call.
func (w *Worker) question(ctx context.Context, c *connector.Connector, q db.ClaimRow) (r provider.Recipient, err error) {
	defer func() {
		if p := recover(); p != nil { // a defect of an adapter is no answer
			w.Logger.ErrorContext(ctx, "payouts: the adapter panicked while asking about a wallet", "provider", c.Provider, "panic", provider.Panic(p))
			err = errors.New("the adapter panicked")
		}
	}()
	name, calls := q.Name, 2
	if q.Rule == config.VerifyWallet {
		name, calls = "", 1 // whose it is, nobody wants to know: the name stays here
	}
	for range calls {
		if _, err := c.Throttle.Take(ctx, 1); err != nil {
			return r, err
		}
	}
	return c.Recipients.VerifyRecipient(ctx, q.Destination, name, money.Amount{Minor: q.Amount, Currency: money.Currency(q.Currency)})
}

// keep records a page, and lets the connector's state know of what concerns it: a refused credential stops it, too many calls make it rest.
func (w *Worker) keep(ctx context.Context, c *connector.Connector, known []db.ClaimRow, results []provider.Result) error {
	p := db.RecordParams{Tenant: c.Tenant, Provider: c.Provider}
	for _, q := range known {
		p.PayeeIds, p.Destinations, p.Leases = append(p.PayeeIds, q.PayeeID), append(p.Destinations, q.Destination), append(p.Leases, orZero(q.LeaseExpiresAt))
		p.States, p.Codes, p.Sinces = append(p.States, q.State), append(p.Codes, q.Code), append(p.Sinces, q.Since)
		p.CheckedAts, p.Unanswereds = append(p.CheckedAts, orZero(q.CheckedAt)), append(p.Unanswereds, q.Unanswered)
		p.Covers, p.Refuses, p.Noes = append(p.Covers, orNone(q.Covers)), append(p.Refuses, orNone(q.Refuses)), append(p.Noes, q.Noes)
		p.NextAts = append(p.NextAts, orZero(q.NextAt))
	}
	return pg.InTx(ctx, w.Pool, func(tx pgx.Tx) error {
		if err := db.New(tx).Record(ctx, p); err != nil {
			return wrapped("record what providers say of wallets", err)
		}
		if len(results) == 0 {
			return nil
		}
		_, err := w.States.Observe(ctx, tx, c.Connector, results)
		return err
	})
}

// orNone is orZero for amounts, of which none is zero.
func orNone(amount *int64) int64 {
	if amount == nil {
		return 0
	}
	return *amount
}

// orZero is the zero time for NULL: arrays of nullable elements are clumsy in a driver.
func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
