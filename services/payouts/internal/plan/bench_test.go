package plan_test

import (
	"flag"
	"testing"

	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

// payments is how many the benchmark plans: -payments=1000000 for the figure of the design.
var payments = flag.Int("payments", 100_000, "payments that BenchmarkPlan plans, ten per payee")

func BenchmarkPlan(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		e := payoutstest.New(b)
		e.SQL(`INSERT INTO payees (tenant, payee_id, phone, updated_at)
			SELECT 'lebenis', 'drv-' || to_char(n, 'FM0000000'), '+2250700000101', now() FROM generate_series(0, $1::int / 10 - 1) n`, *payments)
		e.SQL(`INSERT INTO payments (tenant, payment_id, payee_id, currency, gross, commission, net, method, status, completed_at, recorded_at)
			SELECT 'lebenis', 'pay-' || n, 'drv-' || to_char(n % ($1::int / 10), 'FM0000000'), 'XOF', 1000, 200, 800, 'orange_money', 'completed',
				'2025-01-24T00:00:00Z'::timestamptz + n * interval '1 ms', now() FROM generate_series(0, $1::int - 1) n`, *payments)
		e.SQL("ANALYZE")
		e.Rules().DailyCap = 0
		b.StartTimer()
		e.Run(payoutstest.Daily(evening))
		b.StopTimer()
		if n := e.Count("SELECT count(*) FROM payments WHERE payout_id IS NULL"); n != 0 {
			b.Fatalf("%d payments left", n)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(*payments)*float64(b.N)/b.Elapsed().Seconds(), "payments/s")
}
