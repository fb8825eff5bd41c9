package plan_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/stream"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/runs"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const evening = "2025-01-24T23:59:00Z"

// share is what one payee gets, as the expectation file tells it.
type share struct {
	Payments int32 `json:"payments"`
	Gross    int64 `json:"gross"`
	Net      int64 `json:"net"`
}

func sharesOf(payouts map[string]*eventsv1.Payout, runID string) map[string]share {
	shares := map[string]share{}
	for _, p := range payouts {
		if p.GetRunId() == runID && p.GetState() == "approved" {
			s := shares[p.GetPayeeId()]
			shares[p.GetPayeeId()] = share{s.Payments + p.GetItemCount(), s.Gross + p.GetGross().GetMinor(), s.Net + p.GetNet().GetMinor()}
		}
	}
	return shares
}

// TestTheEveningOf24January2025 imports the sample evening and compares what is planned with what its rules give.
func TestTheEveningOf24January2025(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 4, 1} {
		t.Run(fmt.Sprintf("page size %d", size), func(t *testing.T) {
			t.Parallel()
			e := payoutstest.New(t)
			e.Planner.PageSize = size
			if _, refused := e.Import(string(payoutstest.Sample(t, "lebenis-payments-2025-01-24.csv"))); len(refused) > 0 {
				t.Fatalf("refused: %v", refused)
			}
			var want struct {
				Payouts  int              `json:"payouts"`
				TotalNet int64            `json:"total_net"`
				ByPayee  map[string]share `json:"by_payee"`
				NextRun  map[string]share `json:"next_run"`
			}
			if err := json.Unmarshal(payoutstest.Sample(t, "lebenis-expected-2025-01-24.json"), &want); err != nil {
				t.Fatal(err)
			}
			id := e.Run(payoutstest.Daily(evening))
			got := sharesOf(e.Payouts(), id.String())
			if diff := cmp.Diff(want.ByPayee, got); diff != "" {
				t.Errorf("by payee (-want +got):\n%s", diff)
			}
			if n := e.Count("SELECT sum(net) FROM payouts"); n != want.TotalNet || len(got) != want.Payouts {
				t.Errorf("%d payouts of %d, want %d of %d", len(got), n, want.Payouts, want.TotalNet)
			}
			e.Finish() // nobody sends in this test; what was planned stays claimed
			next := e.Run(payoutstest.Daily("2025-01-25T23:59:00Z"))
			if diff := cmp.Diff(want.NextRun, sharesOf(e.Payouts(), next.String())); diff != "" {
				t.Errorf("next run (-want +got):\n%s", diff)
			}
			e.CheckItems()
		})
	}
}

// TestTheTaskRanTwice is the worst defect of the system being replaced: drivers were paid twice. Ticks and commands are
// delivered again at every point, also under other message ids, and nothing changes.
func TestTheTaskRanTwice(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Planner.PageSize = 4
	e.Import(string(payoutstest.Sample(t, "lebenis-payments-2025-01-24.csv")))
	tick := payoutstest.Daily(evening)
	fire := func(id string) {
		t.Helper()
		if err := e.Fire(tick, id); err != nil {
			t.Fatal(err)
		}
	}
	fire("tick")
	for seen := 0; ; {
		fire("tick")
		fire(fmt.Sprintf("tick again after %d", seen)) // published anew, so the inbox does not know it
		commands := e.Messages(stream.Commands)
		for _, m := range commands { // all earlier ones once more, in every round
			if err := e.Hand(m); err != nil {
				t.Fatal(err)
			}
		}
		if len(commands) == seen {
			break
		}
		seen = len(commands)
	}
	if n := e.Count("SELECT count(*) FROM runs"); n != 1 {
		t.Errorf("%d runs of one tick", n)
	}
	if n := e.Count("SELECT count(*) FROM payouts"); n != 15 {
		t.Errorf("%d payouts, want 15", n)
	}
	if n := e.Count("SELECT sum(net) FROM payouts"); n != 450_000 {
		t.Errorf("%d planned, want 450000", n)
	}
	plans, dispatches := 0, 0
	for _, m := range e.Messages(stream.Commands) {
		if strings.Contains(m.Subject, ".plan.") {
			plans++
		} else {
			dispatches++
		}
	}
	if plans != 4 || dispatches != 4 { // 4+4+4+3 payees
		t.Errorf("%d plan and %d dispatch commands for 4 pages", plans, dispatches)
	}
	e.CheckItems()
	e.CheckEvents()
}

// TestNothingFallsBetweenTwoEvenings: payments completed between 23:59:00 and 24:00 were never paid, since each run looked
// only at its own day.
func TestNothingFallsBetweenTwoEvenings(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Import(payoutstest.Header +
		payoutstest.Pay("on-the-cut-off", "drv-1", 1000, "2025-01-24T23:59:00Z") +
		payoutstest.Pay("just-after", "drv-1", 2000, "2025-01-24T23:59:00.000001Z") +
		payoutstest.Pay("before-midnight", "drv-1", 4000, "2025-01-24T23:59:59.999999Z") +
		payoutstest.Pay("at-midnight", "drv-1", 8000, "2025-01-25T00:00:00Z") +
		payoutstest.Pay("from-days-ago", "drv-1", 16000, "2025-01-20T10:00:00Z"))
	gross := func(nominal string) int64 {
		t.Helper()
		id := e.Run(payoutstest.Daily(nominal))
		e.Finish()
		return sharesOf(e.Payouts(), id.String())["drv-1"].Gross
	}
	if got := gross(evening); got != 1000+16000 {
		t.Errorf("first evening: %d", got)
	}
	// Imported after its day's run, and completed on that day: the next run takes it.
	e.Import(payoutstest.Header + payoutstest.Pay("late-import", "drv-1", 32000, "2025-01-24T12:00:00Z"))
	if got := gross("2025-01-25T23:59:00Z"); got != 2000+4000+8000+32000 {
		t.Errorf("second evening: %d", got)
	}
	if got := gross("2025-01-26T23:59:00Z"); got != 0 {
		t.Errorf("third evening: %d", got)
	}
	e.CheckItems()
}

func TestOnlyWhatIsOwedThroughUsIsPlanned(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Import(payoutstest.Header +
		payoutstest.Row("a", "drv-1", 1000, "completed", "2025-01-24T10:00:00Z", "") +
		payoutstest.Row("b", "drv-1", 2000, "pending", "", "") +
		payoutstest.Row("c", "drv-1", 4000, "failed", "", "") +
		payoutstest.Row("d", "drv-1", 8000, "refunded", "2025-01-24T10:00:00Z", "") +
		payoutstest.Row("e", "drv-1", 16000, "completed", "2025-01-24T10:00:00Z", "paid by the old system") +
		payoutstest.Row("f", "drv-1", 32000, "completed", "2024-12-31T23:59:59Z", "paid last year") +
		strings.Replace(payoutstest.Pay("g", "drv-2", 64000, "2025-01-24T10:00:00Z"), "orange_money", "cash", 1))
	id := e.Run(payoutstest.Daily(evening))
	if diff := cmp.Diff(map[string]share{"drv-1": {1, 1000, 800}}, sharesOf(e.Payouts(), id.String())); diff != "" {
		t.Errorf("planned (-want +got):\n%s", diff)
	}
	e.CheckItems()
}

func TestWhatIsSkippedIsCarriedOver(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Rules().Minimum = 1000
	e.Import(payoutstest.Header + payoutstest.Pay("a", "drv-1", 1000, "2025-01-24T10:00:00Z") +
		strings.Replace(payoutstest.Pay("b", "drv-2", 5000, "2025-01-24T10:00:00Z"), "+2250700000101", "", 1))
	first := e.Run(payoutstest.Daily(evening))
	if n := e.Count("SELECT count(*) FROM payouts WHERE run_id = $1 AND state = 'skipped' AND reason_code IN ('below_minimum', 'no_wallet')", first); n != 2 {
		t.Errorf("%d payouts skipped, want 2", n)
	}
	if n := e.Count("SELECT count(*) FROM runs WHERE state = 'completed'"); n != 1 {
		t.Error("a run with nothing to send stays open")
	}
	e.Import(payoutstest.Header + payoutstest.Pay("c", "drv-1", 1000, "2025-01-25T10:00:00Z") + payoutstest.Pay("d", "drv-2", 1250, "2025-01-25T10:00:00Z"))
	second := e.Run(payoutstest.Daily("2025-01-25T23:59:00Z"))
	want := map[string]share{"drv-1": {2, 2000, 1600}, "drv-2": {2, 6250, 5000}}
	if diff := cmp.Diff(want, sharesOf(e.Payouts(), second.String())); diff != "" {
		t.Errorf("second evening (-want +got):\n%s", diff)
	}
	e.CheckItems()
	e.CheckEvents()
}

func TestARefundAfterItsPayoutComesOffTheNextOne(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	pay := payoutstest.Pay("a", "drv-1", 10_000, "2025-01-24T10:00:00Z")
	e.Import(payoutstest.Header + pay)
	e.Run(payoutstest.Daily(evening))
	e.Finish()
	e.Import(payoutstest.Header + strings.Replace(pay, "completed", "refunded", 1) +
		payoutstest.Pay("b", "drv-1", 4_000, "2025-01-25T10:00:00Z") + payoutstest.Pay("c", "drv-2", 4_000, "2025-01-25T10:00:00Z"))
	second := e.Run(payoutstest.Daily("2025-01-25T23:59:00Z"))
	// 3,200 − 8,000 is nothing to pay: both wait for the next evening.
	if diff := cmp.Diff(map[string]share{"drv-2": {1, 4000, 3200}}, sharesOf(e.Payouts(), second.String())); diff != "" {
		t.Errorf("second evening (-want +got):\n%s", diff)
	}
	e.Finish()
	e.Import(payoutstest.Header + payoutstest.Pay("d", "drv-1", 20_000, "2025-01-26T10:00:00Z"))
	third := e.Run(payoutstest.Daily("2025-01-26T23:59:00Z"))
	if diff := cmp.Diff(map[string]share{"drv-1": {3, 14_000, 11_200}}, sharesOf(e.Payouts(), third.String())); diff != "" {
		t.Errorf("third evening (-want +got):\n%s", diff)
	}
	e.CheckItems()
	e.CheckEvents()
}

func TestASumAboveTheLimitIsSplitByWholePayments(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Rules().MaxPerPayout = 10_000
	csv := payoutstest.Header
	for i := range 7 {
		csv += payoutstest.Pay(fmt.Sprintf("p%d", i), "drv-1", 5000, "2025-01-24T10:00:00Z") // net 4,000: two per payout
	}
	csv += payoutstest.Pay("big", "drv-1", 15_000, "2025-01-24T10:00:00Z") // net 12,000 in one payment
	e.Import(csv + payoutstest.Pay("other", "drv-2", 5000, "2025-01-24T10:00:00Z"))
	e.Run(payoutstest.Daily(evening))
	var got []string
	for _, p := range e.Payouts() {
		got = append(got, fmt.Sprintf("%s #%d %s %d", p.GetPayeeId(), p.GetSeq(), p.GetState(), p.GetNet().GetMinor()))
	}
	slices.Sort(got)
	want := []string{
		"drv-1 #1 approved 8000", "drv-1 #2 approved 8000", "drv-1 #3 approved 8000", "drv-1 #4 approved 4000",
		"drv-1 #5 held 12000", "drv-2 #1 approved 4000",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("payouts (-want +got):\n%s", diff)
	}
	e.CheckItems()
	e.CheckEvents()
	// The same day once more, by hand: what is new gets the next seq.
	e.Finish()
	e.Import(payoutstest.Header + payoutstest.Pay("late", "drv-1", 5000, "2025-01-24T11:00:00Z"))
	byHand := payoutstest.Daily(evening)
	byHand.TickId = "lebenis/payouts/daily!0194"
	e.Run(byHand)
	if n := e.Count("SELECT seq FROM payouts WHERE payee_id = 'drv-1' ORDER BY seq DESC LIMIT 1"); n != 6 {
		t.Errorf("the next payout of the day has seq %d, want 6", n)
	}
	e.CheckItems()
}

func TestCapsHoldWhatPassesTheDay(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Rules().DailyCap, e.Rules().PayeeDailyCap, e.Planner.PageSize = 10_000, 6_000, 1
	e.Import(payoutstest.Header +
		payoutstest.Pay("a", "drv-1", 5000, "2025-01-24T10:00:00Z") + // 4,000
		payoutstest.Pay("b", "drv-2", 10_000, "2025-01-24T10:00:00Z") + // 8,000: above the payee's cap
		payoutstest.Pay("c", "drv-3", 6250, "2025-01-24T10:00:00Z") + // 5,000
		payoutstest.Pay("d", "drv-4", 2500, "2025-01-24T10:00:00Z") + // 2,000: above what is left of the day
		payoutstest.Pay("e", "drv-5", 1250, "2025-01-24T10:00:00Z")) // 1,000: fits
	e.Run(payoutstest.Daily(evening))
	got := map[string]string{}
	for _, p := range e.Payouts() {
		got[p.GetPayeeId()] = p.GetState() + " " + p.GetReason().GetCode()
	}
	want := map[string]string{"drv-1": "approved ", "drv-2": "held payee_daily_cap", "drv-3": "approved ", "drv-4": "held daily_cap", "drv-5": "approved "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}

func TestHoldsAtPlanning(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Import(payoutstest.Header + payoutstest.Pay("a", "drv-1", 5000, "2025-01-24T10:00:00Z") + payoutstest.Pay("b", "drv-2", 5000, "2025-01-24T10:00:00Z"))
	e.SQL("UPDATE payees SET state = 'paused' WHERE payee_id = 'drv-2'")
	e.Run(payoutstest.Daily(evening))
	got := map[string]string{}
	for _, p := range e.Payouts() {
		got[p.GetPayeeId()] = p.GetState() + " " + p.GetReason().GetCode()
	}
	if diff := cmp.Diff(map[string]string{"drv-1": "approved ", "drv-2": "held payee_paused"}, got); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}

// TestTwoRunsPlanTheSamePayeesAtOnce: two schedules fire for the same payees in the same moment. Every payment ends in one
// payout, whichever run gets it.
func TestTwoRunsPlanTheSamePayeesAtOnce(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Planner.PageSize = 7
	csv := payoutstest.Header
	for i := range 300 {
		csv += payoutstest.Pay(fmt.Sprintf("p%03d", i), fmt.Sprintf("drv-%02d", i%60), 1000, "2025-01-24T10:00:00Z")
	}
	e.Import(csv)
	schedules := []string{"daily", "second", "third"}
	for _, s := range schedules {
		if err := e.Fire(payoutstest.Tick(s, runs.JobDaily, evening), s); err != nil {
			t.Fatal(err)
		}
	}
	for before := -1; before != len(e.Messages(stream.Commands)); {
		commands := e.Messages(stream.Commands)
		before = len(commands)
		var all sync.WaitGroup
		for _, m := range commands {
			for range 2 { // and every command twice at once
				all.Go(func() {
					if err := e.Hand(m); err != nil {
						t.Errorf("%s: %v", m.ID, err)
					}
				})
			}
		}
		all.Wait()
	}
	if n := e.Count("SELECT count(*) FROM payments WHERE payout_id IS NULL"); n != 0 {
		t.Errorf("%d payments left", n)
	}
	if n := e.Count("SELECT sum(net) FROM payouts"); n != 300*800 {
		t.Errorf("%d planned, want %d", n, 300*800)
	}
	if n := e.Count("SELECT count(*) FROM runs WHERE planned"); n != 3 {
		t.Errorf("%d runs planned to the end", n)
	}
	e.CheckItems()
	e.CheckEvents()
}

// TestARefundImportRacesAPlan: whichever comes first, books and payouts agree: the refund was either seen by the run or
// comes off the next one.
func TestARefundImportRacesAPlan(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Planner.PageSize = 5
	csv, refunds := payoutstest.Header, payoutstest.Header
	for i := range 200 {
		row := payoutstest.Pay(fmt.Sprintf("p%03d", i), fmt.Sprintf("drv-%02d", i%40), 1000, "2025-01-24T10:00:00Z")
		csv += row
		if i%3 == 0 {
			refunds += strings.Replace(row, "completed", "refunded", 1)
		}
	}
	e.Import(csv)
	var all sync.WaitGroup
	all.Go(func() { e.Run(payoutstest.Daily(evening)) })
	all.Go(func() {
		for line := range strings.Lines(strings.TrimPrefix(refunds, payoutstest.Header)) {
			e.Import(payoutstest.Header + line)
		}
	})
	all.Wait()
	refunded := e.Count("SELECT count(*) FROM payments WHERE status = 'refunded'")
	claimed := e.Count("SELECT count(*) FROM payments WHERE status = 'refunded' AND payout_id IS NOT NULL")
	carries := e.Count("SELECT count(*) FROM carries")
	if refunded != 67 || claimed != carries {
		t.Errorf("%d refunds, %d of them claimed, %d carries", refunded, claimed, carries)
	}
	e.CheckItems()
	// What is payable is what is still to be paid: approved payouts less the carries that the next ones take off.
	payable := int64(0)
	for account, net := range e.Balances() {
		if strings.HasPrefix(account, "payable:") {
			payable -= net
		}
	}
	if want := e.Count("SELECT sum(net) FROM payouts") - 800*carries; payable != want {
		t.Errorf("payable is %d, payouts less carries are %d", payable, want)
	}
	e.Finish()
	e.Run(payoutstest.Daily("2025-01-25T23:59:00Z"))
	if n := e.Count("SELECT count(*) FROM carries WHERE payout_id IS NOT NULL"); n != 0 {
		t.Errorf("%d carries taken by payees who got nothing", n)
	}
}

// TestFloatArithmetic: amounts were floating point. Sums of per-payment commissions, rounded half-up, must come out to the
// last unit whatever the split.
func TestFloatArithmetic(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Rules().CommissionBPS = 1750
	csv, want := payoutstest.Header, map[string]int64{}
	for i := range 400 {
		amount := int64(101 + 7*i)
		payee := fmt.Sprintf("drv-%d", i%9)
		csv += payoutstest.Pay(fmt.Sprintf("p%03d", i), payee, amount, "2025-01-24T10:00:00Z")
		want[payee] += amount - (amount*1750+5000)/10000
	}
	e.Import(csv)
	e.Run(payoutstest.Daily(evening))
	got := map[string]int64{}
	for _, p := range e.Payouts() {
		got[p.GetPayeeId()] += p.GetNet().GetMinor()
		if p.GetGross().GetMinor() != p.GetCommission().GetMinor()+p.GetNet().GetMinor() {
			t.Errorf("%v: gross is not commission + net", p)
		}
	}
	if !maps.Equal(want, got) {
		t.Errorf("net by payee (-want +got):\n%s", cmp.Diff(want, got))
	}
}
