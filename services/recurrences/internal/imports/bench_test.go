package imports_test

import (
	"flag"
	"fmt"
	"io"
	"testing"

	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/services/recurrences/internal/imports/importstest"
)

var lines = flag.Int("rows", 50_000, "recurrences that BenchmarkImport takes in, one card each")

func BenchmarkImport(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		e := importstest.New(b)
		r, w := io.Pipe()
		go func() {
			_, err := fmt.Fprintln(w, importstest.Header)
			for i := 0; i < *lines && err == nil; i++ {
				_, err = fmt.Fprintf(w, "rec-%d,cus-%d,Ana Souza,seller-%d,49.90,BRL,monthly,%d,,,tok_%d,visa,completed,Mensalidade\n", i, i, i%100, 1+i%31, i)
			}
			_ = w.CloseWithError(err)
		}()
		b.StartTimer()
		n, err := e.Importer.Recurrences(e.Ctx(), e.Tenants.Tenants[0], "csv", r, rows.Sink{
			Refused: func(r rows.Error) error { return &r }, Progress: func(rows.Counts) error { return nil },
		})
		if err != nil || n.Inserted != int64(*lines) {
			b.Fatalf("%+v: %v", n, err)
		}
	}
	b.ReportMetric(float64(*lines)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
