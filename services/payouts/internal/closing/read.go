package closing

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/visible"
	"github.com/agogopay/agogo/services/payouts/internal/closing/db"
)

// The sources of a provider's closing.
const (
	fromBalance   = "balance"            // read, less what the statement says came after the day
	fromStatement = "statement"          // what the day before ended with, and the lines
	fromBooks     = "balance_less_books" // read, less what our books say came after the day
	fromNobody    = "none"
)

// reading is what a provider says of a day.
type reading struct {
	statement bool    // its lines are in close_lines
	waiver    *waiver // why there are none although the provider has statements
	source    string
	balance   money.Amount // as of balanceAt
	balanceAt time.Time
	tail      int64 // what the statement says moved between the day's end and balanceAt
}

// read asks the provider, again after a pause when an answer fails: nothing is moved by asking, so that asking twice is harmless.
// Whatever a reading that failed has stored is cleared by the next one.
func (c *Closer) read(ctx context.Context, k db.Close, conn *connector.Connector) (reading, error) {
	r := reading{source: fromNobody}
	if conn.Statement != nil {
		if err := c.statement(ctx, k, conn, &r); err != nil {
			return reading{}, err
		}
	}
	if conn.Balance == nil || r.statement && c.Clock.Now().Sub(k.DayEnd) > longestTail {
		return r, nil
	}
	err := c.patiently(ctx, func() error { return c.balance(ctx, k, conn, &r) })
	switch {
	case err == nil:
		return r, nil
	case ctx.Err() != nil || errors.Is(err, errLost):
		return reading{}, err
	case !r.statement && r.waiver == nil && k.Tries < triesWithoutBalance && !errors.Is(err, provider.ErrNotNow):
		return reading{}, fmt.Errorf("the balance could not be read: %w", err)
	}
	c.Logger.WarnContext(ctx, c.Service+": a day is closed without the provider's balance", "tenant", k.Tenant, "provider", k.Provider,
		"date", dateOf(k.LocalDate), "error", err)
	return r, nil
}

// statement reads the lines. Where that fails and two people want the day closed all the same, there are none.
func (c *Closer) statement(ctx context.Context, k db.Close, conn *connector.Connector, r *reading) error {
	failure := c.patiently(ctx, func() error { return c.lines(ctx, k, conn) })
	if failure == nil {
		r.statement, r.source = true, fromStatement
		return nil
	}
	if ctx.Err() != nil || errors.Is(failure, errLost) {
		return failure
	}
	w, err := c.waived(ctx, k, failure)
	if err != nil {
		return err
	}
	if w == nil {
		return &unreadError{failure}
	}
	r.waiver = w
	return nil
}

// unreadError is of a statement that could not be read while nobody, or one person alone, would have gone without.
type unreadError struct{ failure error }

func (e *unreadError) Error() string { return "the statement could not be read: " + e.failure.Error() }

func (e *unreadError) Unwrap() error { return e.failure }

const (
	// longestTail is how long after a day its balance is still worked out from today's: a longer tail is many statements.
	longestTail = 72 * time.Hour
	// triesWithoutBalance is how often a balance that is all we could compare with is asked for before the day is closed without.
	triesWithoutBalance = 4
)

// patiently repeats a question that moves no money. The policy's pauses are real time, as the provider's troubles are.
func (c *Closer) patiently(ctx context.Context, ask func() error) error {
	policy := retrypolicy.NewBuilder[any]().
		WithBackoff(c.Pause, c.MaxPause).WithJitterFactor(0.2).WithMaxRetries(c.Readings-1).
		AbortOnErrors(errLost, errEndless, provider.ErrNotNow, context.Canceled).ReturnLastFailure().Build()
	return failsafe.With(policy).WithContext(ctx).Run(func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				c.Logger.ErrorContext(ctx, c.Service+": the adapter panicked while a day was closed", "panic", provider.Panic(p))
				err = errors.New("the adapter panicked")
			}
		}()
		return ask()
	})
}

// lines stores the day's lines.
func (c *Closer) lines(ctx context.Context, k db.Close, conn *connector.Connector) error {
	if err := c.clear(ctx, k); err != nil {
		return err
	}
	w := &writer{closer: c, of: k}
	err := c.each(ctx, k, conn, k.DayStart, k.DayEnd, func(l provider.StatementLine) error { return w.add(ctx, l) })
	if err != nil {
		return err
	}
	return w.flush(ctx)
}

// clear takes away what was read of the statement before, by whomever.
func (c *Closer) clear(ctx context.Context, k db.Close) error {
	return c.holding(ctx, k, func(q *db.Queries) error {
		if err := q.ClearLines(ctx, k.CloseID); err != nil {
			return fmt.Errorf("clear an earlier reading: %w", err)
		}
		return nil
	})
}

// holding changes the day's lines while the lease is ours for certain, and renews it: whoever has taken over reads the same lines, and must
// not find them gone or more of them.
func (c *Closer) holding(ctx context.Context, k db.Close, change func(q *db.Queries) error) error {
	return pg.InTx(ctx, c.Pool, func(tx pgx.Tx) error {
		q := db.New(tx)
		if err := c.hold(ctx, q, k); err != nil {
			return err
		}
		if err := change(q); err != nil {
			return err
		}
		return c.keep(ctx, q, k)
	})
}

// hold locks the close until the transaction ends.
func (c *Closer) hold(ctx context.Context, q *db.Queries, k db.Close) error {
	_, err := q.Hold(ctx, db.HoldParams{CloseID: k.CloseID, Owner: c.Owner})
	if errors.Is(err, pgx.ErrNoRows) {
		return errLost
	}
	if err != nil {
		return fmt.Errorf("hold the close: %w", err)
	}
	return nil
}

// keep renews the lease.
func (c *Closer) keep(ctx context.Context, q *db.Queries, k db.Close) error {
	n, err := q.Keep(ctx, db.KeepParams{LeaseSeconds: c.Lease.Seconds(), CloseID: k.CloseID, Owner: c.Owner})
	if err != nil {
		return fmt.Errorf("renew the lease of the close: %w", err)
	}
	if n == 0 {
		return errLost
	}
	return nil
}

// leasePart is how often a lease is renewed while it lasts: once that is due, by what is read next.
const leasePart = 5

// errEndless means that a statement goes on beyond all that can be one.
var errEndless = errors.New("the statement does not end")

// each reads the statements of every day of the provider's calendar, which is taken to be UTC's, that overlaps a span of time, and
// passes on the lines within it: the tenant's day is another one than the provider's wherever the zone is not UTC. Whatever it reads and
// passes over, and however long it waits for its share of the provider's rate, the lease goes on: two replicas whose readings are longer than
// a lease would take the close from each other for ever.
func (c *Closer) each(ctx context.Context, k db.Close, conn *connector.Connector, from, to time.Time, fn func(provider.StatementLine) error) error {
	until, n := c.Clock.Now().Add(c.Longest), int64(0)
	due := time.NewTicker(c.Lease / leasePart)
	defer due.Stop()
	renew := func(ctx context.Context) error {
		select {
		case <-due.C:
			return c.keep(ctx, db.New(c.Pool), k)
		default:
			return nil
		}
	}
	may := func(ctx context.Context) error {
		if err := conn.Throttle.One(ctx); err != nil {
			return err
		}
		return renew(ctx)
	}
	for d := from.UTC().Truncate(24 * time.Hour); d.Before(to); d = d.AddDate(0, 0, 1) {
		err := conn.Statement.Statement(ctx, d.Format(time.DateOnly), may, func(l provider.StatementLine) error {
			if err := renew(ctx); err != nil {
				return err
			}
			switch n++; {
			case n > c.MostLines:
				return fmt.Errorf("%w: it has more than %d lines", errEndless, c.MostLines)
			case c.Clock.Now().After(until):
				return fmt.Errorf("%w: it took longer than %s to read", errEndless, c.Longest)
			case l.ProviderID == "" || l.At.IsZero() || l.Amount.Currency == "":
				return errors.New("a line without id, time or currency")
			case !plain(l.ProviderID) || !plain(l.Reference):
				return errors.New("a line whose id or reference is no text")
			case l.At.Before(from) || !l.At.Before(to):
				return nil
			}
			// Whoever pays from the wallet chooses a reference, and it comes to stand in reports, events and on screens.
			l.ProviderID, l.Reference = visible.Text(l.ProviderID), visible.Text(l.Reference)
			return fn(l)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// plain reports whether a text from outside can be kept.
func plain(s string) bool {
	return len(s) <= 255 && utf8.ValidString(s)
}

// writer stores lines in chunks, so that a long day needs no memory, and no transaction is open while the provider is waited for.
type writer struct {
	closer *Closer
	of     db.Close
	chunk  []db.CopyLinesParams
	n      int64
}

func (w *writer) add(ctx context.Context, l provider.StatementLine) error {
	w.n++
	kind := l.Kind
	switch kind {
	case provider.LinePayout, provider.LineReversal, provider.LineFee, provider.LineTopUp:
	default:
		kind = provider.LineOther
	}
	w.chunk = append(w.chunk, db.CopyLinesParams{
		CloseID: w.of.CloseID, Line: w.n, Tenant: w.of.Tenant, Provider: w.of.Provider, LocalDate: w.of.LocalDate, ProviderID: l.ProviderID,
		Reference: l.Reference, Kind: kind, Amount: l.Amount.Minor, Fee: l.Fee.Minor, Currency: string(l.Amount.Currency), At: l.At,
		ItemKey: lineKey(l),
	})
	if len(w.chunk) < w.closer.Chunk {
		return nil
	}
	return w.flush(ctx)
}

// lineKey is what a line counts for: a reference, until it is known to be nobody's.
func lineKey(l provider.StatementLine) string {
	if l.Reference == "" {
		return "#" + l.ProviderID
	}
	return l.Reference
}

func (w *writer) flush(ctx context.Context) error {
	if len(w.chunk) == 0 {
		return nil
	}
	err := w.closer.holding(ctx, w.of, func(q *db.Queries) error {
		if _, err := q.CopyLines(ctx, w.chunk); err != nil {
			return fmt.Errorf("store lines of the statement: %w", err)
		}
		return nil
	})
	w.chunk = w.chunk[:0]
	return err
}

// balance reads the float. Where there is a statement, what it says came after the day is taken off again, and that counts only
// if nothing moved while it was read.
func (c *Closer) balance(ctx context.Context, k db.Close, conn *connector.Connector, r *reading) error {
	if err := c.keep(ctx, db.New(c.Pool), k); err != nil {
		return err
	}
	if err := conn.Throttle.One(ctx); err != nil {
		return err
	}
	at := c.Clock.Now()
	before, err := conn.Balance.Balance(ctx)
	if err != nil {
		return err
	}
	if string(before.Currency) != k.Currency {
		return fmt.Errorf("the balance is in %s", before.Currency)
	}
	if !r.statement {
		r.source, r.balance, r.balanceAt = fromBooks, before, at
		return nil
	}
	tail := int64(0)
	err = c.each(ctx, k, conn, k.DayEnd, at.Add(time.Minute), func(l provider.StatementLine) error {
		if string(l.Amount.Currency) == k.Currency {
			tail += l.Amount.Minor - l.Fee.Minor
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := conn.Throttle.One(ctx); err != nil {
		return err
	}
	after, err := conn.Balance.Balance(ctx)
	switch {
	case err != nil:
		return err
	case after != before:
		return errors.New("the float moves while it is read")
	}
	r.source, r.balance, r.balanceAt, r.tail = fromBalance, before, at, tail
	return nil
}
