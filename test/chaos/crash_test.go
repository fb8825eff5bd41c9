//go:build crash

package chaos_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
	"github.com/agogopay/agogo/test/harness"
)

const (
	tenant = "lebenis"
	daily  = tenant + "/payouts/daily"
	at     = "2025-01-24T23:59:00Z"
	tick   = daily + "@" + at
	payees = 15
	// slots is the provider's concurrency in examples/tenants.yaml: no more payouts than this may be in doubt after a crash.
	slots = 16
)

// points lists every crash point on the way of the evening, and how often it is passed before the process dies. A rule of
// the root (rules_test.go) compares them with the code.
var points = []string{
	"scheduler.after_tick_commit",
	"payouts.after_run_commit",
	"payouts.after_plan_commit",
	"outbox.after_publish",
	"outbox.after_publish:7",
	"payouts.after_claim_commit",
	"payouts.before_send",
	"payouts.before_send:6",
	"payouts.after_send",
	"payouts.after_send:6",
	"payouts.after_outcome_commit",
	"notifier.after_send",
}

// Promise 1: whatever crashes, each payee is in the provider's book once, or not at all and then unknown or in manual review.
func TestEveryCrashPoint(t *testing.T) {
	t.Parallel()
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			t.Parallel() // each has its own installation, and mostly waits for leases and lookups
			in := prepared(t)
			dying := in.DevWith(t, []string{"AGOGO_CRASHPOINT=" + point})
			dying.AwaitReady(t)
			in.Try(t, "schedules", "trigger", daily, "--at", at) // the process may die before it answers
			dying.AwaitKilled(t, 30*time.Second)

			in.Dev(t)
			in.CLI(t, "schedules", "trigger", daily, "--at", at, "--wait", "--timeout", "2m")
			checkOnce(t, in)
			settle(t, in)
			payTheRest(t, in)
			in.CLI(t, "ledger", "verify")
			in.CLI(t, "events", "verify")
		})
	}
}

// prepared is an installation with the evening and the drivers' devices imported and cron paused, stopped again.
func prepared(t *testing.T) *harness.Install {
	t.Helper()
	return ready(t, tenant, func(in *harness.Install) {
		in.CLI(t, "payments", "import", harness.Example(t, "lebenis/payments-2025-01-24.csv"))
		in.CLI(t, "devices", "import", harness.Example(t, "lebenis/devices.csv"))
	})
}

// ready is an installation that works for a tenant of the examples: cron is paused, load has run, and dev is stopped again.
func ready(t *testing.T, tenant string, load func(in *harness.Install)) *harness.Install {
	t.Helper()
	binary := os.Getenv("AGOGO_CRASH_BINARY")
	if binary == "" {
		t.Fatal("AGOGO_CRASH_BINARY is not set: run 'make test/crash'")
	}
	in := harness.New(t, binary)
	in.WithSimulator(t)
	config, err := os.ReadFile(harness.Example(t, "tenants.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	in.UseConfig(t, string(config))
	dev := in.Dev(t)
	for _, s := range harness.Items[schedulerv1.Schedule](t, in, "schedules", "list") { // of every tenant
		in.CLI(t, "schedules", "pause", s.Name, "--reason", "crash test")
	}
	in.Tenant = tenant
	load(in)
	dev.Interrupt(t)
	return in
}

// payoutsOf lists those of the evening.
func payoutsOf(t *testing.T, in *harness.Install) []*payoutsv1.Payout {
	t.Helper()
	return harness.Items[payoutsv1.Payout](t, in, "payouts", "list", "--run", tick)
}

func describe(payouts []*payoutsv1.Payout) string {
	states := map[string]int{}
	for _, p := range payouts {
		states[p.State]++
	}
	return fmt.Sprint(states)
}

// checkOnce holds the book against the payouts: paid at most once each, and what is not paid is in doubt, not forgotten.
func checkOnce(t *testing.T, in *harness.Install) {
	t.Helper()
	moved := map[string]int{}
	for _, e := range in.Book(t) {
		if e.Moved > 1 {
			t.Errorf("reference %s moved money %d times", e.Reference, e.Moved)
		}
		moved[e.Reference] += e.Moved
	}
	payouts := payoutsOf(t, in)
	if len(payouts) != payees {
		t.Errorf("%d payouts, want %d", len(payouts), payees)
	}
	doubtful := 0
	for _, p := range payouts {
		paid := 0
		for _, a := range p.Attempts {
			paid += moved[a.ProviderReference]
		}
		if paid > 1 {
			t.Errorf("payout %s moved money %d times", p.Id, paid)
		}
		switch p.State {
		case "succeeded":
			if paid != 1 {
				t.Errorf("payout %s is succeeded and moved money %d times", p.Id, paid)
			}
		case "unknown", "manual_review", "processing":
			doubtful++
		default:
			t.Errorf("payout %s is %s after its run completed", p.Id, p.State)
		}
	}
	if doubtful > slots {
		t.Errorf("%d payouts are in doubt, more than the %d send slots", doubtful, slots)
	}
	if t.Failed() {
		t.Fatal(describe(payouts))
	}
}

// settle waits until lookups have decided what they can: the rest waits for people.
func settle(t *testing.T, in *harness.Install) {
	t.Helper()
	harness.Eventually(t, 60*time.Second, "every payout succeeded or in manual review", func() (bool, string) {
		payouts := payoutsOf(t, in)
		for _, p := range payouts {
			if p.State != "succeeded" && p.State != "manual_review" {
				return false, describe(payouts)
			}
		}
		return true, ""
	})
}

// payTheRest resolves what is in manual review, as two people would, and checks that it is then paid exactly once.
func payTheRest(t *testing.T, in *harness.Install) {
	t.Helper()
	var review []*payoutsv1.Payout
	for _, p := range payoutsOf(t, in) {
		if p.State == "manual_review" {
			review = append(review, p)
			in.CLI(t, append(words(p), "--token", "admin")...)
		}
	}
	for _, p := range review {
		// Applying is refused until a lookup made after the proposal has found nothing.
		harness.Eventually(t, 30*time.Second, "resolution of "+p.Id, func() (bool, string) {
			r := in.Try(t, append(words(p), "--token", "operator")...)
			return r.Code == 0, r.String()
		})
	}
	harness.Eventually(t, 60*time.Second, "every payout succeeded", func() (bool, string) {
		payouts := payoutsOf(t, in)
		for _, p := range payouts {
			if p.State != "succeeded" {
				return false, describe(payouts)
			}
		}
		return true, ""
	})
	paid := map[string]int{}
	var total int64
	for _, e := range in.Book(t) {
		paid[e.Peer] += e.Moved
		total += e.Amount * int64(e.Moved)
	}
	for peer, n := range paid {
		if n != 1 {
			t.Errorf("a payee (…%s) was paid %d times", peer[len(peer)-2:], n)
		}
	}
	if len(paid) != payees || total != 450000 {
		t.Errorf("%d payees were paid %d XOF, want %d and 450000", len(paid), total, payees)
	}
}

// words are what both people say.
func words(p *payoutsv1.Payout) []string {
	return []string{"payouts", "resolve", p.Id, "--outcome", "not_paid", "--pay-again", "--evidence", "statement shows no transfer for " + p.Id}
}
