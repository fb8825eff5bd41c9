//go:build crash

package chaos_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/test/harness"
)

const (
	club      = "wallclub"
	chargeDue = club + "/recurrences/charge-due"
	eight     = "2025-10-30T11:00:00Z"
	morning   = chargeDue + "@" + eight
)

// What the morning must come to in the end, whatever happened on the way.
const (
	due       = 31
	charged   = 25
	soft      = 4
	hard      = 2
	collected = 384290
	// lost are the answers that are lost anyway: their charges may be in doubt beside those of the crash.
	lost = 2
)

// chargePoints lists every crash point on the way of the morning, and how often it is passed before the process dies. The
// outbox is that of whichever service publishes first.
var chargePoints = []string{
	"scheduler.after_tick_commit",
	"recurrences.after_run_commit",
	"recurrences.after_plan_commit",
	"outbox.after_publish",
	"outbox.after_publish:7",
	"recurrences.after_claim_commit",
	"recurrences.after_claim_commit:2",
	"recurrences.before_send",
	"recurrences.before_send:9",
	"recurrences.after_send",
	"recurrences.after_send:9",
	"recurrences.after_outcome_commit",
	"recurrences.after_outcome_commit:2",
	"notifier.after_send",
}

// Promises 1 and 6 of charges: whatever crashes, each recurrence is charged once, or not at all and then in doubt, until
// lookups or people have decided.
func TestEveryCrashPointOfCharges(t *testing.T) {
	t.Parallel()
	for _, point := range chargePoints {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			in := ready(t, club, func(in *harness.Install) {
				in.CLI(t, "recurrences", "import", harness.Example(t, "wallclub/recurrences-2025-10-30.csv"))
				in.CLI(t, "devices", "import", harness.Example(t, "wallclub/devices.csv"))
			})
			dying := in.DevWith(t, []string{"AGOGO_CRASHPOINT=" + point})
			dying.AwaitReady(t)
			in.Try(t, "schedules", "trigger", chargeDue, "--at", eight) // the process may die before it answers
			dying.AwaitKilled(t, 30*time.Second)

			in.Dev(t)
			in.CLI(t, "schedules", "trigger", chargeDue, "--at", eight, "--wait", "--timeout", "2m")
			checkChargedOnce(t, in)
			chargeTheRest(t, in)
			in.CLI(t, "ledger", "verify")
			in.CLI(t, "events", "verify")
		})
	}
}

func chargesOf(t *testing.T, in *harness.Install) []*recurrencesv1.Charge {
	t.Helper()
	return harness.Items[recurrencesv1.Charge](t, in, "charges", "list")
}

func statesOf(charges []*recurrencesv1.Charge) map[string]int {
	states := map[string]int{}
	for _, c := range charges {
		states[c.State]++
	}
	return states
}

// takenFor is how often the gateway charged the cards of charges, over all attempts, by recurrence and cycle. An order that
// no charge knows, or that was charged twice, is a failure.
func takenFor(t *testing.T, in *harness.Install, charges []*recurrencesv1.Charge) map[string]int {
	t.Helper()
	whose, taken := map[string]string{}, map[string]int{}
	for _, c := range charges {
		for _, a := range c.Attempts {
			whose[a.ProviderReference] = c.RecurrenceId + " " + c.Cycle
		}
	}
	for _, e := range in.Orders(t) {
		k, known := whose[e.Reference]
		if !known || e.Moved > 1 {
			t.Errorf("order %s of %q was charged %d times", e.Reference, k, e.Moved)
		}
		taken[k] += e.Moved
	}
	return taken
}

// checkChargedOnce holds the gateway's book against the charges after the run: each cycle at most once, and what is neither
// charged nor declined is in doubt, not forgotten.
func checkChargedOnce(t *testing.T, in *harness.Install) {
	t.Helper()
	charges := chargesOf(t, in)
	taken, doubtful, seen := takenFor(t, in, charges), 0, map[string]bool{}
	for _, c := range charges {
		k := c.RecurrenceId + " " + c.Cycle
		if seen[k] || taken[k] > 1 {
			t.Errorf("%s has two charges, or was charged %d times", k, taken[k])
		}
		seen[k] = true
		switch c.State {
		case "succeeded":
			if taken[k] != 1 {
				t.Errorf("%s is succeeded and was charged %d times", k, taken[k])
			}
		case "failed_soft", "failed_hard":
			if taken[k] != 0 {
				t.Errorf("%s is %s and was charged", k, c.State)
			}
		case "unknown", "processing", "manual_review":
			doubtful++
		default:
			t.Errorf("%s is %s after its run completed", k, c.State)
		}
	}
	if len(charges) != due {
		t.Errorf("%d charges, want %d", len(charges), due)
	}
	t.Logf("after the crash: %v", statesOf(charges))
	if doubtful > slots+lost {
		t.Errorf("%d charges are in doubt, more than the %d send slots and the %d lost answers", doubtful, slots, lost)
	}
	if t.Failed() {
		t.Fatal(statesOf(charges))
	}
}

// chargeTheRest waits until lookups have decided what they can, resolves the rest as two people would, and checks that in the
// end everything is as if nothing had happened.
func chargeTheRest(t *testing.T, in *harness.Install) {
	t.Helper()
	decided := []string{"succeeded", "failed_soft", "exhausted", "failed_hard"}
	await(t, in, append(decided, "manual_review"))
	var review []*recurrencesv1.Charge
	for _, c := range chargesOf(t, in) {
		if c.State == "manual_review" {
			review = append(review, c)
			in.CLI(t, append(verdict(c), "--token", "admin")...)
		}
	}
	t.Logf("%d charges are left to two people", len(review))
	for _, c := range review {
		// Applying is refused until a lookup made after the proposal has found nothing.
		harness.Eventually(t, 30*time.Second, "resolution of "+c.RecurrenceId, func() (bool, string) {
			r := in.Try(t, append(verdict(c), "--token", "operator")...)
			return r.Code == 0, r.String()
		})
	}
	await(t, in, decided)
	charges := chargesOf(t, in)
	// What people have sent is of their own day: a decline of it comes long after the days on which this charge is retried.
	if got := statesOf(charges); got["succeeded"] != charged || got["failed_soft"]+got["exhausted"] != soft || got["failed_hard"] != hard {
		t.Errorf("%v, want %d succeeded, %d failed_soft or exhausted, %d failed_hard", got, charged, soft, hard)
	}
	var total int64
	taken := takenFor(t, in, charges)
	for _, c := range charges {
		n := taken[c.RecurrenceId+" "+c.Cycle]
		if n > 1 || (n == 1) != (c.State == "succeeded") {
			t.Errorf("%s is %s and was charged %d times", c.RecurrenceId, c.State, n)
		}
		total += c.Amount.Minor * int64(n)
	}
	if total != collected {
		t.Errorf("%d were collected, want %d", total, collected)
	}
}

func await(t *testing.T, in *harness.Install, states []string) {
	t.Helper()
	harness.Eventually(t, 60*time.Second, fmt.Sprint("every charge in one of ", states), func() (bool, string) {
		charges := chargesOf(t, in)
		for _, c := range charges {
			if !slices.Contains(states, c.State) {
				return false, fmt.Sprint(statesOf(charges))
			}
		}
		return true, ""
	})
}

// verdict is what both people say.
func verdict(c *recurrencesv1.Charge) []string {
	return []string{"charges", "resolve", c.Id, "--outcome", "not_paid", "--charge-again", "--evidence", "statement shows no sale for " + c.Id}
}
