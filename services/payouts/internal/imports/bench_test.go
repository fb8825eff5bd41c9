package imports_test

import (
	"flag"
	"fmt"
	"io"
	"testing"

	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

var lines = flag.Int("rows", 50_000, "payments that BenchmarkImport takes in, ten per payee")

func BenchmarkImport(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		e := payoutstest.New(b)
		r, w := io.Pipe()
		go func() {
			fmt.Fprint(w, payoutstest.Header)
			for i := range *lines {
				fmt.Fprint(w, payoutstest.Pay(fmt.Sprintf("pay-%d", i), fmt.Sprintf("drv-%d", i%(*lines/10)), int64(100+i%5000), at))
			}
			_ = w.Close()
		}()
		b.StartTimer()
		if n, refused := e.ImportFrom(r, "csv"); n.Inserted != int64(*lines) {
			b.Fatalf("%+v, refused %v", n, refused)
		}
	}
	b.ReportMetric(float64(*lines)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
