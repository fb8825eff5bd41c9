package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/test/harness"
)

// drivers are seven pages of a plan: whoever of three replicas takes which, each gets some.
const drivers = 3300

// lease is what follows from the timeout of this test's provider: two calls and two seconds. A send is called off a second before.
const (
	timeout = 2 * time.Second
	lease   = 2*timeout + 2*time.Second
	looked  = time.Second // how often every replica looks for leases that have run out
)

// Three processes share an evening. One is killed, one is stopped in the middle of its calls and goes on when its leases are long
// over; by the provider's book nobody is paid twice, nobody is forgotten, and what it had not sent in time it does not send any more.
func TestKilledAndStoppedReplicas(t *testing.T) {
	t.Parallel()
	in := harness.New(t, binary)
	in.Tenant = "evening"
	in.Env = []string{"AUDITOR_TOKEN=" + auditorToken, "CLERK_TOKEN=" + clerkToken}
	file := tenantsFile(map[string]stage{"evening": {concurrency: 90, timeout: timeout.String()}}, "evening")
	in.UseConfig(t, strings.Replace(file, "rate_per_second: 50", "rate_per_second: 600", 1)) // the slots are what bounds it
	in.Dev(t)
	pauseSchedules(t, in)
	s := scene{T: t, Install: in}
	s.owe(24, upTo(drivers)...)
	// The first payments of each process wait for its form, so whoever has just claimed its first ones has sent none of them.
	for operation, takes := range map[string]string{"forms": "1500ms", "cashin": "100ms"} {
		in.Control(t, http.MethodPut, "/_control/latency", map[string]any{"provider": "orange_omr", "operation": operation, "fixed": takes}, nil)
	}
	path := buildService(t, "payouts")
	killed, stopped := startReplica(t, in, "payouts", path), startReplica(t, in, "payouts", path)

	in.CLI(t, "schedules", "trigger", s.schedule("daily"), "--at", at(24))
	stopped.hasClaimed()
	stopped.signal(syscall.SIGSTOP)
	s.bookHas(drivers / 10)
	killed.kill()
	died := time.Now()
	took := s.takenOver(died)
	t.Logf("what the two had claimed was known to be in doubt %s after they died; the lease is %s, looked at every %s", took.Round(100*time.Millisecond), lease, looked)
	if took > lease+looked+waiting { // a machine that is busy looks later
		t.Errorf("taken over after %s", took)
	}
	s.decided()
	left, late := s.unsent()
	if len(left) == 0 {
		t.Fatal("nothing was claimed and not sent when the two ended: the case tests nothing")
	}

	stopped.signal(syscall.SIGCONT)
	stopped.awaitReady()
	s.owe(25, upTo(30)...) // it works again, and does not send what it had in hand
	s.evening(25)
	s.decided()
	for _, e := range in.Book(t) {
		if left[e.Reference] {
			t.Errorf("%s was sent %d times, its lease had run out", e.Reference, e.Requests)
		}
	}
	s.once(drivers+30, late)
	in.CLI(t, "ledger", "verify")
	in.CLI(t, "events", "verify")
}

func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// hasClaimed waits, by the replica's own metrics, until it has committed its first claim.
func (a *another) hasClaimed() {
	a.Helper()
	harness.Eventually(a.T, 2*waiting, "the replica's first claim", func() (bool, string) {
		res, err := http.Get("http://" + a.addr + "/metrics")
		if err != nil {
			return false, err.Error()
		}
		defer func() { _ = res.Body.Close() }()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			return false, err.Error()
		}
		_, sum, _ := strings.Cut(string(text), "\nagogo_payouts_claimed_sum ")
		sum, _, _ = strings.Cut(sum, "\n")
		return sum != "" && sum != "0", sum + " claimed"
	})
}

// bookHas waits until the provider was asked for so many payments.
func (s scene) bookHas(n int) {
	s.Helper()
	harness.Eventually(s.T, waiting, "the evening is under way", func() (bool, string) {
		got := len(s.Book(s.T))
		return got >= n, fmt.Sprint(got, " payments")
	})
}

// takenOver waits until nothing is submitting that was when the two died, and says how long after that was.
func (s scene) takenOver(died time.Time) time.Duration {
	s.Helper()
	var first map[string]int
	harness.Eventually(s.T, 2*waiting, "all leases taken over", func() (bool, string) {
		now := map[string]int{}
		for _, p := range harness.Items[payoutsv1.Payout](s.T, s.Install, "payouts", "list", "--state", "submitting") {
			now[p.Id] = len(p.Attempts)
		}
		if first == nil {
			first = now
		}
		for id := range first {
			if _, ok := now[id]; !ok {
				delete(first, id)
			}
		}
		return len(first) == 0, fmt.Sprint(len(first), " are still submitting")
	})
	return time.Since(died)
}

// decided waits until nothing is open but what people decide.
func (s scene) decided() {
	s.Helper()
	harness.Eventually(s.T, 3*waiting, "every payout decided", func() (bool, string) {
		states := map[string]int{}
		for _, p := range harness.Items[payoutsv1.Payout](s.T, s.Install, "payouts", "list", "--state", "created,approved,submitting,processing,unknown") {
			states[p.State]++
		}
		return len(states) == 0, fmt.Sprint("open are ", states)
	})
}

// unsent are the references that people decide about, by the provider's book never asked for: by reference and by payout.
func (s scene) unsent() (references, payouts map[string]bool) {
	s.Helper()
	references, payouts = map[string]bool{}, map[string]bool{}
	asked := map[string]bool{}
	for _, e := range s.Book(s.T) {
		asked[e.Reference] = true
	}
	for _, p := range harness.Items[payoutsv1.Payout](s.T, s.Install, "payouts", "list", "--state", "manual_review") {
		for _, a := range p.Attempts {
			if asked[a.ProviderReference] {
				s.Errorf("payout %s is in review though the provider has its payment", p.Id)
			}
			references[a.ProviderReference], payouts[p.Id] = true, true
		}
	}
	return references, payouts
}

// once holds the book against all payouts: paid once each, but for those that people decide about, which are not paid.
func (s scene) once(payouts int, review map[string]bool) {
	s.Helper()
	moved := map[string]int{}
	for _, e := range s.Book(s.T) {
		moved[e.Reference] += e.Moved
	}
	all := harness.Items[payoutsv1.Payout](s.T, s.Install, "payouts", "list")
	if len(all) != payouts {
		s.Errorf("%d payouts, want %d", len(all), payouts)
	}
	states := map[string]int{}
	for _, p := range all {
		states[p.State]++
		n, want := 0, 1
		for _, a := range p.Attempts {
			n += moved[a.ProviderReference]
		}
		if review[p.Id] {
			want = 0
		}
		if n != want || want == 1 && p.State != "succeeded" {
			s.Errorf("payout %s is %s and was paid %d times, want %d", p.Id, p.State, n, want)
		}
	}
	s.Logf("%d payouts by state: %s", len(all), strings.TrimPrefix(fmt.Sprint(states), "map"))
}
