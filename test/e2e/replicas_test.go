package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/test/harness"
)

// members are more than one page of a morning's plan takes, so that two replicas have something to share.
const members = 700

// One beat process was one too few, and two were one too many: here two replicas of the service charge one morning, one of
// them is killed in the middle of the next, and each member is charged once on each.
func TestTwoReplicasChargeOnce(t *testing.T) {
	t.Parallel()
	in := harness.New(t, binary)
	in.Tenant = "club"
	in.Env = []string{"AUDITOR_TOKEN=" + auditorToken, "CIELO_WEBHOOK_SECRET=" + webhookSecret}
	in.UseConfig(t, clubsFile(map[string]stage{"club": {concurrency: 32}}))
	dev := in.Dev(t)
	pauseSchedules(t, in)
	s := clubScene{T: t, Install: in}
	var file strings.Builder
	file.WriteString(recurrencesHeader)
	for i := range members {
		fmt.Fprintf(&file, "rec-%04d,cus-%04d,%s,seller-1,49.90,BRL,days,,,2025-10-29,tok_ok_%04d,elo,active,Mensalidade,1,\n", i, i, memberName, i)
	}
	in.CLI(t, "recurrences", "import", harness.WriteFile(t, "recurrences.csv", file.String()))
	second := replica(t, in, "recurrences")

	if run := s.fire("charge-due", "2025-10-29"); run.Counts["succeeded"] != members {
		t.Errorf("the run came to %v", run.Counts)
	}
	once(t, s, 1, "")

	in.CLI(t, "schedules", "trigger", "club/recurrences/charge-due", "--at", "2025-10-30T11:00:00Z")
	harness.Eventually(t, waiting, "the next morning is under way", func() (bool, string) {
		n := len(in.Orders(t))
		return n > members+members/10, fmt.Sprint(n, " orders")
	})
	second.kill()
	s.fire("charge-due", "2025-10-30")
	harness.Eventually(t, 2*waiting, "every charge decided", func() (bool, string) {
		left := harness.Items[recurrencesv1.Charge](t, in, "charges", "list", "--state", "due,submitting,processing,unknown")
		return len(left) == 0, fmt.Sprint(len(left), " open")
	})
	once(t, s, 2, "manual_review")
	in.CLI(t, "ledger", "verify")
	in.CLI(t, "events", "verify")
	if strings.Contains(dev.Log(), "panic") {
		t.Error(dev.Log())
	}
}

// once holds the gateway's book against the charges: so many mornings, each member once on each. What is in doubt state may
// not have been charged, for the process that was about to send it is dead.
func once(t *testing.T, s clubScene, mornings int, doubt string) {
	t.Helper()
	taken := map[string]int{}
	for _, e := range s.Orders(t) {
		taken[e.Reference] += e.Moved
	}
	charges := harness.Items[recurrencesv1.Charge](t, s.Install, "charges", "list")
	doubtful, asked := 0, 0
	for _, c := range charges {
		n := 0
		for _, a := range c.Attempts {
			n += taken[a.ProviderReference]
			asked += int(min(a.Lookups, 1))
		}
		if doubt != "" && c.State == doubt {
			doubtful++
		} else if c.State != "succeeded" || n != 1 {
			t.Errorf("%s of %s is %s and was charged %d times", c.RecurrenceId, c.Cycle, c.State, n)
		}
		if n > 1 {
			t.Errorf("%s of %s was charged %d times", c.RecurrenceId, c.Cycle, n)
		}
	}
	if len(charges) != mornings*members || doubtful > 32 {
		t.Errorf("%d charges, %d in doubt; want %d, and no more in doubt than one process has send slots", len(charges), doubtful, mornings*members)
	}
	t.Logf("%d charges, %d of them asked about, %d in doubt", len(charges), asked, doubtful)
}
