package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// Caps is what a tenant's daily caps leave on a local date, counted down as payouts are approved. It is only true while
// the tenant's outflow row is locked, which everything that approves against caps does.
type Caps struct {
	tenant       string
	dayCap, used int64 // cap 0: off
	payeeCap     int64
	byPayee      map[string]int64
}

// Caps locks the tenant's outflow row and reads what is used of the caps. want is the most that the caller will take of them; whatever it
// takes less is found free again when the room gets scarce.
func (s *Store) Caps(ctx context.Context, tx pgx.Tx, tenant, localDate string, payees []string, want int64) (*Caps, error) {
	rules := s.rules(tenant)
	c := &Caps{tenant: tenant, dayCap: rules.DailyCap, payeeCap: rules.PayeeDailyCap, byPayee: map[string]int64{}}
	q := db.New(tx)
	if _, err := s.LockOutflow(ctx, tx, tenant); err != nil {
		return nil, err
	}
	var err error
	if c.used, err = used(ctx, q, c, localDate, want); err != nil {
		return nil, fmt.Errorf("use of %s's daily cap: %w", tenant, err)
	}
	if c.payeeCap > 0 {
		rows, err := q.PayeeCapUse(ctx, db.PayeeCapUseParams{Tenant: tenant, CapDate: localDate, PayeeIds: payees})
		if err != nil {
			return nil, fmt.Errorf("use of %s's payee caps: %w", tenant, err)
		}
		for _, r := range rows {
			c.byPayee[r.PayeeID] = r.Net
		}
	}
	return c, nil
}

// used is what is used of the tenant's daily cap, or more, if what the caller wants fits all the same; and it notes that the caller may take
// that. The day is added up only when the room seems too small: what counts no more since (failed, held, cancelled) is found then. What begins
// to count always asks here first, but for what was held after it was approved on that day, which is noted as used therefore.
func used(ctx context.Context, q *db.Queries, c *Caps, localDate string, want int64) (int64, error) {
	if c.dayCap <= 0 { // what is taken meanwhile is noted nowhere
		return 0, q.ForgetCapMost(ctx, c.tenant)
	}
	known, err := q.CapMost(ctx, db.CapMostParams{Tenant: c.tenant, CapDate: localDate})
	if err != nil {
		return 0, err
	}
	if len(known) > 0 && known[0]+want <= c.dayCap {
		if want == 0 {
			return known[0], nil
		}
		return known[0], q.KeepCapMost(ctx, db.KeepCapMostParams{Tenant: c.tenant, CapDate: localDate, Used: known[0] + want})
	}
	day, err := q.CapUse(ctx, db.CapUseParams{Tenant: c.tenant, CapDate: localDate})
	if err != nil {
		return 0, err
	}
	return day.Used, q.KeepCapMost(ctx, db.KeepCapMostParams{Tenant: c.tenant, CapDate: localDate, Used: day.Most + want})
}

// Take books net on the day, or returns the code of the cap that it would pass. One that does not fit leaves room for a
// smaller one after it: a cap limits the day's money, it is no queue.
func (c *Caps) Take(payee string, net int64) string {
	code := c.Over(payee, net)
	if code == "" {
		c.used += net
		c.byPayee[payee] += net
	}
	return code
}

// Over is the code of the cap that net would pass, if any. It books nothing.
func (c *Caps) Over(payee string, net int64) string {
	if c.payeeCap > 0 && net > c.payeeCap-c.byPayee[payee] {
		return payout.CodePayeeDailyCap
	}
	if c.dayCap > 0 && net > c.dayCap-c.used {
		return payout.CodeDailyCap
	}
	return ""
}

// Spend books net on the day without asking.
func (c *Caps) Spend(net int64) { c.used += net }

// NoteUse notes that net counts on a day, whether or not there is room for it: it has left, or may have. Who asks after that finds what is left
// of the day, which may be nothing. Like [Store.Caps] it locks the tenant's outflow row, which comes before payouts.
func (s *Store) NoteUse(ctx context.Context, tx pgx.Tx, tenant, localDate string, net int64) error {
	if net == 0 {
		return nil
	}
	_, err := s.Caps(ctx, tx, tenant, localDate, nil, net)
	return err
}

// Outflow is a tenant's switch, locked by planning, releasing and by who turns it.
type Outflow = db.Outflow

// Outflows are the switches that were ever turned, by tenant.
func (s *Store) Outflows(ctx context.Context, q db.DBTX) (map[string]Outflow, error) {
	rows, err := db.New(q).Outflows(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the outflow switches: %w", err)
	}
	all := make(map[string]Outflow, len(rows))
	for _, o := range rows {
		all[o.Tenant] = o
	}
	return all, nil
}

// LockOutflow makes the tenant's outflow row if it has none and locks it.
func (s *Store) LockOutflow(ctx context.Context, tx pgx.Tx, tenant string) (Outflow, error) {
	q := db.New(tx)
	if err := q.EnsureOutflow(ctx, db.EnsureOutflowParams{Tenant: tenant, Now: s.Clock.Now()}); err != nil {
		return Outflow{}, fmt.Errorf("make outflow row of %s: %w", tenant, err)
	}
	o, err := q.LockOutflow(ctx, tenant)
	if err != nil {
		return Outflow{}, fmt.Errorf("lock outflow of %s: %w", tenant, err)
	}
	return o, nil
}

// SetOutflow turns the tenant's switch.
func (s *Store) SetOutflow(ctx context.Context, tx pgx.Tx, tenant string, stopped bool, reason, actor string) (Outflow, error) {
	o, err := db.New(tx).SetOutflow(ctx, db.SetOutflowParams{Tenant: tenant, Stopped: stopped, Reason: reason, Actor: actor, Now: s.Clock.Now()})
	if err != nil {
		return Outflow{}, fmt.Errorf("set outflow of %s: %w", tenant, err)
	}
	return o, nil
}
