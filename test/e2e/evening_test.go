package e2e_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
	"github.com/agogopay/agogo/test/harness"
)

// expected is the customer's own file: what the evening must come to.
type expected struct {
	Payouts  int             `json:"payouts"`
	TotalNet int64           `json:"total_net"`
	ByPayee  map[string]sums `json:"by_payee"`
	NextRun  map[string]sums `json:"next_run"`
}

type sums struct {
	Payments int   `json:"payments"`
	Gross    int64 `json:"gross"`
	Net      int64 `json:"net"`
}

func expectation(t *testing.T) expected {
	t.Helper()
	raw, err := os.ReadFile(harness.Example(t, "lebenis/expected-2025-01-24.json"))
	if err != nil {
		t.Fatal(err)
	}
	var e expected
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatal(err)
	}
	if len(e.ByPayee) != e.Payouts || len(e.NextRun) == 0 {
		t.Fatalf("the expectation is not whole: %+v", e)
	}
	return e
}

// printedPayout has the fields that DESIGN promises to programs, read without any of our code.
type printedPayout struct {
	ID         string  `json:"id"`
	PayeeID    string  `json:"payee_id"`
	RunID      string  `json:"run_id"`
	PeriodDate string  `json:"period_date"`
	State      string  `json:"state"`
	Gross      printed `json:"gross"`
	Commission printed `json:"commission"`
	Net        printed `json:"net"`
	ItemCount  int     `json:"item_count"`
	Attempts   []struct {
		Number    int    `json:"number"`
		Reference string `json:"provider_reference"`
		Class     string `json:"class"`
		Code      string `json:"code"`
	} `json:"attempts"`
}

type printed struct {
	Minor    int64  `json:"minor,string"`
	Currency string `json:"currency"`
}

func printedPayouts(t *testing.T, in *harness.Install, args ...string) []printedPayout {
	t.Helper()
	out := in.CLI(t, append([]string{"payouts", "list", "-o", "json"}, args...)...)
	var list struct {
		Items []printedPayout `json:"items"`
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("payouts list -o json: %v in\n%s", err, out)
	}
	return list.Items
}

func TestTheEveningPaysWhatTheCustomerExpects(t *testing.T) {
	w, want := evening(t), expectation(t)
	moved := map[string]harness.Entry{}
	for _, e := range w.first.Book {
		moved[e.Reference] = e
	}
	got := map[string]sums{}
	for _, p := range printedPayouts(t, w.Install, "--run", daily+"@"+january24) {
		got[p.PayeeID] = sums{p.ItemCount, p.Gross.Minor, p.Net.Minor}
		if p.State != "succeeded" || p.PeriodDate != "2025-01-24" || p.RunID != w.run.RunId || p.Net.Currency != "XOF" || p.Gross.Minor-p.Commission.Minor != p.Net.Minor {
			t.Errorf("%+v", p)
		}
		if len(p.Attempts) != 1 || p.Attempts[0].Number != 1 || p.Attempts[0].Class != "SUCCEEDED" {
			t.Errorf("%s: attempts %+v, want one that succeeded", p.PayeeID, p.Attempts)
			continue
		}
		if e := moved[p.Attempts[0].Reference]; e.Moved != 1 || e.Amount != p.Net.Minor || e.Currency != "XOF" {
			t.Errorf("%s: the provider's book says %+v of reference %s", p.PayeeID, e, p.Attempts[0].Reference)
		}
	}
	if d := cmp.Diff(want.ByPayee, got); d != "" {
		t.Errorf("per payee (-want +got):\n%s", d)
	}
	if len(got) != want.Payouts || len(moved) != want.Payouts {
		t.Errorf("%d payouts and %d references at the provider, want %d of each", len(got), len(moved), want.Payouts)
	}
	if n, total := w.run.Counts["succeeded"], w.run.Totals["succeeded"].GetMinor(); n != int64(want.Payouts) || total != want.TotalNet || w.run.State != "completed" {
		t.Errorf("the run is %s with %d succeeded and %d paid, want completed, %d and %d", w.run.State, n, total, want.Payouts, want.TotalNet)
	}
}

func TestTheSameTickAgainChangesNothing(t *testing.T) {
	w := evening(t)
	before := w.snapshot(t)
	if out := w.CLI(t, "schedules", "trigger", daily, "--at", january24); !strings.Contains(out, "had fired already") || !strings.Contains(out, daily+"@"+january24) {
		t.Errorf("trigger says %q, want the tick and that it had fired already", out)
	}
	again := harness.One[schedulerv1.TriggerScheduleResponse](t, w.Install, "schedules", "trigger", daily, "--at", january24)
	if !again.AlreadyFired || again.TickId != w.run.TickId {
		t.Errorf("%v", again)
	}
	run := harness.One[schedulerv1.Run](t, w.Install, "schedules", "trigger", daily, "--at", january24, "--wait")
	if run.RunId != w.run.RunId {
		t.Errorf("--wait returned run %s, want that of the first time, %s", run.RunId, w.run.RunId)
	}
	if d := cmp.Diff(before, w.snapshot(t)); d != "" {
		t.Errorf("the same tick changed something (-before +after):\n%s", d)
	}
	payments := harness.Example(t, "lebenis/payments-2025-01-24.csv")
	if out := w.CLI(t, "payments", "import", payments); !strings.Contains(out, "0 new, 0 changed, 176 known already, 0 refused") {
		t.Errorf("the same file again: %s", out)
	}
	if d := cmp.Diff(before, w.snapshot(t)); d != "" {
		t.Errorf("the same file changed something (-before +after):\n%s", d)
	}
}

func TestTheNextEveningPaysWhatWasLate(t *testing.T) {
	w, want := evening(t), expectation(t)
	before := w.Book(t)
	run := harness.One[schedulerv1.Run](t, w.Install, "schedules", "trigger", daily, "--at", january25, "--wait")
	got := map[string]sums{}
	for _, p := range harness.Items[payoutsv1.Payout](t, w.Install, "payouts", "list", "--run", run.TickId) {
		got[p.PayeeId] = sums{int(p.ItemCount), p.Gross.GetMinor(), p.Net.GetMinor()}
		if p.State != "succeeded" || p.PeriodDate != "2025-01-25" {
			t.Errorf("payout of %s is %s for %s", p.PayeeId, p.State, p.PeriodDate)
		}
	}
	if d := cmp.Diff(want.NextRun, got); d != "" {
		t.Errorf("the next evening (-want +got):\n%s", d)
	}
	after := w.Book(t)
	if len(after) != len(before)+1 {
		t.Errorf("the provider's book grew by %d entries, want 1", len(after)-len(before))
	}
	for _, p := range harness.Items[payoutsv1.Payment](t, w.Install, "payments", "list", "--unpaid", "--status", "completed") {
		t.Errorf("payment %s is completed and was never paid", p.Id)
	}
}

// drv-01 rested from 15:59 to 16:44, and from 23:29 on over midnight.
func TestBreaksAreReset(t *testing.T) {
	w := evening(t)
	run := harness.One[schedulerv1.Run](t, w.Install, "schedules", "trigger", reset, "--at", "2025-01-25T00:00:00Z", "--wait")
	if run.State != "completed" || run.Counts["asked"] != 1 {
		t.Errorf("the reset is %s and reset %d payees' breaks, want completed and 1", run.State, run.Counts["asked"])
	}
	ended := harness.One[payoutsv1.Break](t, w.Install, "breaks", "end", "drv-01", "--at", "2025-01-25T00:10:00Z")
	if ended.TotalSeconds != 600 || ended.LocalDate != "2025-01-25" || ended.OpenSince != nil {
		t.Errorf("after midnight: %v, want the ten minutes since midnight", ended)
	}
	again := harness.One[schedulerv1.Run](t, w.Install, "schedules", "trigger", reset, "--at", "2025-01-25T00:00:00Z", "--wait")
	if again.RunId != run.RunId {
		t.Errorf("the same tick ran again as %s", again.RunId)
	}
}

func TestDriversAreTold(t *testing.T) {
	w := evening(t)
	harness.Eventually(t, waiting, "a row and a push for each driver", func() (bool, string) {
		told := map[string]string{}
		for _, line := range strings.Split(w.CLI(t, "notifications", "list"), "\n") {
			if f := strings.Fields(line); len(f) > 3 && f[2] == "payout.succeeded" && f[3] == "delivered" {
				told[f[1]] = line
			}
		}
		return len(told) == 15 && strings.Contains(told["drv-01"], "24\u00a0000\u00a0FCFA"), told["drv-01"]
	})
	if pushes := w.Calls(t, "send"); pushes["ok"] < 15 {
		t.Errorf("the push service says %v, want a push for each of 15 drivers", pushes)
	}
}
