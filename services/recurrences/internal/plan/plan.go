// Package plan holds the four jobs of recurrences, a page at a time: what a morning charges, what is tried again, what sellers
// are told, and what is cleaned up. One page is one transaction of set-based statements. A page takes its rows by a cursor,
// locks them, and only then decides, so that two planners at once give what one gives.
//
// A job's today is the tick's local date and its now the tick's nominal time: a tick that comes late, or again, gives the
// rows that it would have given in time.
package plan

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/plan/db"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// The jobs.
const (
	JobChargeDue   = "recurrences/charge-due"
	JobRetryFailed = "recurrences/retry-failed"
	JobNotifyHolds = "recurrences/notify-holds"
	JobCleanup     = "recurrences/cleanup"
)

// PageSize is how many recurrences, or sellers, one page takes.
const PageSize = 500

// ErrNotConfigured means that the tenants file does not say how to charge this tenant's customers (any more).
var ErrNotConfigured = errors.New("the tenants file has no recurrences for this tenant")

// Planner plans the runs of the jobs.
type Planner struct {
	Store    *store.Store
	Runs     *run.Store
	PageSize int // 0: PageSize
}

// Jobs are the planner's jobs by name.
func (p *Planner) Jobs() run.Jobs {
	return run.Jobs{
		JobChargeDue: p.ChargeDue, JobRetryFailed: p.RetryFailed, JobNotifyHolds: p.NotifyHolds, JobCleanup: p.Cleanup,
	}
}

// page is what one transaction works on.
type page struct {
	run    run.Run
	rules  config.Recurrences
	policy recurrence.Policy
	on     recurrence.Date // the run's local date
	q      *db.Queries
	size   int
}

// begin reads what every page needs to know.
func (p *Planner) begin(ctx context.Context, tx pgx.Tx, r run.Run) (*page, error) {
	rules, ok := p.Store.Rules(r.Tenant)
	if !ok {
		return nil, run.Fail("not_configured", fmt.Errorf("tenant %s: %w", r.Tenant, ErrNotConfigured))
	}
	calendar, err := recurrence.NewCalendar(rules.BusinessDay, rules.Holidays)
	if err != nil {
		return nil, fmt.Errorf("tenant %s: %w", r.Tenant, err)
	}
	on, err := recurrence.ParseDate(r.LocalDate)
	if err != nil {
		return nil, fmt.Errorf("local date of run %s: %w", r.ID, err)
	}
	pg := &page{
		run: r, rules: rules, on: on, q: db.New(tx), size: p.PageSize,
		policy: recurrence.Policy{Calendar: calendar, CatchUpDays: rules.CatchUpDays, CleanupAfterDays: rules.CleanupAfterDays},
	}
	if pg.size <= 0 {
		pg.size = PageSize
	}
	if err := pg.q.PlanAnew(ctx); err != nil {
		return nil, fmt.Errorf("have statements planned anew: %w", err)
	}
	return pg, nil
}

// end says where the next page goes on, when this one took taken rows up to last.
func (pg *page) end(taken int, last string, done int) run.Page {
	out := run.Page{Cursor: pg.run.Cursor, Last: taken < pg.size, Done: done}
	if taken > 0 {
		out.Cursor = last
	}
	return out
}

// send is what charges of this page are sent by.
func (pg *page) send() store.Send {
	return store.Send{Run: pg.run.ID, Page: pg.run.Page, Date: pg.on, Cause: store.ByRun}
}

func (pg *page) key(id string) store.Key { return store.Key{Tenant: pg.run.Tenant, ID: id} }

func (pg *page) keys(ids []string) []store.Key {
	keys := make([]store.Key, len(ids))
	for i, id := range ids {
		keys[i] = pg.key(id)
	}
	return keys
}

// wake has the charges of this page sent.
func (p *Planner) wake(ctx context.Context, tx pgx.Tx, pg *page, charges int) error {
	if charges == 0 {
		return nil
	}
	return p.Runs.WakeDispatch(ctx, tx, "", run.Place{Run: pg.run.ID, Page: pg.run.Page})
}

// unresolved is charge.Unresolved in the words of SQL.
func unresolved() []string {
	var states []string
	for _, s := range charge.Unresolved() {
		states = append(states, string(s))
	}
	return states
}

func last[T any](all []T, id func(T) string) string {
	if len(all) == 0 {
		return ""
	}
	return id(all[len(all)-1])
}

func self(id string) string { return id }
