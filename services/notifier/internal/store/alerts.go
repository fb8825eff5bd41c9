package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/services/notifier/internal/notice"
	"github.com/agogopay/agogo/services/notifier/internal/store/db"
)

// Change is a change of an alert with the time and origin of its event.
type Change struct {
	notice.Change
	At     time.Time
	Origin Origin
}

// Raised is what an alert has to say after a batch of changes.
type Raised struct {
	Notice notice.Notice
	Loud   bool
	At     time.Time // of the newest event that counted
	Origin Origin
}

// LimitLockWait bounds how long the transaction waits for rows that somebody else holds.
func (s *Store) LimitLockWait(ctx context.Context, tx pgx.Tx, wait time.Duration) error {
	if err := db.New(tx).LimitLockWait(ctx, strconv.FormatInt(wait.Milliseconds(), 10)+"ms"); err != nil {
		return fmt.Errorf("limit the wait for locks: %w", err)
	}
	return nil
}

// Raise counts changes into their alerts, in order, and returns what each alert has to say now. The alerts' rows stay
// locked until the transaction ends: replicas count together, not beside each other.
func (s *Store) Raise(ctx context.Context, tx pgx.Tx, changes []Change) ([]Raised, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	now := s.Clock.Now()
	alerts, err := lockAlerts(ctx, db.New(tx), changes, now)
	if err != nil {
		return nil, err
	}
	counted := map[notice.Key]Change{} // the last one of each key
	for _, c := range changes {
		if alerts[c.Key].Apply(c.Change, c.At) {
			counted[c.Key] = c
		}
	}
	var raised []Raised
	update := db.UpdateAlertsParams{At: now}
	for _, key := range keysOf(changes) {
		last, ok := counted[key]
		if !ok {
			continue // nothing but old news
		}
		a := alerts[key]
		if n, loud, ok := a.Message(); ok {
			raised = append(raised, Raised{Notice: n, Loud: loud, At: last.At, Origin: last.Origin})
		}
		addAlert(&update, a)
	}
	if err := db.New(tx).UpdateAlerts(ctx, update); err != nil {
		return nil, fmt.Errorf("write %d alerts: %w", len(update.Kinds), err)
	}
	return raised, nil
}

// keysOf lists the keys once each, in order of appearance.
func keysOf(changes []Change) []notice.Key {
	seen := map[notice.Key]bool{}
	var keys []notice.Key
	for _, c := range changes {
		if !seen[c.Key] {
			seen[c.Key] = true
			keys = append(keys, c.Key)
		}
	}
	return keys
}

func lockAlerts(ctx context.Context, q *db.Queries, changes []Change, now time.Time) (map[notice.Key]*notice.Alert, error) {
	var p db.LockAlertsParams
	for _, k := range keysOf(changes) {
		p.Tenants = append(p.Tenants, k.Tenant)
		p.Kinds = append(p.Kinds, string(k.Kind))
		p.Scopes = append(p.Scopes, k.Scope)
	}
	if err := q.EnsureAlerts(ctx, db.EnsureAlertsParams{At: now, Tenants: p.Tenants, Kinds: p.Kinds, Scopes: p.Scopes}); err != nil {
		return nil, fmt.Errorf("make %d alerts: %w", len(p.Kinds), err)
	}
	rows, err := q.LockAlerts(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("lock %d alerts: %w", len(p.Kinds), err)
	}
	alerts := make(map[notice.Key]*notice.Alert, len(rows))
	for _, r := range rows {
		key := notice.Key{Tenant: r.Tenant, Kind: event.Type(r.Kind), Scope: r.Scope}
		alerts[key] = &notice.Alert{
			Key: key, Generation: r.Generation, Open: r.Open, Total: r.Total, Told: r.Told, Order: r.LastOrder, OpenedAt: r.OpenedAt,
			Amount: money.Amount{Minor: r.Minor, Currency: money.Currency(r.Currency)},
		}
	}
	return alerts, nil
}

func addAlert(p *db.UpdateAlertsParams, a *notice.Alert) {
	p.Tenants = append(p.Tenants, a.Tenant)
	p.Kinds = append(p.Kinds, string(a.Kind))
	p.Scopes = append(p.Scopes, a.Scope)
	p.Generations = append(p.Generations, a.Generation)
	p.Opens = append(p.Opens, a.Open)
	p.Totals = append(p.Totals, a.Total)
	p.Tolds = append(p.Tolds, a.Told)
	p.Minors = append(p.Minors, a.Amount.Minor)
	p.Currencies = append(p.Currencies, string(a.Amount.Currency))
	p.LastOrders = append(p.LastOrders, a.Order)
	p.OpenedAts = append(p.OpenedAts, a.OpenedAt)
}
