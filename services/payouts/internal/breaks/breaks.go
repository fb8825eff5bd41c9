// Package breaks counts the breaks that payees take on a local date. The count begins anew at local midnight: when the
// reset job says so, or when the payee's next break shows that the day has changed, whichever comes first.
package breaks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/outbox"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/payouts/internal/breaks/db"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// Errors that callers turn into answers.
var (
	ErrNoPayee = errors.New("no such payee")
	ErrOpen    = errors.New("a break is open already")
	ErrNotOpen = errors.New("no break is open")
	ErrTime    = errors.New("the time does not fit")
)

const resetPage = 1000

// The states that a break's events tell.
const (
	counted = "counted"
	reset   = "reset"
)

// Breaks counts breaks.
type Breaks struct {
	Store   *store.Store
	Outbox  *outbox.Outbox
	Clock   clock.Clock
	Tenants *config.File
}

// Break is a payee's breaks of a local date. An open break is not in the total yet.
type Break struct {
	Tenant        string
	PayeeID       string
	LocalDate     string
	TotalSeconds  int64
	OpenSince     *time.Time
	LastResetDate string
	version       int64
}

// Start opens a break at a time.
func (b *Breaks) Start(ctx context.Context, tx pgx.Tx, tenant, payee string, at time.Time) (Break, error) {
	return b.change(ctx, tx, tenant, payee, at, func(k *Break) error {
		if k.OpenSince != nil {
			return fmt.Errorf("since %s: %w", k.OpenSince.Format(time.RFC3339), ErrOpen)
		}
		k.OpenSince = &at
		return nil
	})
}

// End closes the open break at a time and adds it to the day's total.
func (b *Breaks) End(ctx context.Context, tx pgx.Tx, tenant, payee string, at time.Time) (Break, error) {
	return b.change(ctx, tx, tenant, payee, at, func(k *Break) error {
		if k.OpenSince == nil {
			return ErrNotOpen
		}
		if at.Before(*k.OpenSince) {
			return fmt.Errorf("end %s before start %s: %w", at.Format(time.RFC3339), k.OpenSince.Format(time.RFC3339), ErrTime)
		}
		k.TotalSeconds += int64(at.Sub(*k.OpenSince) / time.Second)
		k.OpenSince = nil
		return nil
	})
}

// Get reads a payee's breaks as of now: on a new day there are none yet.
func (b *Breaks) Get(ctx context.Context, q db.DBTX, tenant, payee string) (Break, error) {
	loc, err := b.location(tenant)
	if err != nil {
		return Break{}, err
	}
	now := b.Clock.Now().In(loc)
	row, err := db.New(q).GetBreak(ctx, db.GetBreakParams{Tenant: tenant, PayeeID: payee})
	if errors.Is(err, pgx.ErrNoRows) {
		if err := b.checkPayee(ctx, db.New(q), tenant, payee); err != nil {
			return Break{}, err
		}
		return Break{Tenant: tenant, PayeeID: payee, LocalDate: now.Format(time.DateOnly)}, nil
	}
	if err != nil {
		return Break{}, fmt.Errorf("read break of %s/%s: %w", tenant, payee, err)
	}
	k := fromRow(row)
	k.roll(now)
	return k, nil
}

// change locks the payee's row, brings it to the day of at, applies fn and writes it back.
func (b *Breaks) change(ctx context.Context, tx pgx.Tx, tenant, payee string, at time.Time, fn func(*Break) error) (Break, error) {
	loc, err := b.location(tenant)
	if err != nil {
		return Break{}, err
	}
	q, local := db.New(tx), at.In(loc)
	if at.After(b.Clock.Now()) {
		return Break{}, fmt.Errorf("%s is in the future: %w", at.Format(time.RFC3339), ErrTime)
	}
	if err := b.checkPayee(ctx, q, tenant, payee); err != nil {
		return Break{}, err
	}
	err = q.EnsureBreak(ctx, db.EnsureBreakParams{Tenant: tenant, PayeeID: payee, LocalDate: local.Format(time.DateOnly)})
	if err != nil {
		return Break{}, fmt.Errorf("make break row of %s/%s: %w", tenant, payee, err)
	}
	row, err := q.LockBreak(ctx, db.LockBreakParams{Tenant: tenant, PayeeID: payee})
	if err != nil {
		return Break{}, fmt.Errorf("lock break of %s/%s: %w", tenant, payee, err)
	}
	k := fromRow(db.GetBreakRow(row))
	if local.Format(time.DateOnly) < k.LocalDate {
		return Break{}, fmt.Errorf("%s is of a day before %s, which is counted: %w", at.Format(time.RFC3339), k.LocalDate, ErrTime)
	}
	before := k
	if k.roll(local) {
		if err := b.tell(ctx, tx, k, before.TotalSeconds, before.counted()); err != nil {
			return Break{}, err
		}
	}
	if err := fn(&k); err != nil {
		return Break{}, err
	}
	return k, k.save(ctx, q)
}

// roll begins a new count if local is of a later day than the row, and reports whether it did.
func (k *Break) roll(local time.Time) bool {
	today := local.Format(time.DateOnly)
	if k.LocalDate >= today {
		return false
	}
	midnight := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, local.Location())
	if k.OpenSince != nil && k.OpenSince.Before(midnight) {
		k.OpenSince = &midnight
	}
	k.LocalDate, k.LastResetDate, k.TotalSeconds = today, today, 0
	k.version++
	return true
}

// counted reports whether anything happened since the last reset.
func (k *Break) counted() bool {
	return k.TotalSeconds > 0 || k.OpenSince != nil || k.LastResetDate == ""
}

func (k *Break) save(ctx context.Context, q *db.Queries) error {
	err := q.SaveBreak(ctx, db.SaveBreakParams{
		LocalDate: k.LocalDate, TotalSeconds: k.TotalSeconds, OpenSince: k.OpenSince, LastResetDate: k.LastResetDate,
		Version: k.version, Tenant: k.Tenant, PayeeID: k.PayeeID,
	})
	if err != nil {
		return fmt.Errorf("save break of %s/%s: %w", k.Tenant, k.PayeeID, err)
	}
	return nil
}

func (b *Breaks) checkPayee(ctx context.Context, q *db.Queries, tenant, payee string) error {
	ok, err := q.PayeeExists(ctx, db.PayeeExistsParams{Tenant: tenant, PayeeID: payee})
	if err != nil {
		return fmt.Errorf("find payee %s/%s: %w", tenant, payee, err)
	}
	if !ok {
		return fmt.Errorf("payee %s of %s: %w", payee, tenant, ErrNoPayee)
	}
	return nil
}

func (b *Breaks) location(tenant string) (*time.Location, error) {
	t, ok := b.Tenants.Tenant(tenant)
	if !ok {
		return nil, fmt.Errorf("tenant %q is not in the tenants file", tenant)
	}
	return t.Location, nil
}

// tell emits break.reset.
func (b *Breaks) tell(ctx context.Context, tx pgx.Tx, k Break, before int64, wasCounted bool) error {
	msg, err := b.message(ctx, k.Tenant, k.PayeeID, k.LocalDate, before, wasCounted, k.version)
	if err != nil {
		return err
	}
	return b.Outbox.Append(ctx, tx, msg)
}

func (b *Breaks) message(ctx context.Context, tenant, payee, date string, before int64, wasCounted bool, version int64) (outbox.Message, error) {
	body := &eventsv1.Break{PayeeId: payee, Tenant: tenant, LocalDate: date, TotalSecondsBefore: before, State: reset, PreviousState: reset}
	if wasCounted {
		body.PreviousState = counted
	}
	return b.Store.Event(ctx, tenant, "break.reset", payee, version, body)
}

func fromRow(r db.GetBreakRow) Break {
	return Break{
		Tenant: r.Tenant, PayeeID: r.PayeeID, LocalDate: r.LocalDate, TotalSeconds: r.TotalSeconds, OpenSince: r.OpenSince,
		LastResetDate: r.LastResetDate, version: r.Version,
	}
}

// ResetPage resets one page of the tenant's breaks for a local date, after a payee ("" at first). It returns the last
// payee of the page, "" when there is nothing left, and how many it reset. Doing a date again finds nothing to do.
func (b *Breaks) ResetPage(ctx context.Context, tx pgx.Tx, tenant, localDate, after string) (last string, n int, err error) {
	loc, err := b.location(tenant)
	if err != nil {
		return "", 0, err
	}
	midnight, err := time.ParseInLocation(time.DateOnly, localDate, loc)
	if err != nil {
		return "", 0, fmt.Errorf("local date: %w", err)
	}
	rows, err := db.New(tx).ResetBreaks(ctx, db.ResetBreaksParams{
		Tenant: tenant, After: after, LocalDate: localDate, PageLimit: resetPage, Midnight: midnight,
	})
	if err != nil {
		return "", 0, fmt.Errorf("reset breaks of %s: %w", tenant, err)
	}
	msgs := make([]outbox.Message, 0, len(rows))
	for _, r := range rows {
		last = r.PayeeID
		msg, err := b.message(ctx, tenant, r.PayeeID, localDate, r.Before, r.Counted, r.Version)
		if err != nil {
			return "", 0, err
		}
		msgs = append(msgs, msg)
	}
	if err := b.Outbox.Append(ctx, tx, msgs...); err != nil {
		return "", 0, err
	}
	if len(rows) < resetPage {
		return "", len(rows), nil
	}
	return last, len(rows), nil
}
