package payouts_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/servicetest"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/adapter/wave"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/runs"
	"github.com/agogopay/agogo/simulator"
)

// overWave has the tenant pay through Wave, with every request signed.
func overWave(in *installation) config.Provider {
	c := in.file.Tenants[0].Providers["orange"]
	base, _, _ := strings.Cut(c.BaseURL, "/orange")
	c = config.Provider{
		Name: "wave", Kind: wave.Kind, BaseURL: base + "/wave", APIKey: "wave_ci_test_0123456789", SigningSecret: "wave_ci_AKS_secret", Deduplicates: true,
		RatePerSec: 1000, Concurrency: 4, Timeout: time.Second, QuietTime: time.Second, ReviewAfter: 24 * time.Hour, RetryAfter: []time.Duration{},
	}
	for i := range 600 { // time flies here; nobody waits for "daily"
		c.LookupAfter = append(c.LookupAfter, time.Duration(i+1)*30*time.Second)
	}
	in.file.Tenants[0].Providers = map[string]config.Provider{"wave": c}
	in.file.Tenants[0].Payouts.DefaultProvider = "wave"
	in.file.Tenants[0].Payouts.PauseAboveFailureRate = 0 // failures are what this is about
	return c
}

// The names of payees say what becomes of them.
var overWavePayees = []string{"good", "pending", "lost", "blocked", "unpaid", "slow", "known", "large"}

func waveNumber(payee string) string {
	for i, p := range overWavePayees {
		if p == payee {
			return fmt.Sprintf("+22507000002%02d", i)
		}
	}
	return ""
}

func earned(id, payee, day string, gross int64) string {
	return fmt.Sprintf("%s-%s,%s,Livreur,%s,%d,XOF,orange_money,completed,%sT12:00:00Z,\n", id, payee, payee, waveNumber(payee), gross, day)
}

// TestAnEveningOverWave pays two evenings through the whole service, two replicas and the simulated Wave, and everything goes
// wrong that can: the provider's book is the judge of what was paid.
func TestAnEveningOverWave(t *testing.T) {
	t.Parallel()
	in := install(t)
	c := overWave(in)
	replicas := []*replica{in.start(), in.start()}
	client := replicas[0].as("operator")
	csv := payoutstest.Header
	for _, p := range overWavePayees {
		gross := int64(30_000)
		if p == "large" {
			gross = 600_000
		}
		csv += earned("one", p, "2025-01-24", gross)
	}
	if got := in.importPayments(client, "csv", []byte(csv)); len(got.Refused) > 0 {
		t.Fatalf("refused %v", got.Refused)
	}
	// Enough for all but the large one, with fees.
	if err := in.sim.Fill(simulator.Wave, 7*24_240+100_000); err != nil {
		t.Fatal(err)
	}
	goesWrong(in, "pending", simulator.Rule{Fault: simulator.PendingSuccess, Duration: time.Minute})
	goesWrong(in, "lost", simulator.Rule{Fault: simulator.LostAnswer, Blind: 5 * time.Second})
	goesWrong(in, "blocked", simulator.Rule{Fault: simulator.Failed, Message: "recipient-account-blocked"})
	goesWrong(in, "unpaid", simulator.Rule{Fault: simulator.ServerErrorBefore})
	goesWrong(in, "slow", simulator.Rule{Fault: simulator.TooMany, RetryAfter: 2 * time.Second})
	// The reference of this one has been sent before, by a process that is lost with all it knew.
	id := payout.ID(payoutstest.Tenant, "known", "2025-01-24", runs.JobDaily, 1)
	earlier := wave.New(c, in.clock).Submit(in.Ctx, provider.Transfer{
		Reference: payout.Reference(id, 1), Amount: money.Amount{Minor: 24_000, Currency: "XOF"}, Destination: waveNumber("known"),
	})
	if earlier.Class != provider.Succeeded {
		t.Fatalf("earlier: %+v", earlier)
	}
	tick := payoutstest.Daily(evening)
	in.tick(tick, tick.GetTickId())
	in.tick(tick, "again")
	want := map[string]string{
		"good": "succeeded", "pending": "succeeded", "lost": "succeeded", "unpaid": "succeeded", "slow": "succeeded", "known": "succeeded",
		"blocked": "failed/payee_blocked", "large": "held/insufficient_float",
	}
	in.settles(client, "2025-01-24", want)
	if err := in.sim.Fill(simulator.Wave, 1_000_000); err != nil {
		t.Fatal(err)
	}
	want["large"] = "succeeded"
	in.settles(client, "2025-01-24", want)
	in.paidOnce(map[string]int64{"good": 24_000, "pending": 24_000, "lost": 24_000, "unpaid": 24_000, "slow": 24_000, "known": 24_000, "large": 480_000})

	// The next evening the key is refused. The connector stops for both replicas, and people start it again. What the blocked
	// payee earned is in it once more, and goes.
	if err := in.sim.Plan(simulator.Plan{Rules: []simulator.Rule{{Provider: simulator.Wave, Operation: "payout", Fault: simulator.NotSubscribed}}}); err != nil {
		t.Fatal(err)
	}
	in.importPayments(client, "csv", []byte(payoutstest.Header+earned("two", "good", "2025-01-25", 30_000)))
	next := payoutstest.Daily("2025-01-25T23:59:00Z")
	in.clock.Advance(24 * time.Hour)
	in.tick(next, next.GetTickId())
	in.Until("both are held", func() bool {
		states := in.states(client, "2025-01-25")
		return strings.HasPrefix(states["good"], "held/") && strings.HasPrefix(states["blocked"], "held/")
	})
	if err := in.sim.Plan(simulator.Plan{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.StartOutflow(in.Ctx, &payoutsv1.StartOutflowRequest{Tenant: payoutstest.Tenant}); err != nil {
		t.Fatal(err)
	}
	in.settles(client, "2025-01-25", map[string]string{"good": "succeeded", "blocked": "succeeded"})
	in.paidOnce(map[string]int64{
		"good": 48_000, "pending": 24_000, "lost": 24_000, "unpaid": 24_000, "slow": 24_000, "known": 24_000, "large": 480_000, "blocked": 24_000,
	})
	replicas[0].verify()
}

// goesWrong makes the first payout to a payee go wrong.
func goesWrong(in *installation, payee string, r simulator.Rule) {
	in.T.Helper()
	r.Provider, r.Operation, r.Times, r.Match.Peer = simulator.Wave, "payout", 1, waveNumber(payee)
	if err := in.sim.AddRule(r); err != nil {
		in.T.Fatal(err)
	}
}

// states are the payouts of a day by payee, with the reason of what is not paid.
func (in *installation) states(c payoutsv1.PayoutsServiceClient, day string) map[string]string {
	in.T.Helper()
	l, err := c.ListPayouts(in.Ctx, &payoutsv1.ListPayoutsRequest{Tenant: payoutstest.Tenant, PeriodDate: day, PageSize: 1000})
	if err != nil {
		in.T.Fatal(err)
	}
	states := map[string]string{}
	for _, p := range l.GetItems() {
		states[p.GetPayeeId()] = p.GetState()
		if code := p.GetReason().GetCode(); code != "" && p.GetState() != "succeeded" {
			states[p.GetPayeeId()] += "/" + code
		}
	}
	return states
}

// settles lets time pass until a day's payouts are as they should become.
func (in *installation) settles(c payoutsv1.PayoutsServiceClient, day string, want map[string]string) {
	in.T.Helper()
	var got map[string]string
	in.T.Cleanup(func() {
		if diff := cmp.Diff(want, got); diff != "" && in.T.Failed() {
			in.T.Logf("%s (-want +got):\n%s", day, diff)
		}
	})
	in.Within(2*servicetest.Patience, day+" has settled", func() bool {
		in.clock.Advance(15 * time.Second)
		got = in.states(c, day)
		return maps.Equal(want, got)
	})
}

// paidOnce holds the provider's book against what payees are owed: no reference moved money twice, and all of them what is due.
func (in *installation) paidOnce(want map[string]int64) {
	in.T.Helper()
	b, err := in.sim.Book(simulator.Wave)
	if err != nil {
		in.T.Fatal(err)
	}
	got := map[string]int64{}
	for _, e := range b.Entries {
		if e.Moved > 1 {
			in.T.Errorf("%s moved money %d times", e.Reference, e.Moved)
		}
		for _, payee := range overWavePayees {
			if waveNumber(payee) == e.Peer && e.Moved > 0 {
				got[payee] += e.MovedMinor
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		in.T.Errorf("paid (-want +got):\n%s", diff)
	}
}
