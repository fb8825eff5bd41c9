package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	notifierv1 "github.com/agogopay/agogo/proto/gen/go/agogo/notifier/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
	"github.com/agogopay/agogo/test/harness"
)

// A tenant that pays through Wave, which tells its balance.
const waveTenant = `
tenants:
  - id: lebenis
    timezone: Africa/Abidjan
    currency: XOF
    locale: fr-CI
    mode: sandbox
    payouts: {commission_bps: 2000, minimum: 100, default_provider: wave, payable_methods: [wave], accept_from: "2025-01-01", float_check: 1s}
    providers:
      wave: {kind: wave, base_url: "http://127.0.0.1:9900/wave", api_key: "${WAVE_API_KEY}", concurrency: 4, timeout: 1s, quiet_time: 500ms, deduplicates: true}
    schedules:
      - {name: daily, job: payouts/daily, cron: "59 23 * * *"}
notifier:
  fcm: {project_id: demo, endpoint: "http://127.0.0.1:9900/fcm/v1", credentials: ""}
`

// fill puts money into the account at Wave.
func fill(t *testing.T, in *harness.Install, minor int64) {
	t.Helper()
	in.Control(t, http.MethodPost, "/_control/float", map[string]any{"provider": "wave", "minor": minor}, nil)
}

// floatOf is the tenant's only float.
func floatOf(t *testing.T, in *harness.Install) *payoutsv1.Float {
	t.Helper()
	all := harness.Items[payoutsv1.Float](t, in, "float", "list")
	if len(all) != 1 {
		t.Fatalf("%d floats", len(all))
	}
	return all[0]
}

// The float is short: operators hear of it before the evening; in the evening what it covers is paid, in order, and the provider is
// never asked for more; after a top-up the rest goes by itself.
func TestTheFloatRunsOutInTheMiddleOfARun(t *testing.T) {
	t.Parallel()
	in := harness.New(t, binary)
	in.Tenant = lebenis
	in.Env = []string{"WAVE_API_KEY=wave_ci_test_0123456789abcdef"}
	in.WithSimulator(t)
	in.UseConfig(t, waveTenant)
	fill(t, in, 200_000) // of 15 times 24,000, and Wave's fees
	in.Dev(t)
	in.CLI(t, "schedules", "pause", daily, "--reason", "ticks are fired by hand")
	var file strings.Builder
	file.WriteString(paymentsHeader)
	for p := range 15 {
		fmt.Fprintf(&file, "pay-%d,%s,%s,+225%s,30000,XOF,wave,completed,2025-01-24T12:00:00Z\n", p, payeeID(p), payeeName, wallet(90, p))
	}
	in.CLI(t, "payments", "import", harness.WriteFile(t, "payments.csv", file.String()))

	var f *payoutsv1.Float
	harness.Eventually(t, waiting, "a low float", func() (bool, string) {
		f = floatOf(t, in)
		return f.State == "low", f.String()
	})
	if f.GetOwed().GetMinor() != 360_000 || f.GetNeeded().GetMinor() != 360_000 || f.GetShortfall().GetMinor() != 160_000 || f.GetBalance().GetMinor() != 200_000 || f.GetNextRun() == nil {
		t.Errorf("before the evening: %v", f)
	}

	run := harness.One[schedulerv1.Run](t, in, "schedules", "trigger", daily, "--at", january24, "--wait", "--timeout", runEnds)
	if run.Counts["succeeded"] != 8 || run.Counts["held"] != 7 {
		t.Errorf("the evening: %v", run.Counts)
	}
	for _, p := range harness.Items[payoutsv1.Payout](t, in, "payouts", "list", "--state", "held") {
		if p.GetReason().GetCode() != "insufficient_float" || p.GetReason().GetScope() != "float" || len(p.Attempts) != 0 {
			t.Errorf("held: %v", p)
		}
	}
	if f = floatOf(t, in); f.State != "insufficient" || f.GetWaiting().GetMinor() != 7*24_000 {
		t.Errorf("after the evening: %v", f)
	}
	if r := in.Try(t, "float", "list"); !strings.Contains(r.Out, "insufficient") || !strings.Contains(r.Out, "168000 XOF") {
		t.Errorf("float list says\n%s", r)
	}

	fill(t, in, 200_000)
	in.CLI(t, "float", "top-up", "200000", "--currency", "XOF", "--provider", "wave", "--reference", "BANK-1")
	in.CLI(t, "float", "top-up", "200000", "--currency", "XOF", "--provider", "wave", "--reference", "BANK-1")
	awaitState(t, in, "succeeded", 15)
	harness.Eventually(t, waiting, "a restored float", func() (bool, string) {
		f = floatOf(t, in)
		return f.State == "ok" && f.GetBalance().GetMinor() == 400_000-15*24_240, f.String()
	})
	if f.GetBooked().GetMinor() != 200_000-15*24_240 || f.GetDifference().GetMinor() != 200_000 {
		t.Errorf("the books: %v; of 400,000 only 200,000 were recorded", f)
	}
	if calls := in.Calls(t, "payout"); sum(calls) != 15 {
		t.Errorf("Wave was asked to pay: %v", calls)
	}
	for _, typ := range []string{"float.low", "float.insufficient", "float.restored"} {
		if out := in.CLI(t, "events", "tail", "--type", typ, "--follow=false"); !strings.Contains(out, typ) {
			t.Errorf("no %s:\n%s", typ, out)
		}
	}
	in.CLI(t, "events", "verify")
	in.CLI(t, "ledger", "verify")
	harness.Eventually(t, waiting, "operators are told", func() (bool, string) {
		var titles []string
		for _, n := range harness.Items[notifierv1.Notification](t, in, "notifications", "list", "--recipient", "operators") {
			titles = append(titles, n.Title)
		}
		all := strings.Join(titles, "\n")
		return strings.Contains(all, "Solde bas chez wave") && strings.Contains(all, "Solde insuffisant chez wave"), all
	})
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}
