package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/plan"
	"github.com/agogopay/agogo/services/payouts/internal/runs"
)

// line is what a preview and a run must agree on.
func line(p payout.Payout) string {
	return fmt.Sprintf("%s %s #%d %s/%s %s %s %d items for %s", p.ID, p.PayeeID, p.Seq, p.State, p.Reason.Code, p.Net.Decimal(), p.Provider, p.ItemCount, p.PeriodDate)
}

// previewed are the lines of a preview of the evening's run.
func previewed(t *testing.T, e *payoutstest.Env) (lines []string, sum plan.Preview) {
	t.Helper()
	at := payoutstest.At(evening)
	tick := payoutstest.Tenant + "/payouts/preview!1"
	sum, err := e.Planner.Preview(e.Ctx(), e.Pool, run.Run{
		Service: "payouts", ID: run.ID(tick), TickID: tick, Tenant: payoutstest.Tenant, Schedule: "preview", Job: runs.JobDaily, NominalTime: at,
		LocalDate: at.Format("2006-01-02"), WindowStart: at, WindowEnd: at, Timezone: "Africa/Abidjan", Trigger: "preview",
	}, func(page []payout.Payout) error {
		for _, p := range page {
			lines = append(lines, line(p))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines, sum
}

// everything is all rows of all tables, by table.
func everything(t *testing.T, e *payoutstest.Env) map[string][]string {
	t.Helper()
	query := func(sql string) []string {
		rows, err := e.Pool.Query(t.Context(), sql)
		if err != nil {
			t.Fatal(err)
		}
		all, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	all := map[string][]string{}
	for _, table := range query("SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema() ORDER BY 1") {
		all[table] = query(fmt.Sprintf("SELECT x::text FROM %q x ORDER BY 1", table))
	}
	return all
}

// A preview shows the rows that the run then makes, over several pages, with splits, caps, tiers, holds and skips; and it
// leaves every table as it was.
func TestAPreviewIsWhatTheRunThenPlans(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	r := e.Rules()
	r.MaxPerPayout, r.DailyCap, r.PayeeDailyCap, r.Minimum = 20_000, 150_000, 45_000, 1000
	r.Approval = config.Approval{Tiers: []config.Tier{{Above: 15_000, Approvals: 1}}, BatchTiers: []config.Tier{{Above: 100_000, Approvals: 2}}}
	e.Planner.PageSize = 3
	csv := payoutstest.Header
	for i := range 20 {
		for j := range 1 + i%4 {
			csv += payoutstest.Pay(fmt.Sprintf("p-%d-%d", i, j), fmt.Sprintf("drv-%02d", i), int64(500+1700*i), "2025-01-24T10:00:00Z")
		}
	}
	csv += strings.Replace(payoutstest.Pay("nowallet", "drv-90", 5000, "2025-01-24T10:00:00Z"), "+2250700000101", "", 1)
	e.Import(csv)
	e.SQL("UPDATE payees SET state = 'paused' WHERE payee_id = 'drv-05'")
	e.SQL("UPDATE payees SET unconfirmed = true WHERE payee_id = 'drv-06'")
	e.SQL("UPDATE payees SET provider = 'gone' WHERE payee_id = 'drv-07'")

	before := everything(t, e)
	want, sum := previewed(t, e)
	if diff := cmp.Diff(before, everything(t, e)); diff != "" {
		t.Fatalf("a preview changes tables (-before +after):\n%s", diff)
	}
	if again, _ := previewed(t, e); !slices.Equal(again, want) {
		t.Error("a second preview shows something else")
	}
	id := e.Run(payoutstest.Daily(evening))
	var got []string
	rows, err := e.Pool.Query(t.Context(), "SELECT payout_id FROM payouts")
	if err != nil {
		t.Fatal(err)
	}
	planned, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		t.Fatal(err)
	}
	all, err := e.Store.Get(t.Context(), e.Pool, planned...)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		got = append(got, line(p))
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the run plans something else than its preview (-preview +run):\n%s", diff)
	}
	for _, state := range []string{
		" approved/", " skipped/below_minimum", " skipped/no_wallet", " held/payee_paused", " held/destination_changed",
		" held/provider_stopped", " held/daily_cap", " held/payee_daily_cap", " held/max_per_payout", " awaiting_approval/above_tier",
	} {
		if !strings.Contains(strings.Join(want, "\n"), state) {
			t.Errorf("nothing is%s: the test shows less than it should", state)
		}
	}
	if n := e.Count("SELECT approvals_needed FROM batches WHERE run_id = $1", id); int(n) != sum.Approvals || n != 2 {
		t.Errorf("the preview says %d approvals, the batch needs %d", sum.Approvals, n)
	}
	if n := e.Count("SELECT sum(net) FROM payouts WHERE state <> 'skipped'"); n != sum.Total {
		t.Errorf("the preview says %d, the run pays %d", sum.Total, n)
	}
}
