package closing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/reconcile"
	"github.com/agogopay/agogo/internal/retention"
	"github.com/agogopay/agogo/internal/visible"
	"github.com/agogopay/agogo/services/payouts/internal/closing/db"
)

// errLost means that somebody else works on the close now.
var errLost = errors.New("the lease of the close is lost")

// Wake makes Run look at once.
func (c *Closer) Wake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Run closes what was asked for until ctx ends. It looks by real time, as leases run by it, at what is due by the service's
// clock. One close at a time is enough: they are few, and a statement is read as fast as the provider gives it.
func (c *Closer) Run(ctx context.Context) error {
	tick := time.NewTicker(c.Every)
	defer tick.Stop()
	for {
		more, err := c.Pass(ctx)
		if err != nil && ctx.Err() == nil {
			c.Logger.ErrorContext(ctx, c.Service+": a day could not be closed, trying again", "error", err)
		}
		if more && err == nil && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		case <-tick.C:
		}
	}
}

// Pass works on one close that is due; more says that there was one. A close that fails waits for its next try, and is no error.
func (c *Closer) Pass(ctx context.Context) (more bool, err error) {
	ctx = c.cause(ctx)
	if c.Key == nil { // whoever was asked is another replica, with a key
		return false, nil
	}
	if err := c.askAbout(ctx); err != nil {
		return false, err
	}
	if err := c.measure(ctx); err != nil {
		return false, err
	}
	var due []db.Close
	err = pg.InTx(ctx, c.Pool, func(tx pgx.Tx) (err error) {
		due, err = db.New(tx).Claim(ctx, db.ClaimParams{Owner: c.Owner, LeaseSeconds: c.Lease.Seconds(), Now: c.Clock.Now()})
		return err
	})
	if err != nil || len(due) == 0 {
		return false, err
	}
	k := due[0]
	err = c.close(ctx, k)
	switch {
	case err == nil:
		return true, c.askAbout(ctx)
	case errors.Is(err, errLost):
		return false, nil
	case ctx.Err() != nil: // we are stopping; the lease ends by itself
		return false, err
	}
	c.Logger.ErrorContext(ctx, c.Service+": a day could not be closed, it is tried again later", "tenant", k.Tenant, "provider", k.Provider,
		"date", dateOf(k.LocalDate), "tries", k.Tries+1, "error", err)
	return true, c.fail(ctx, k, err)
}

// close reads, then judges.
func (c *Closer) close(ctx context.Context, k db.Close) error {
	conn, ok := c.Connectors.Get(k.Tenant, k.Provider)
	if !ok {
		return fmt.Errorf("tenant %s has no provider %s in the tenants file: put it back until its days are closed", k.Tenant, k.Provider)
	}
	read, err := c.read(ctx, k, conn)
	if err != nil {
		return err
	}
	if err := c.judge(ctx, k, read); err != nil {
		return err
	}
	c.Outbox.Nudge()
	return nil
}

// tryAgain is how long a close waits after its tries; the last one goes on for ever.
var tryAgain = [...]time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour}

// fail puts a close off, and all that have to wait for it. Their runs are not kept open by them any longer: they are behind the provider now.
func (c *Closer) fail(ctx context.Context, k db.Close, cause error) error {
	return pg.InTx(ctx, c.Pool, func(tx pgx.Tx) error {
		q := db.New(tx)
		// Whoever asks for another day meanwhile either is put off with the rest, or has this one tried again.
		if err := q.LockConnector(ctx, db.LockConnectorParams{Tenant: k.Tenant, Provider: k.Provider}); err != nil {
			return fmt.Errorf("lock the closes of %s/%s: %w", k.Tenant, k.Provider, err)
		}
		next, atOnce, err := c.nextTry(ctx, q, k, cause)
		if err != nil {
			return err
		}
		n, err := q.Fail(ctx, db.FailParams{Reason: short(cause.Error()), NextTryAt: next, CloseID: k.CloseID, Owner: c.Owner})
		if err != nil {
			return fmt.Errorf("put off the close of %s: %w", dateOf(k.LocalDate), err)
		}
		if n == 0 {
			return nil // somebody else works on it: it has not failed yet
		}
		if int(k.Tries)+1 >= triesUntilTold {
			if err := c.Findings.Stated(ctx, tx, []reconcile.Finding{notClosed(k)}, nil); err != nil {
				return err
			}
		}
		if atOnce {
			return c.Settle(ctx, tx, distinct([]*uuid.UUID{k.RunID})...)
		}
		behind, err := q.PutOffBehind(ctx, db.PutOffBehindParams{
			Tenant: k.Tenant, Provider: k.Provider, Revision: k.Revision, LocalDate: k.LocalDate, NextTryAt: next,
			Reason: "waits for " + dateOf(k.LocalDate) + ", which could not be closed",
		})
		if err != nil {
			return fmt.Errorf("put off what waits for the close of %s: %w", dateOf(k.LocalDate), err)
		}
		return c.Settle(ctx, tx, distinct(append(behind, k.RunID))...)
	})
}

// nextTry is when a close is tried again: at once when two people have agreed to do without its statement since this try saw that they had
// not. The next one sees it, so that this is so once.
func (c *Closer) nextTry(ctx context.Context, q *db.Queries, k db.Close, cause error) (at time.Time, atOnce bool, err error) {
	now := c.Clock.Now()
	if unread := (*unreadError)(nil); errors.As(cause, &unread) {
		if _, atOnce, err = agreed(ctx, q, k); err != nil || atOnce {
			return now, atOnce, err
		}
	}
	return now.Add(tryAgain[min(int(k.Tries), len(tryAgain)-1)]), false, nil
}

// distinct are the runs of closes, each once; of what people asked for there is none.
func distinct(of []*uuid.UUID) (runs []uuid.UUID) {
	for _, id := range of {
		if id != nil && !slices.Contains(runs, *id) {
			runs = append(runs, *id)
		}
	}
	return runs
}

// triesUntilTold is after how many tries people hear that a day is still open: the next ones wait for it.
const triesUntilTold = 4

// notClosed tells once of a day that cannot be closed. Why stands in the close's row: what a provider says may be anything.
func notClosed(k db.Close) reconcile.Finding {
	return reconcile.Finding{
		ID: statementID(k, k.CloseID.String(), "day_not_closed"), Tenant: k.Tenant, Provider: k.Provider, Subject: k.CloseID, Code: "day_not_closed",
		Expected: "a report of " + dateOf(k.LocalDate), Found: fmt.Sprintf("%d tries", k.Tries+1), Difference: money.Amount{Currency: money.Currency(k.Currency)},
	}
}

// measure tells how long the oldest close has been waiting.
func (c *Closer) measure(ctx context.Context) error {
	now := c.Clock.Now()
	ended, err := db.New(c.Pool).OldestOpen(ctx, now)
	if err != nil {
		return fmt.Errorf("find the oldest open close: %w", err)
	}
	c.oldest.Set(now.Sub(ended).Seconds())
	return nil
}

// short keeps a reason to a line, whatever the provider says in it.
func short(s string) string {
	const most = 300
	s = visible.Text(s)
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// keepLines is how long the lines of statements stay: longer than any half waits for its other one.
const keepLines = pairDays * 24 * time.Hour

// Retention deletes old lines. Reports and their items stay.
func (c *Closer) Retention() retention.Rule {
	return retention.Rule{Rows: "lines of statements", Delete: func(ctx context.Context, limit int32) (int64, error) {
		n, err := db.New(c.Pool).OldLines(ctx, db.OldLinesParams{Before: c.Clock.Now().Add(-keepLines), PageLimit: limit})
		if err != nil {
			return n, fmt.Errorf("delete old lines of statements: %w", err)
		}
		return n, nil
	}}
}
