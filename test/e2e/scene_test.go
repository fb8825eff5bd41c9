package e2e_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
	"github.com/agogopay/agogo/test/harness"
)

// stage is what a scene's tenant is like where it differs from the others.
type stage struct {
	lookupAfter string
	timeout     string
	concurrency int
}

// tenantsFile has a tenant for each scene. Times are as short as a busy machine allows: "not found" counts 5.5 s after a
// send (lease of two timeouts and 2 s, a timeout, the quiet time), and is believed the second time, a second later. An
// auditor may look at everything, a clerk work for one tenant.
func tenantsFile(stages map[string]stage, clerkOf string) string {
	var text strings.Builder
	text.WriteString("tenants:\n")
	for _, name := range slices.Sorted(maps.Keys(stages)) {
		s := stages[name]
		fmt.Fprintf(&text, `
  - id: %s
    timezone: Africa/Abidjan
    currency: XOF
    locale: fr-CI
    mode: sandbox
    payouts: {commission_bps: 2000, minimum: 100, default_provider: orange, payable_methods: [orange_money], accept_from: "2025-01-01", max_attempts: 1}
    providers:
      orange: {kind: orange_omr, base_url: "http://127.0.0.1:9900/orange-money-b2b/v1/ci", token_url: "http://127.0.0.1:9900/oauth/v3/token",
               client_id: "${ORANGE_CLIENT_ID}", client_secret: "${ORANGE_CLIENT_SECRET}", pos_id: "${ORANGE_POS_ID}", callback_authorization: "${ORANGE_CALLBACK_AUTH}",
               rate_per_second: 50, concurrency: %d, timeout: %s, quiet_time: 500ms, lookup_after: [%s], review_after: 24h, retry_after: [1s]}
    schedules:
      - {name: daily, job: payouts/daily, cron: "59 23 * * *"}
      - {name: check-pending, job: payouts/check-pending, cron: "0 * * * *"}
`, name, cmp.Or(s.concurrency, 8), cmp.Or(s.timeout, "1s"), cmp.Or(s.lookupAfter, "1s, 2s, 3s, 4s, 6s, 8s, 10s, 12s, 15s, 20s, 30s"))
	}
	fmt.Fprintf(&text, `
auth:
  tokens:
    - {name: auditor, role: viewer, tenants: ["*"], token: "${AUDITOR_TOKEN}"}
    - {name: clerk, role: operator, tenants: [%s], token: "${CLERK_TOKEN}"}
notifier:
  fcm: {project_id: demo, endpoint: "http://127.0.0.1:9900/fcm/v1", credentials: ""}
`, clerkOf)
	return text.String()
}

const (
	auditorToken = "auditor-0b9d2c7e4f61a853"
	clerkToken   = "clerk-5e8a91c3d7f04b26d"
)

// scene is a test with a tenant of its own on a shared installation, so that many can have their faults side by side.
type scene struct {
	*testing.T
	*harness.Install
	number int
}

// wallet is a payee's number as the provider knows it; no two scenes share one.
func wallet(scene, payee int) string { return fmt.Sprintf("07%08d", 20000+100*scene+payee) }

func (s scene) wallet(payee int) string { return wallet(s.number, payee) }

func payeeID(payee int) string { return fmt.Sprintf("drv-%02d", payee) }

const payeeName = "Mariam Bamba"

// owe imports one payment to each payee, completed at noon of a day of January 2025.
func (s scene) owe(day int, payees ...int) {
	s.Helper()
	var file strings.Builder
	file.WriteString(paymentsHeader)
	for _, p := range payees {
		fmt.Fprintf(&file, "pay-%02d-%02d,%s,%s,+225%s,10000,XOF,orange_money,completed,2025-01-%02dT12:00:00Z\n", day, p, payeeID(p), payeeName, s.wallet(p), day)
	}
	s.CLI(s.T, "payments", "import", harness.WriteFile(s.T, "payments.csv", file.String()))
}

// fault makes a payee's next calls go wrong.
func (s scene) fault(payee int, operation, fault string, more harness.Rule) {
	s.Helper()
	r := harness.Rule{"provider": "orange_omr", "operation": operation, "match": map[string]any{"peer": s.wallet(payee)}, "fault": fault, "times": 1}
	maps.Copy(r, more)
	s.Misbehave(s.T, r)
}

func (s scene) schedule(name string) string { return s.Tenant + "/payouts/" + name }

// evening pays a day's evening and returns its run when it is complete.
func (s scene) evening(day int) *schedulerv1.Run {
	s.Helper()
	return harness.One[schedulerv1.Run](s.T, s.Install, "schedules", "trigger", s.schedule("daily"), "--at", at(day), "--wait", "--timeout", runEnds)
}

func at(day int) string { return fmt.Sprintf("2025-01-%02dT23:59:00Z", day) }

// payout is a payee's only payout of an evening.
func (s scene) payout(day, payee int) *payoutsv1.Payout {
	s.Helper()
	all := harness.Items[payoutsv1.Payout](s.T, s.Install, "payouts", "list", "--payee", payeeID(payee), "--date", fmt.Sprintf("2025-01-%02d", day))
	if len(all) != 1 {
		s.Fatalf("%d payouts of %s on 2025-01-%02d, want one", len(all), payeeID(payee), day)
	}
	return all[0]
}

// await waits until a payee's payout of an evening is in a state.
func (s scene) await(day, payee int, state string) *payoutsv1.Payout {
	s.Helper()
	var p *payoutsv1.Payout
	harness.Eventually(s.T, waiting, payeeID(payee)+" "+state, func() (bool, string) {
		p = s.payout(day, payee)
		return p.State == state, p.State + " " + p.Reason.GetCode()
	})
	return p
}

// went checks the states that a payee's only payout went through, by its events.
func (s scene) went(payee int, want ...string) {
	s.Helper()
	harness.Eventually(s.T, waiting, payeeID(payee)+"'s events", func() (bool, string) {
		got := path(s.T, s.Install, s.Tenant, payeeID(payee))
		return slices.Equal(got, want), fmt.Sprintf("%q, want %q", got, want)
	})
}

// moved checks how often money moved to a payee's wallet, over all references.
func (s scene) moved(payee, want int) {
	s.Helper()
	n := 0
	for _, e := range s.BookOf(s.T, s.wallet(payee)) {
		n += e.Moved
	}
	if n != want {
		s.Errorf("%s: money moved %d times, want %d", payeeID(payee), n, want)
	}
}

// unpaid are the payments that no payout claims.
func (s scene) unpaid() []string {
	s.Helper()
	var ids []string
	for _, p := range harness.Items[payoutsv1.Payment](s.T, s.Install, "payments", "list", "--unpaid") {
		ids = append(ids, p.Id)
	}
	return ids
}

// pauseSchedules keeps real evenings out of an installation's tenants.
func pauseSchedules(t *testing.T, in *harness.Install) {
	t.Helper()
	c, ctx := in.Connect(t, "admin")
	list, err := c.Scheduler.ListSchedules(ctx, &schedulerv1.ListSchedulesRequest{PageSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list.Items {
		if _, err := c.Scheduler.PauseSchedule(ctx, &schedulerv1.PauseScheduleRequest{Name: s.Name, Reason: "ticks are fired by hand"}); err != nil {
			t.Fatal(err)
		}
	}
}
