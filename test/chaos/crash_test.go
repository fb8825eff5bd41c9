//go:build crash

package chaos_test

import (
	"fmt"
	"testing"
	"time"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

const (
	daily  = tenant + "/payouts/daily"
	at     = "2025-01-24T23:59:00Z"
	tick   = daily + "@" + at
	payees = 15
	// slots is the provider's concurrency in examples/tenants.yaml: no more payouts than this may be in doubt after a crash.
	slots = 16
)

// points lists every crash point on the way of the evening, and how often it is passed before the process dies.
var points = []string{
	"scheduler.after_tick_commit",
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
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			in := prepared(t)
			dying := in.dev(point)
			_, _ = in.try("schedules", "trigger", daily, "--at", at) // the process may die before it answers
			dying.awaitDeath(t, 30*time.Second)

			in.dev("")
			in.cli("schedules", "trigger", daily, "--at", at, "--wait", "--timeout", "2m")
			checkOnce(t, in)
			settle(t, in)
			payTheRest(t, in)
			in.cli("ledger", "verify")
			in.cli("events", "verify")
		})
	}
}

// prepared is an installation with the evening imported and cron paused, stopped again.
func prepared(t *testing.T) *install {
	t.Helper()
	in := newInstall(t)
	dev := in.dev("")
	for _, s := range []string{"daily", "check-pending", "reset-breaks"} {
		in.cli("schedules", "pause", tenant+"/payouts/"+s, "--reason", "crash test")
	}
	in.cli("payments", "import", "../../examples/lebenis/payments-2025-01-24.csv")
	dev.stop(t)
	return in
}

// checkOnce holds the book against the payouts: paid at most once each, and what is not paid is in doubt, not forgotten.
func checkOnce(t *testing.T, in *install) {
	t.Helper()
	moved := map[string]int{}
	for _, e := range in.book() {
		if e.Moved > 1 {
			t.Errorf("reference %s moved money %d times", e.Reference, e.Moved)
		}
		moved[e.Reference] += e.Moved
	}
	payouts := in.payoutsOf(tick)
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
func settle(t *testing.T, in *install) {
	t.Helper()
	eventually(t, 60*time.Second, "every payout succeeded or in manual review", func() (bool, string) {
		payouts := in.payoutsOf(tick)
		for _, p := range payouts {
			if p.State != "succeeded" && p.State != "manual_review" {
				return false, describe(payouts)
			}
		}
		return true, ""
	})
}

// payTheRest resolves what is in manual review, as two people would, and checks that it is then paid exactly once.
func payTheRest(t *testing.T, in *install) {
	t.Helper()
	for _, p := range in.payoutsOf(tick) {
		if p.State == "manual_review" {
			resolve(t, in, p)
		}
	}
	eventually(t, 60*time.Second, "every payout succeeded", func() (bool, string) {
		payouts := in.payoutsOf(tick)
		for _, p := range payouts {
			if p.State != "succeeded" {
				return false, describe(payouts)
			}
		}
		return true, ""
	})
	paid := map[string]int{}
	var total int64
	for _, e := range in.book() {
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

func resolve(t *testing.T, in *install, p *payoutsv1.Payout) {
	t.Helper()
	words := []string{"payouts", "resolve", p.Id, "--outcome", "not_paid", "--pay-again", "--evidence", fmt.Sprintf("statement shows no transfer for %s", p.Id)}
	in.cli(append(words, "--token", "admin")...)
	// Applying is refused until a lookup made after the proposal has found nothing.
	eventually(t, 30*time.Second, "resolution of "+p.Id, func() (bool, string) {
		out, err := in.try(append(words, "--token", "operator")...)
		return err == nil, out
	})
}
