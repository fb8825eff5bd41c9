package disburse_test

import (
	"testing"

	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
)

// BenchmarkSend sends 2,000 payouts through 16 slots to a simulated provider without latency: what claiming, sending over
// HTTP and recording cost together.
func BenchmarkSend(b *testing.B) {
	const payouts = 2000
	for b.Loop() {
		b.StopTimer()
		e := sending.New(b)
		e.Config.Concurrency = 16
		run := e.Plan(payouts)
		s := e.Sender()
		b.StartTimer()
		e.Dispatch(s, run)
		b.StopTimer()
		if n := e.PayoutStates()["succeeded"]; n != payouts {
			b.Fatalf("%d of %d were paid", n, payouts)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(payouts*b.N)/b.Elapsed().Seconds(), "payouts/s")
}
