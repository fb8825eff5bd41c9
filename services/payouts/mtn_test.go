package payouts_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/config"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/simulator"
)

// throughMTN makes MTN the tenant's provider, which tells what became of transfers by callbacks: nobody asks by himself for an hour.
func throughMTN(t *testing.T) *installation {
	t.Helper()
	in := install(t)
	srv := httptest.NewServer(in.sim)
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	in.file.Tenants[0].Payouts.DefaultProvider = "mtn"
	in.file.Tenants[0].Providers["mtn"] = config.Provider{
		Name: "mtn", Kind: "mtn_momo", BaseURL: srv.URL + "/disbursement", APIUser: "user", APIKey: "key", SubscriptionKey: "subscription",
		TargetEnvironment: "mtnivorycoast", Deduplicates: true,
		CallbackURL: "https://pay.example.com/webhooks/payouts/lebenis/mtn", CallbackKey: "callback-key-of-test-0123456789-X",
		RatePerSec: 1000, Concurrency: 4, Timeout: time.Second, QuietTime: time.Second, ReviewAfter: 24 * time.Hour,
		LookupAfter: []time.Duration{time.Hour}, RetryAfter: []time.Duration{time.Minute},
	}
	return in
}

// TestAnEveningThroughMTN pays the sample evening through a provider that only accepts at first: its callbacks, at the secret
// address and with either verb, have each transfer looked up at once, also when the answer to the transfer was lost. What
// comes to another address, with the opposite of the truth, changes nothing.
func TestAnEveningThroughMTN(t *testing.T) {
	t.Parallel()
	in := throughMTN(t)
	first := in.start()
	if err := in.sim.SetMTNCallback(simulator.MTNCallback{Via: "http://" + first.HTTPAddr()}); err != nil {
		t.Fatal(err)
	}
	for _, r := range []simulator.Rule{
		{Fault: simulator.LostAnswer, Times: 2, Callback: "duplicated"},
		{Fault: simulator.PendingFailed, Times: 1, Message: "PAYEE_NOT_FOUND"},
		{Times: 3, Callback: "forged"},
	} {
		r.Provider, r.Operation = simulator.MTN, "transfer"
		if err := in.sim.AddRule(r); err != nil {
			t.Fatal(err)
		}
	}
	c := first.as("operator")
	if got := in.importPayments(c, "csv", payoutstest.Sample(t, "lebenis-payments-2025-01-24.csv")); len(got.Refused) > 0 {
		t.Fatalf("refused %v", got.Refused)
	}
	tick := payoutstest.Daily(evening)
	in.tick(tick, tick.GetTickId())
	run := in.run(c, tick.GetTickId())
	if n := run.GetCounts()["held"] + run.GetCounts()["created"]; n != 0 {
		t.Fatalf("run %v", run)
	}
	states := map[string]int{}
	in.Until("every callback led to a lookup", func() bool {
		in.clock.Advance(time.Second) // a callback that is faster than our own commit is matched a moment later
		clear(states)
		list, err := c.ListPayouts(in.Ctx, &payoutsv1.ListPayoutsRequest{Tenant: payoutstest.Tenant, RunId: tick.GetTickId()})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range list.GetItems() {
			states[p.GetState()]++
		}
		return states["succeeded"]+states["failed"] == 15
	})
	if states["failed"] != 1 {
		t.Errorf("states %v, want one payee that MTN does not know", states)
	}
	paid := in.book(simulator.MTN)
	list, err := c.ListPayouts(in.Ctx, &payoutsv1.ListPayoutsRequest{Tenant: payoutstest.Tenant, RunId: tick.GetTickId()})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list.GetItems() {
		want := p.GetNet().GetMinor()
		if p.GetState() == "failed" {
			want = 0
		}
		ref := p.GetAttempts()[0].GetProviderReference()
		if got := paid[ref[:14]+"4"+ref[15:]]; len(p.GetAttempts()) != 1 || got != want {
			t.Errorf("%s %s: %d attempts, MTN paid %d, want %d", p.GetPayeeId(), p.GetState(), len(p.GetAttempts()), got, want)
		}
	}
	first.verify()
	refused := 0
	for _, call := range in.sim.Calls() {
		if call.Provider == simulator.MTN && strings.HasSuffix(call.Outcome, "forged_refused") {
			refused += int(call.Calls)
		}
	}
	if refused != 3 {
		t.Errorf("%d forged callbacks were refused, want 3", refused)
	}
}
