package closing_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/daybook"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/services/payouts/internal/adapter/wave"
	"github.com/agogopay/agogo/services/payouts/internal/closing"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

// TestNoFirstDayIsLeftOut: the scheduler was away for the first nights, and one tick stands for them all. It closes from the day on that
// money first moved; whoever asks by hand has chosen the first day.
func TestNoFirstDayIsLeftOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.Clock().Advance(48 * time.Hour)
	fired(r, dayAfter(today, 3))
	r.work()
	var all []daybook.Report
	for n := range 3 {
		all = append(all, r.report(dayAfter(today, n)))
	}
	if h := all[0].Head; h.Opening != 0 || h.Paid != 2*net || h.Matched != 2 || h.Sequence != 1 || all[2].Head.Sequence != 3 {
		t.Errorf("%+v", h)
	}
	if gaps, err := closingChain(all...); err != nil || len(gaps) > 0 {
		t.Errorf("chain: %v %v", gaps, err)
	}
}

func TestAFirstDayByHand(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.Clock().Advance(48 * time.Hour)
	if err := r.ask(dayAfter(today, 2), false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{dayAfter(today, 2)}, r.asked()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestTheFirstDayOfAnOldFloat is no further back than anything else that is closed at once, in the tenant's own days.
func TestTheFirstDayOfAnOldFloat(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	now := r.Clock().Now()
	r.Clock().Set(now.AddDate(0, 0, -600))
	r.topUp("long-ago", 300)
	r.Clock().Set(now)
	fired(r, tomorrow)
	all := r.asked()
	if len(all) != 400 || all[0] != dayAfter(today, -399) || all[399] != today {
		t.Errorf("%d days: %v", len(all), all)
	}
}

// fired runs a tick of the job.
func fired(r *rig, date string) {
	r.Ticks.Jobs[closing.Job], r.Exec.Jobs[closing.Job] = r.closer.Page, r.closer.Page
	r.Run(payoutstest.Tick("close", closing.Job, date+"T00:30:00Z"))
}

// asked are the days whose close was asked for.
func (r *rig) asked() (dates []string) {
	r.t.Helper()
	rows, err := r.Env.Pool.Query(r.t.Context(), "SELECT local_date::text FROM closes ORDER BY local_date, revision")
	if err != nil {
		r.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var date string
		if err := rows.Scan(&date); err != nil {
			r.t.Fatal(err)
		}
		dates = append(dates, date)
	}
	if err := rows.Err(); err != nil {
		r.t.Fatal(err)
	}
	return dates
}

// TestADayOfAllConnectors leaves out those whose closes begin later; a day that all of them began after is refused.
func TestADayOfAllConnectors(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	c := r.Config
	c.Name = "added"
	r.Connectors.Add(connector.New(payoutstest.Tenant, c, wave.New(c, r.Clock())))
	r.Clock().Advance(48 * time.Hour)
	tenant, _ := r.Tenants.Tenant(payoutstest.Tenant)
	all := func(date string) error {
		return pg.InTx(r.Ctx(), r.Env.Pool, func(tx pgx.Tx) error { return r.closer.AskAll(r.Ctx(), tx, tenant, date, false) })
	}
	if err := r.askOf("added", dayAfter(today, 2), false); err != nil {
		t.Fatal(err)
	}
	if err := all(today); err != nil {
		t.Errorf("a day of one of two: %v", err)
	}
	if diff := cmp.Diff([]string{today, dayAfter(today, 2)}, r.asked()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	err := all(dayAfter(today, -1))
	if !errors.Is(err, closing.ErrEarlier) || !strings.Contains(err.Error(), "wave: ") || !strings.Contains(err.Error(), "added: ") {
		t.Errorf("a day of none: %v", err)
	}
}
