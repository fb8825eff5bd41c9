// Package float watches the balances that payouts are paid from: it reads them before and while payouts are sent, lets no more
// begin than they cover, says ahead of time what the next run will need, and tells when there is too little.
//
// A balance is a convenience of the provider's. One that is not told, or told too late, or makes no sense, holds nothing up:
// payouts go on as if nobody had asked, and the provider refuses what it does not cover.
package float

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/dispatch"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/float/db"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

const (
	// fresh is how old a balance may be before it is read anew: before a run's first send, and while payouts are sent.
	fresh = time.Minute
	// sure is how old it may be where it says that there is too little, or nearly: money may just have come.
	sure = 5 * time.Second
	// again is the least time between two questions.
	again = time.Second
)

// Deps are what the watching needs.
type Deps struct {
	Pool       *pgxpool.Pool
	Clock      clock.Clock
	States     *provider.States
	Connectors *connector.Set
	Tenants    *config.File
	Logger     *slog.Logger
	Registry   prometheus.Registerer // nil: not measured
}

// Keeper watches the balances of all connectors.
type Keeper struct {
	Deps
	mu      sync.Mutex
	purse   map[provider.Connector]purse
	checked map[provider.Connector]time.Time // by this process
	before  map[string]past                  // by tenant
	making  singleflight.Group               // forecasts, by tenant
	gauges  gauges
}

// purse is what this process has taken from a balance for its next sends, so that not every claim has to write to the row that
// all replicas share. It is worth nothing once the balance was asked for again.
type purse struct {
	asked int64
	left  int64
}

// New makes a keeper.
func New(d Deps) *Keeper {
	return &Keeper{
		Deps: d, purse: map[provider.Connector]purse{}, checked: map[provider.Connector]time.Time{}, before: map[string]past{},
		gauges: newGauges(d.Registry),
	}
}

var (
	_ dispatch.Funds = (*Keeper)(nil)
	_ store.Float    = (*Keeper)(nil)
)

// Fit takes what the starts need from the connector's balance, from the first to the last that it covers: a smaller one that comes
// later does not overtake. Where the next one is not covered, the connector is put to rest, but only on a balance that was read just
// now and with nothing under way that may explain it.
func (k *Keeper) Fit(ctx context.Context, tx pgx.Tx, c *connector.Connector, st provider.Status, starts []attempt.Start) (dispatch.Cover, error) {
	if !k.reads(c) {
		return dispatch.Cover{Starts: len(starts), Free: true}, nil
	}
	now := k.Clock.Now()
	f := st.Funds
	if look := wanted(f, now); look > 0 {
		return dispatch.Cover{Look: look}, nil
	}
	all := dispatch.Cover{Starts: len(starts), Sum: takes(f, starts), Asked: f.Asked}
	if !f.Known(now) {
		if f.Asking { // the answer may still come, and then all that was begun since counts
			return all, k.States.Spend(ctx, tx, c.Connector, all.Sum, 0)
		}
		return all, nil
	}
	if k.spend(c.Connector, f.Asked, all.Sum) {
		return all, nil
	}
	var due provider.Due
	var err error
	short := f.Takes(starts[0].Amount.Minor) > f.Left()
	if short { // added up before the row is held, which all claims wait for
		if due, err = k.Due(ctx, tx, c.Connector, f.FeeBPS); err != nil {
			return dispatch.Cover{}, err
		}
	}
	locked, err := k.States.LockFunds(ctx, tx, c.Connector)
	if err != nil {
		return dispatch.Cover{}, err
	}
	cover, err := k.take(ctx, tx, c, locked, starts)
	if err != nil || !cover.Short {
		return cover, err
	}
	if !short { // others have taken the rest meanwhile
		return dispatch.Cover{Look: again}, nil
	}
	_, err = k.States.Short(ctx, tx, c.Connector, due.All)
	return cover, err
}

// wanted says that the balance must be read before anything more is sent, unless it was asked for within the time returned; 0 is
// that it need not.
func wanted(f provider.Funds, now time.Time) time.Duration {
	near := f.Left() < f.Balance/4
	switch {
	case f.Younger(sure, now), !near && f.Younger(fresh, now):
		return 0
	case f.Awaited(now) && (near || !f.Known(now)):
		return again // somebody has asked: wait for what they hear
	case near && f.Younger(fresh, now) && !f.AskedWithin(sure, now):
		return sure
	case !f.Younger(fresh, now) && !f.AskedWithin(fresh, now):
		return fresh
	default:
		return 0 // nobody answers, or soon: as far as it is known
	}
}

// take draws on the row, which is held.
func (k *Keeper) take(ctx context.Context, tx pgx.Tx, c *connector.Connector, st provider.Status, starts []attempt.Start) (dispatch.Cover, error) {
	now, f := k.Clock.Now(), st.Funds
	cover := dispatch.Cover{Asked: f.Asked}
	for _, s := range starts {
		one := f.Takes(s.Amount.Minor)
		if cover.Sum+one > f.Left() {
			break
		}
		cover.Starts, cover.Sum = cover.Starts+1, cover.Sum+one
	}
	if !f.Known(now) { // it was lost since the claim began
		cover.Starts, cover.Sum = len(starts), takes(f, starts)
	}
	switch {
	case cover.Starts > 0:
		extra := k.extra(f, cover)
		if extra > 0 {
			cover.Kept = func() { k.fill(c.Connector, f.Asked, extra) }
		}
		return cover, k.States.Spend(ctx, tx, c.Connector, cover.Sum, extra)
	case f.Younger(sure, now) && f.Clean:
		return dispatch.Cover{Short: true}, nil
	default:
		return dispatch.Cover{Look: again}, nil
	}
}

// extra is what a process keeps for its next sends: nothing when it is getting scarce, or when a new balance is on its way.
func (k *Keeper) extra(f provider.Funds, had dispatch.Cover) int64 {
	left := f.Left() - had.Sum
	if !f.Known(k.Clock.Now()) || f.Asking || left < f.Balance/4 {
		return 0
	}
	return max(0, min(left/8, 16*had.Sum))
}

// Still takes what was claimed on an earlier balance from the newer one, if there is one.
func (k *Keeper) Still(ctx context.Context, c *connector.Connector, st provider.Status, had dispatch.Cover) (covered bool, err error) {
	if st.Funds.Asked == had.Asked {
		return true, nil
	}
	err = pg.InTx(ctx, k.Pool, func(tx pgx.Tx) error {
		st, err := k.States.LockFunds(ctx, tx, c.Connector)
		if err != nil {
			return err
		}
		if covered = !st.Funds.Known(k.Clock.Now()) || had.Sum <= st.Funds.Left(); !covered {
			return nil
		}
		return k.States.Spend(ctx, tx, c.Connector, had.Sum, 0)
	})
	return covered && err == nil, err
}

// Wanting lists the connectors whose balance does not cover what is due.
func (k *Keeper) Wanting(ctx context.Context, tx pgx.Tx) ([]string, error) {
	return k.States.Wanting(ctx, tx)
}

// Fits says how far a balance goes that does not cover all that is held: what was released before and is not sent yet comes first.
func (k *Keeper) Fits(ctx context.Context, tx pgx.Tx, q store.Queue) (func(net int64) bool, error) {
	st, err := k.States.Get(ctx, tx, provider.Connector{Tenant: q.Tenant, Provider: q.Provider})
	if err != nil || st.Float != provider.FloatInsufficient || !st.Funds.Known(k.Clock.Now()) {
		return nil, err
	}
	approved, err := db.New(tx).Approved(ctx, db.ApprovedParams{Tenant: q.Tenant, Provider: q.Provider, FeeBps: st.Funds.FeeBPS})
	if err != nil {
		return nil, fmt.Errorf("add up what goes through %s/%s: %w", q.Tenant, q.Provider, err)
	}
	left := st.Funds.Left() - approved
	return func(net int64) bool {
		left -= st.Funds.Takes(net)
		return left >= 0
	}, nil
}

// reads reports whether a connector's balance is read: it can be, and the tenant wants it to be.
func (k *Keeper) reads(c *connector.Connector) bool { return c.Balance != nil && k.every(c.Tenant) > 0 }

// every is how often the tenant has balances checked while nothing is sent; 0: never.
func (k *Keeper) every(tenant string) time.Duration {
	if t, ok := k.Tenants.Tenant(tenant); ok && t.Payouts != nil {
		return t.Payouts.FloatCheck
	}
	return 0
}

// spend takes from the purse.
func (k *Keeper) spend(c provider.Connector, asked, sum int64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.purse[c]
	if p.asked != asked || p.left < sum {
		return false
	}
	k.purse[c] = purse{asked, p.left - sum}
	return true
}

// fill puts into the purse what its process has taken for it.
func (k *Keeper) fill(c provider.Connector, asked, sum int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.purse[c]
	switch {
	case p.asked == asked:
		p.left += sum
	case p.asked < asked:
		p = purse{asked, sum}
	}
	k.purse[c] = p
}

// giveBack empties the purse into the row: what nobody sends just now is not spent, and there is too little only where there is. It is
// taken out first, so that no claim spends what others may spend again; if the row cannot be written, it counts as spent until the next reading.
func (k *Keeper) giveBack(ctx context.Context, c provider.Connector) error {
	k.mu.Lock()
	p := k.purse[c]
	k.purse[c] = purse{asked: p.asked}
	k.mu.Unlock()
	if p.left == 0 {
		return nil
	}
	return k.States.GiveBack(ctx, k.Pool, c, p.asked, p.left)
}

func takes(f provider.Funds, starts []attempt.Start) (sum int64) {
	for _, s := range starts {
		sum += f.Takes(s.Amount.Minor)
	}
	return sum
}
