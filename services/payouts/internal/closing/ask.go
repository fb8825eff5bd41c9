package closing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/closing/db"
)

// Job closes the day before the tick's.
const Job = "payouts/close"

// mostDays is how many days may be closed by one question, and how far back the first one may lie.
const mostDays = 400

// settle is how long after its end a day is first looked at: what was begun before midnight is committed by then. What is
// later still counts as late on the next day.
const settle = time.Minute

// Errors that callers turn into answers.
var (
	ErrNotOver = errors.New("the day is not over")
	ErrEarlier = errors.New("the day lies before the first one that was closed")
	ErrNoKey   = errors.New("there is no key to sign reports with")
	// ErrUnlikely is a date that is mistyped rather than meant: every day from the first one on is closed.
	ErrUnlikely = errors.New("that is too long a time")
)

// Ask has a day of a connector closed, and every day since its last close: none is left out. A day that is closed already stays
// as it is unless it is wanted again, which makes another revision; one that waits for its next try is tried now.
func (c *Closer) Ask(ctx context.Context, tx pgx.Tx, t config.Tenant, provider, date string, again bool, of *uuid.UUID) error {
	if c.Key == nil {
		return ErrNoKey
	}
	wanted, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return fmt.Errorf("local date: %w", err)
	}
	now := c.Clock.Now()
	if end := dayOf(wanted, t.Location).end; now.Before(end) {
		return fmt.Errorf("%w: %s ends at %s", ErrNotOver, date, end.UTC().Format(time.RFC3339))
	}
	q := db.New(tx)
	if err := q.LockConnector(ctx, db.LockConnectorParams{Tenant: t.ID, Provider: provider}); err != nil {
		return fmt.Errorf("lock the closes of %s/%s: %w", t.ID, provider, err)
	}
	revisions, err := c.missing(ctx, q, t, provider, wanted, again, of != nil)
	if err != nil {
		return err
	}
	p := db.RequestParams{Tenant: t.ID, Provider: provider, Timezone: t.Timezone, Currency: string(t.Currency), RunID: of, Now: now, SettleSeconds: settle.Seconds()}
	for _, r := range revisions {
		d := dayOf(r.date, t.Location)
		p.CloseIds, p.Dates, p.Revisions = append(p.CloseIds, ID(t.ID, provider, d.String(), r.revision)), append(p.Dates, pgDate(d.date)), append(p.Revisions, int32(r.revision))
		p.Starts, p.Ends = append(p.Starts, d.start), append(p.Ends, d.end)
	}
	if err := q.Request(ctx, p); err != nil {
		return fmt.Errorf("ask for the close of %s of %s/%s: %w", date, t.ID, provider, err)
	}
	if err := q.Hurry(ctx, db.HurryParams{Tenant: t.ID, Provider: provider, Now: now, SettleSeconds: settle.Seconds()}); err != nil {
		return fmt.Errorf("hurry the closes of %s/%s: %w", t.ID, provider, err)
	}
	return nil
}

// AskAll has a day of all of a tenant's connectors closed. A connector whose closes begin later, for it was added since, has nothing
// of that day and is left out; when that is so of all of them, the day is refused.
func (c *Closer) AskAll(ctx context.Context, tx pgx.Tx, t config.Tenant, date string, again bool) error {
	var earlier error
	asked := false
	for _, name := range c.Providers(t.ID) {
		switch err := c.Ask(ctx, tx, t, name, date, again, nil); {
		case errors.Is(err, ErrEarlier) && earlier == nil:
			earlier = fmt.Errorf("%s: %w", name, err)
		case errors.Is(err, ErrEarlier):
			earlier = fmt.Errorf("%w; %s: %w", earlier, name, err)
		case err != nil:
			return fmt.Errorf("%s: %w", name, err)
		default:
			asked = true
		}
	}
	if asked {
		return nil
	}
	return earlier
}

// revision of a date's close.
type revision struct {
	date     time.Time
	revision int
}

// days are the first closes of days from one to another.
func days(from, to time.Time) (all []revision) {
	for d := from; !d.After(to); d = d.AddDate(0, 0, 1) {
		all = append(all, revision{d, 1})
	}
	return all
}

// missing lists what is to be closed so that the wanted day is; job says that a schedule wants it, and nobody who has chosen the day.
func (c *Closer) missing(ctx context.Context, q *db.Queries, t config.Tenant, provider string, wanted time.Time, again, job bool) ([]revision, error) {
	tenant := t.ID
	known, err := q.LastDay(ctx, db.LastDayParams{Tenant: tenant, Provider: provider})
	if errors.Is(err, pgx.ErrNoRows) {
		from, err := c.first(ctx, q, t, provider, wanted, job)
		if err != nil {
			return nil, err
		}
		return days(from, wanted), nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the last close of %s/%s: %w", tenant, provider, err)
	}
	if wanted.Before(known.First.Time) {
		return nil, fmt.Errorf("%w: %s", ErrEarlier, dateOf(known.First))
	}
	if last := known.Last.Time.AddDate(0, 0, mostDays); wanted.After(last) {
		return nil, fmt.Errorf("%w: close the days up to %s first", ErrUnlikely, last.Format(time.DateOnly))
	}
	all := days(known.Last.Time.AddDate(0, 0, 1), wanted)
	if len(all) > 0 || !again {
		return all, nil
	}
	there, err := q.OfDay(ctx, db.OfDayParams{Tenant: tenant, LocalDate: pgDate(wanted), Provider: provider})
	if err != nil {
		return nil, fmt.Errorf("find the closes of %s: %w", wanted.Format(time.DateOnly), err)
	}
	if newest := there[len(there)-1]; newest.State == Completed {
		all = append(all, revision{wanted, int(newest.Revision) + 1})
	}
	return all, nil
}

// first is the first day to be closed so that the wanted one is: that one, where a person has chosen it. A job begins with the day that the
// float first moved on: its first ticks may have been missed, and what moved before the first close is never compared. A first day that lies
// before everything is refused: all days from there on would have to be closed, and none before it ever.
func (c *Closer) first(ctx context.Context, q *db.Queries, t config.Tenant, provider string, wanted time.Time, job bool) (time.Time, error) {
	d := dayOf(wanted, t.Location)
	if oldest := c.Clock.Now().AddDate(0, 0, -mostDays); d.end.Before(oldest) {
		return wanted, fmt.Errorf("%w: the first day may be %s", ErrUnlikely, oldest.Format(time.DateOnly))
	}
	moved, err := q.FirstMovement(ctx, db.FirstMovementParams{Tenant: t.ID, Float: "float:" + provider, Never: d.start})
	if err != nil {
		return wanted, fmt.Errorf("find the first movement of %s/%s: %w", t.ID, provider, err)
	}
	if moved.After(d.end) {
		return wanted, fmt.Errorf("%w: the books of %s begin after %s", ErrEarlier, provider, d)
	}
	if !job || !moved.Before(d.start) {
		return wanted, nil
	}
	from, earliest := dayOf(moved.In(t.Location), t.Location).date, wanted.AddDate(0, 0, 1-mostDays)
	if from.Before(earliest) {
		return earliest, nil
	}
	return from, nil
}

// Page is the job: one connector of the tenant a page, in the order of their names.
func (c *Closer) Page(ctx context.Context, tx pgx.Tx, r run.Run) (run.Page, error) {
	t, ok := c.Tenants.Tenant(r.Tenant)
	if !ok {
		return run.Page{}, run.Fail("not_configured", fmt.Errorf("tenant %s is not in the tenants file", r.Tenant))
	}
	local, err := time.Parse(time.DateOnly, r.LocalDate)
	if err != nil {
		return run.Page{}, run.Fail("not_configured", fmt.Errorf("local date: %w", err))
	}
	names := c.Providers(t.ID)
	for i, name := range names {
		if name <= r.Cursor {
			continue
		}
		err := c.Ask(ctx, tx, t, name, local.AddDate(0, 0, -1).Format(time.DateOnly), false, &r.ID)
		switch {
		case errors.Is(err, ErrNoKey), errors.Is(err, ErrNotOver), errors.Is(err, ErrUnlikely):
			return run.Page{}, run.Fail("not_possible", err)
		case errors.Is(err, ErrEarlier): // by hand, for a time long gone: there is nothing to close
		case err != nil:
			return run.Page{}, err
		}
		return run.Page{Cursor: name, Last: i == len(names)-1, Done: 1, After: c.Wake}, nil
	}
	return run.Page{Cursor: r.Cursor, Last: true}, nil
}

// Providers are the names of a tenant's connectors.
func (c *Closer) Providers(tenant string) []string {
	var names []string
	for _, conn := range c.Connectors.All() {
		if conn.Tenant == tenant {
			names = append(names, conn.Provider)
		}
	}
	return names
}
