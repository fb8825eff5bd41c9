package payouts_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/servicetest"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/simulator"
)

// TestATenantsThousandsDoNotDelayAnothersTen: one tenant's run has more pages than a process has workers, and a provider that takes its time.
// Another tenant's ten, which come after it, are paid meanwhile.
func TestATenantsThousandsDoNotDelayAnothersTen(t *testing.T) {
	t.Parallel()
	in := install(t)
	large := &in.file.Tenants[0]
	p := large.Providers["orange"]
	p.Concurrency, p.Timeout = 2, 20*time.Second
	large.Providers["orange"] = p
	large.Payouts.DailyCap = 0
	small, rules := *large, *large.Payouts
	small.ID, small.Payouts = "small", &rules
	in.file.Tenants = append(in.file.Tenants, small)
	if err := in.sim.Plan(simulator.Plan{Rules: []simulator.Rule{{Provider: simulator.Orange, Operation: "cashin", Fault: simulator.Slow, Delay: 300 * time.Millisecond}}}); err != nil {
		t.Fatal(err)
	}
	c := in.start().as("admin")
	owe := func(tenant string, n int) {
		var csv strings.Builder
		csv.WriteString(payoutstest.Header)
		for i := range n {
			fmt.Fprintf(&csv, "%s-%d,%s-%d,Livreur,+22507%08d,10000,XOF,orange_money,completed,2025-01-24T12:00:00Z,\n", tenant, i, tenant, i, i)
		}
		s, err := c.ImportPayments(in.Ctx)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := servicetest.Import(s, tenant, "csv", []byte(csv.String()), 64_000); err != nil || len(got.Refused) > 0 {
			t.Fatalf("import: %v, %v", got, err)
		}
	}
	counts := func(tenant, id string) map[string]int64 {
		r, err := c.GetRun(in.Ctx, &payoutsv1.GetRunRequest{Tenant: tenant, Id: id})
		if err != nil {
			return nil
		}
		return r.GetCounts()
	}
	const pages = 20 // of 500
	owe(large.ID, pages*500)
	owe(small.ID, 10)
	tick := payoutstest.Daily(evening)
	in.tick(tick, tick.GetTickId())
	in.Until("all pages of the large run wait to be sent", func() bool {
		n := counts(large.ID, tick.GetTickId())
		return n["approved"]+n["submitting"]+n["succeeded"] == pages*500 && n["succeeded"] > 0
	})
	other := payoutstest.Daily(evening)
	other.TickId, other.Tenant, other.NominalTime = "small/payouts/daily@"+evening, small.ID, timestamppb.New(payoutstest.At(evening))
	in.tick(other, other.GetTickId())
	in.Until("the ten are paid", func() bool { return counts(small.ID, other.GetTickId())["succeeded"] == 10 })
	if n := counts(large.ID, tick.GetTickId()); n["approved"] < pages*400 {
		t.Errorf("the ten waited until of the large run %v", n)
	}
}
