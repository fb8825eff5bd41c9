package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/inbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/services/notifier/internal/store"
)

// write puts a batch into one transaction: inbox, alerts, notifications, pushes, events.
func (c *Consumer) write(ctx context.Context, batch []*item) error {
	began := clock.Real().Now()
	var told store.Told
	err := pg.InTx(ctx, c.deps.Store.Pool, func(tx pgx.Tx) error {
		if err := c.deps.Store.LimitLockWait(ctx, tx, lockWait(len(batch))); err != nil {
			return err
		}
		fresh, err := c.accept(ctx, tx, batch)
		if err != nil || len(fresh) == 0 {
			return err
		}
		entries, err := c.entries(ctx, tx, fresh)
		if err != nil {
			return err
		}
		if err := c.address(ctx, tx, entries); err != nil {
			return err
		}
		told, err = c.deps.Store.Tell(ctx, tx, entries)
		return err
	})
	c.deps.Metrics.batch(len(batch), clock.Real().Now().Sub(began))
	if err != nil {
		return fmt.Errorf("tell of %d events: %w", len(batch), err)
	}
	c.deps.Metrics.told(told)
	if len(told) > 0 {
		c.deps.Store.Outbox.Nudge()
		if c.deps.Queued != nil {
			c.deps.Queued()
		}
	}
	return nil
}

// lockWait is how long a transaction of so many events waits for a row that somebody else holds, an alert's mostly. Another replica has one for some tens
// of milliseconds, one that hangs for a minute. Two transactions for each doubling of a batch must fit into [commitTimeout]; what
// is alone keeps nobody else and may wait longer.
func lockWait(events int) time.Duration {
	if events == 1 {
		return 2 * time.Second
	}
	return 300 * time.Millisecond
}

// accept leaves out what was handled before. Only what is counted needs a row to be known again: a notice is known by its own
// id, which follows from its cause.
func (c *Consumer) accept(ctx context.Context, tx pgx.Tx, batch []*item) ([]*item, error) {
	fresh := make([]*item, 0, len(batch))
	var ids []string
	byID := map[string]*item{}
	for _, it := range batch {
		if len(it.decision.Changes) == 0 {
			fresh = append(fresh, it)
			continue
		}
		ids, byID[it.id] = append(ids, it.id), it
	}
	ids, err := inbox.Accept(ctx, tx, c.cfg.Durable, ids...)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		fresh = append(fresh, byID[id])
	}
	return fresh, nil
}

// entries collects what is to be said, counting changes of alerts together first.
func (c *Consumer) entries(ctx context.Context, tx pgx.Tx, items []*item) ([]store.Entry, error) {
	var entries []store.Entry
	var changes []store.Change
	for _, it := range items {
		for _, n := range it.decision.Notices {
			entries = append(entries, store.Entry{Notice: n, At: it.at, Origin: it.origin})
		}
		for _, change := range it.decision.Changes {
			changes = append(changes, store.Change{Change: change, At: it.at, Origin: it.origin})
		}
	}
	raised, err := c.deps.Store.Raise(ctx, tx, changes)
	if err != nil {
		return nil, err
	}
	for _, r := range raised {
		entries = append(entries, store.Entry{Notice: r.Notice, At: r.At, Origin: r.Origin, Quiet: !r.Loud})
	}
	return entries, nil
}

// address finds the recipients' devices and puts each notice into the words of its reader: the locale of his newest
// device, else the tenant's.
func (c *Consumer) address(ctx context.Context, tx pgx.Tx, entries []store.Entry) error {
	devices, err := c.deps.Store.Devices(ctx, tx, usersOf(entries))
	if err != nil {
		return err
	}
	for i := range entries {
		n := entries[i].Notice
		own := devices[store.User{Tenant: n.Tenant, ID: n.Recipient.ID}]
		tenant, _ := c.deps.Tenants.Tenant(n.Tenant)
		if entries[i].Text, err = c.deps.Texts.Render(n, zone(tenant), own.Locale, tenant.Locale); err != nil {
			return fmt.Errorf("words for %s: %w", n.Text, err)
		}
		if c.cfg.Pushes {
			entries[i].Devices = own.IDs
		}
	}
	return nil
}

func usersOf(entries []store.Entry) []store.User {
	seen := make(map[store.User]bool, len(entries))
	users := make([]store.User, 0, len(entries))
	for _, e := range entries {
		u := store.User{Tenant: e.Notice.Tenant, ID: e.Notice.Recipient.ID}
		if !seen[u] {
			seen[u] = true
			users = append(users, u)
		}
	}
	return users
}
