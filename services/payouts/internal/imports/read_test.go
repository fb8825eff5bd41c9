package imports

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/rows"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func open(t *testing.T, format string, in io.Reader, c rows.Columns) rows.Reader {
	t.Helper()
	r, err := rows.NewReader(format, in, c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func FuzzCSV(f *testing.F) {
	for _, s := range []string{"payee_id,name,phone,provider,locale\nd,N,+225,o,fr\n", "\uFEFFa,b", "\"", "payee_id,\"name\n", "\r\r\n,"} {
		f.Add([]byte(s))
	}
	check := newPayeeCheck(config.Tenant{Locale: "fr-CI"})
	f.Fuzz(func(t *testing.T, data []byte) {
		fuzzParse(t, open(t, "csv", bytes.NewReader(data), payeeColumns), check.parse)
	})
}

func FuzzJSONL(f *testing.F) {
	for _, s := range []string{`{"payee_id":"d","name":"N","phone":"0700000101","provider":"","locale":"fr-CI"}`, "{", "{}\n[]", `{"payee_id":1e999}`} {
		f.Add([]byte(s))
	}
	check := newPayeeCheck(config.Tenant{Locale: "fr-CI"})
	f.Fuzz(func(t *testing.T, data []byte) {
		fuzzParse(t, open(t, "jsonl", bytes.NewReader(data), payeeColumns), check.parse)
	})
}

// fuzzParse checks rows: what is accepted can be stored and travels in headers and accounts.
func fuzzParse(t *testing.T, r rows.Reader, parse func(rows.Record) (payee, *rows.Error)) {
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			continue
		}
		p, ref := parse(rec)
		if ref == nil && (p.id == "" || strings.ContainsAny(p.id+p.name+p.phone, "\x00\n") || strings.ContainsAny(p.id, " %\"") ||
			p.phone != "" && !strings.HasPrefix(p.phone, "+")) {
			t.Fatalf("accepted %+v", p)
		}
	}
}

// TestAMillionRowsInConstantMemory reads and checks a million rows and watches the heap.
func TestAMillionRowsInConstantMemory(t *testing.T) {
	const lines, allowed = 1_000_000, 24 << 20
	c := paymentCheck{currency: "XOF", bps: 2000, phones: &phones{region: "CI"}}
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	base, peak, kept := stats.HeapAlloc, uint64(0), int64(0)
	progress := 0
	sink := rows.Sink{
		Refused: func(r rows.Error) error { t.Errorf("refused %v", r); return nil },
		Progress: func(rows.Counts) error {
			if progress++; progress%10 == 0 {
				runtime.GC()
				runtime.ReadMemStats(&stats)
				peak = max(peak, stats.HeapAlloc)
			}
			return nil
		},
	}
	in := rows.Intake[payment]{Parse: c.parse, Sink: sink, Keep: func(_ context.Context, batch []payment, _ int64) (rows.Stored, error) {
		kept += int64(len(batch))
		return rows.Stored{Unchanged: int64(len(batch))}, nil
	}}
	n, err := in.Run(t.Context(), open(t, "csv", &generated{rows: lines}, paymentColumns))
	if err != nil {
		t.Fatal(err)
	}
	if n.Rows != lines || n.Unchanged != lines || kept != lines || progress != lines/10_000 {
		t.Errorf("%+v, %d stored, %d reports", n, kept, progress)
	}
	if peak > base+allowed {
		t.Errorf("the heap grew by %d bytes", peak-base)
	}
}

// generated is a CSV file that exists only while it is read.
type generated struct {
	rows, n int
	rest    []byte
}

func (g *generated) Read(p []byte) (int, error) {
	if len(g.rest) == 0 {
		switch {
		case g.n == 0:
			g.rest = append(g.rest, strings.Join(paymentColumns.Names[:9], ",")+"\n"...)
		case g.n > g.rows:
			return 0, io.EOF
		default:
			g.rest = fmt.Appendf(g.rest[:0], "pay-%d,drv-%d,Livreur,+2250700000101,%d,XOF,orange_money,completed,2025-01-24T10:00:00Z\n", g.n, g.n%1000, 100+g.n%5000)
		}
		g.n++
	}
	n := copy(p, g.rest)
	g.rest = g.rest[n:]
	return n, nil
}

// What is accepted of payments adds up, and can be stored and sent.
func FuzzPayments(f *testing.F) {
	const header = "payment_id,payee_id,payee_name,phone,amount,currency,method,status,completed_at,paid_reference\n"
	f.Add("csv", []byte(header+"p-1,d-1,N,+2250700000101,30000,XOF,orange_money,completed,2025-01-24T12:00:00Z,\n"))
	f.Add("csv", []byte(header+"p-1,d-1,N,0700000101,1e3,XOF,orange_money,completed,2025-01-24,\n"))
	f.Add("csv", []byte(header+"p-1,d-1,N,,-5,BRL,,refunded,,x\n"))
	f.Add("jsonl", []byte(`{"payment_id":"p","payee_id":"d","amount":"30000","currency":"XOF","method":"orange_money","status":"pending"}`))
	f.Add("jsonl", []byte(`{"payment_id":1e999,"amount":30000}`+"\n{}\n["))
	check := newPaymentCheck(config.Tenant{Locale: "fr-CI", Currency: "XOF", Payouts: &config.Payouts{CommissionBPS: 2000}})
	f.Fuzz(func(t *testing.T, format string, data []byte) {
		if format != "csv" {
			format = "jsonl"
		}
		for r := open(t, format, bytes.NewReader(data), paymentColumns); ; {
			rec, err := r.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				continue
			}
			p, refused := check.parse(rec)
			if refused != nil {
				continue
			}
			if p.id == "" || p.payee == "" || strings.ContainsAny(p.id+p.payee+p.name+p.phone, "\x00\n") || p.phone != "" && !strings.HasPrefix(p.phone, "+") ||
				p.gross.Minor < 0 || p.gross.Currency != "XOF" || p.commission.Minor+p.net.Minor != p.gross.Minor || p.commission.Minor < 0 || p.net.Minor < 0 {
				t.Fatalf("accepted %+v", p)
			}
		}
	})
}
