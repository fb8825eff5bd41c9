package float

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/retention"
	"github.com/agogopay/agogo/services/payouts/internal/float/db"
)

// ErrCurrency is a balance in another currency than the tenant's: it is of another account.
var ErrCurrency = errors.New("the balance is in another currency than the tenant's: it is of another account")

// answers is how long a balance is waited for: sends wait as well.
const answers = 5 * time.Second

// Look reads the balance unless somebody has within a time.
func (k *Keeper) Look(ctx context.Context, c *connector.Connector, within time.Duration) bool {
	asked, err := k.Read(ctx, c, within)
	if err != nil && ctx.Err() == nil {
		k.Logger.WarnContext(ctx, "float: the balance is not known, payouts go on without it", "tenant", c.Tenant, "provider", c.Provider, "error", err)
	}
	return asked
}

// Read asks the provider for the balance, unless somebody has within a time, and reports whether it did. What may be missing from
// the answer is looked at after the question was written down and before it is asked: whatever is begun later counts against it.
func (k *Keeper) Read(ctx context.Context, c *connector.Connector, within time.Duration) (bool, error) {
	asked, at, mine, err := k.States.Ask(ctx, k.Pool, c.Connector, within)
	if err != nil || !mine {
		return false, err
	}
	a := provider.Answer{Asked: asked, At: at}
	if err = k.read(ctx, c, &a); err != nil {
		// Somebody else may have asked because it looked as if there were too little: that is not known any more.
		forget := within <= again
		return true, errors.Join(err, k.States.Unanswered(context.WithoutCancel(ctx), k.Pool, c.Connector, asked, forget))
	}
	return true, k.keep(ctx, c, a)
}

func (k *Keeper) read(ctx context.Context, c *connector.Connector, a *provider.Answer) (err error) {
	a.UnderWay, a.Doubtful, err = attempt.Outstanding(ctx, k.Pool, c.Tenant, c.Provider, a.At.Add(-c.Policy.QuietTime))
	if err != nil {
		return err
	}
	bps, err := db.New(k.Pool).FeeShare(ctx, db.FeeShareParams{Tenant: c.Tenant, FloatAccount: ledger.Float(c.Provider)})
	if err != nil {
		return fmt.Errorf("estimate fees of %s/%s: %w", c.Tenant, c.Provider, err)
	}
	a.FeeBPS = int64(bps)
	if a.Balance, err = k.ask(ctx, c); err != nil {
		return err
	}
	if t, ok := k.Tenants.Tenant(c.Tenant); !ok || a.Balance.Currency != t.Currency {
		return fmt.Errorf("%w (%s)", ErrCurrency, a.Balance.Currency)
	}
	return nil
}

// ask makes the call. A defect of an adapter must not take sends down with it.
func (k *Keeper) ask(ctx context.Context, c *connector.Connector) (amount money.Amount, err error) {
	defer func() {
		if p := recover(); p != nil {
			k.Logger.ErrorContext(ctx, "float: the adapter panicked while reading the balance", "tenant", c.Tenant, "provider", c.Provider, "panic", provider.Panic(p))
			err = errors.New("the adapter panicked")
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, answers)
	defer cancel()
	if err := c.Throttle.One(ctx); err != nil {
		return money.Amount{}, err
	}
	return c.Balance.Balance(ctx)
}

// keep stores the answer where claims see it, and in the history, and releases what it covers.
func (k *Keeper) keep(ctx context.Context, c *connector.Connector, a provider.Answer) error {
	ctx = context.WithoutCancel(ctx) // it was told, whoever has stopped waiting for it
	st, err := k.States.Get(ctx, k.Pool, c.Connector)
	if err != nil {
		return err
	}
	var due provider.Due
	if st.Float == provider.FloatInsufficient { // added up before the row is held, which claims wait for
		if due, err = k.Due(ctx, k.Pool, c.Connector, a.FeeBPS); err != nil {
			return err
		}
	}
	return pg.InTx(ctx, k.Pool, func(tx pgx.Tx) error {
		kept, err := k.States.Answered(ctx, tx, c.Connector, a)
		if err != nil || !kept {
			return err
		}
		err = db.New(tx).KeepReading(ctx, db.KeepReadingParams{
			Tenant: c.Tenant, Provider: c.Provider, ReadAt: a.At, Balance: a.Balance.Minor, Currency: string(a.Balance.Currency),
			Outstanding: a.UnderWay + a.Doubtful,
		})
		if err != nil {
			return fmt.Errorf("keep the balance of %s/%s: %w", c.Tenant, c.Provider, err)
		}
		if st.Float != provider.FloatInsufficient { // what has become short meanwhile was so by a balance that is no older
			return nil
		}
		_, err = k.States.Judge(ctx, tx, c.Connector, due)
		return err
	})
}

// Due adds up what waits to be sent through a connector, with fees of so many basis points.
func (k *Keeper) Due(ctx context.Context, q db.DBTX, c provider.Connector, feeBPS int64) (provider.Due, error) {
	p := db.DueParams{Tenant: c.Tenant, Provider: c.Provider, Now: k.Clock.Now(), FeeBps: feeBPS}
	if t, ok := k.Tenants.Tenant(c.Tenant); ok && t.Payouts != nil {
		p.Most = t.Payouts.MaxPerPayout
	}
	r, err := db.New(q).Due(ctx, p)
	if err != nil {
		return provider.Due{}, fmt.Errorf("add up what waits for %s/%s: %w", c.Tenant, c.Provider, err)
	}
	return provider.Due{All: r.AllDue, First: r.First}, nil
}

// keep is how long readings are kept: a quarter, for whoever compares them with the books.
const keep = 92 * 24 * time.Hour

// Retention deletes old readings.
func (k *Keeper) Retention() retention.Rule {
	return retention.Rule{Rows: "readings of balances", Delete: func(ctx context.Context, limit int32) (int64, error) {
		return db.New(k.Pool).DeleteReadings(ctx, db.DeleteReadingsParams{Before: k.Clock.Now().Add(-keep), RowLimit: limit})
	}}
}

// Reading is a balance as a provider has told it.
type Reading struct {
	At      time.Time // when it was asked for
	Balance money.Amount
	// Outstanding was under way or in doubt at that time: taken from the balance already, or not.
	Outstanding int64
}

// ReadingAt is the newest balance of a connector that was read up to a time; ok is false when none was.
func ReadingAt(ctx context.Context, q db.DBTX, tenant, name string, at time.Time) (r Reading, ok bool, err error) {
	row, err := db.New(q).ReadingAt(ctx, db.ReadingAtParams{Tenant: tenant, Provider: name, At: at})
	if errors.Is(err, pgx.ErrNoRows) {
		return Reading{}, false, nil
	}
	if err != nil {
		return Reading{}, false, fmt.Errorf("read the balance of %s/%s at %s: %w", tenant, name, at, err)
	}
	return Reading{At: row.ReadAt.UTC(), Balance: money.Amount{Minor: row.Balance, Currency: money.Currency(row.Currency)}, Outstanding: row.Outstanding}, true, nil
}
