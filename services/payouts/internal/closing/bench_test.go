package closing_test

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
)

// many is a statement that is made while it is read.
type many struct{ lines int }

func (m many) Statement(_ context.Context, day string, _ func(context.Context) error, fn func(provider.StatementLine) error) error {
	if day != today {
		return nil
	}
	at := time.Date(2025, 1, 25, 12, 0, 0, 0, time.UTC)
	for n := range m.lines {
		if n%1000 == 999 { // one in a thousand is missing
			continue
		}
		id := strconv.Itoa(n)
		err := fn(provider.StatementLine{
			ProviderID: "T" + id, Reference: "ref-" + id, Kind: provider.LinePayout, Amount: money.Amount{Minor: -net, Currency: "XOF"},
			Fee: money.Amount{Minor: fee, Currency: "XOF"}, At: at, State: "api_payout",
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkClose closes a day of 100,000 payouts (AGOGO_BENCH_LINES: of another number), one in a thousand of which is not in the statement.
func BenchmarkClose(b *testing.B) {
	n := 100_000
	if s := os.Getenv("AGOGO_BENCH_LINES"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	r := newRig(b, 0)
	r.closer.Chunk, r.closer.PageSize = 5000, 1000
	r.Connector.Statement = many{n}
	r.SQL(`INSERT INTO attempts (subject_id, number, tenant, provider, reference, amount, currency, destination, state, fee, submitted_at, closed_at)
		SELECT md5(n::text)::uuid, 1, 'lebenis', 'wave', 'ref-' || n, 24000, 'XOF', '+22507', 'succeeded', 240, '2025-01-25T12:00:00Z', '2025-01-25T12:00:01Z'
		FROM generate_series(0, $1::integer - 1) n`, n)
	r.SQL(`INSERT INTO ledger_postings (tenant, kind, ref, leg, debit, credit, currency, amount, occurred_at)
		SELECT 'lebenis', k.kind, md5(n::text)::uuid || '/1', 0, k.debit, 'float:wave', 'XOF', k.amount, '2025-01-25T12:00:01Z'
		FROM generate_series(0, $1::integer - 1) n, (VALUES ('attempt.succeeded', 'in_transit:wave', 24000), ('attempt.fee', 'fees', 240)) k(kind, debit, amount)`, n)
	r.SQL("ANALYZE")
	most := uint64(0)
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		if err := r.ask(today, i > 0); err != nil {
			b.Fatal(err)
		}
		r.work()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapAlloc)
	}
	b.StopTimer()
	h := r.report(today).Head
	if want := int64(n - n/1000); h.Matched != want || h.Items != int64(n/1000)+1 { // and the top-up that is not there
		b.Fatalf("%+v, want %d matched", h, want)
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
	b.ReportMetric(float64(most)/1e6, "MB")
}
