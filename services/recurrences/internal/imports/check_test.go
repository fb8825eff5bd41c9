package imports

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/pan"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func wallclub(t testing.TB) *check {
	t.Helper()
	c, err := newCheck(config.Tenant{ID: "wallclub", Currency: "BRL", Recurrences: &config.Recurrences{
		BusinessDay: "following", CatchUpDays: 7, CleanupAfterDays: 180,
	}}, clock.NewVirtual(time.Date(2025, 10, 30, 10, 30, 0, 0, time.UTC)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// record is a good row with some columns changed.
func record(change ...string) rows.Record {
	values := []string{
		"rec-1", "cus-1", "Cliente", "seller-1", "49.90", "BRL", "monthly", "30", "", "2025-10-30", "tok_ok_001", "visa", "active", "Mensalidade", "", "", "", "", "",
	}
	for i := 0; i < len(change); i += 2 {
		values[columns.Index(change[i])] = change[i+1]
	}
	return rows.Record{Line: 7, Values: values}
}

func TestEveryRowIsCheckedByItself(t *testing.T) {
	t.Parallel()
	tests := []struct {
		field, says string
		change      []string
	}{
		{"recurrence_id", "missing", []string{"recurrence_id", ""}},
		{"recurrence_id", "has the character ' '", []string{"recurrence_id", "a b"}},
		{"customer_id", "longer than 128", []string{"customer_id", strings.Repeat("x", 129)}},
		{"customer_name", "control character", []string{"customer_name", "a\x07"}},
		{"seller_id", "missing", []string{"seller_id", ""}},
		{"currency", "the tenant's currency is BRL", []string{"currency", "XOF"}},
		{"currency", "XXY", []string{"currency", "XXY"}},
		{"amount", "zero", []string{"amount", "0.00"}},
		{"amount", "-", []string{"amount", "-49.90"}},
		{"amount", "BRL", []string{"amount", "49.905"}},
		{"amount", "", []string{"amount", "49,90"}},
		{"amount", "", []string{"amount", "4.99e1"}},
		{"period", "none of monthly, yearly, weekly, days", []string{"period", "fortnightly"}},
		{"period", "missing", []string{"period", ""}},
		{"anchor_day", "no whole number", []string{"anchor_day", "30.0"}},
		{"anchor_day", "no whole number", []string{"anchor_day", "99999999999"}},
		{"anchor_day", "1 to 31", []string{"anchor_day", "32"}},
		{"anchor_day", "1 to 31", []string{"anchor_day", ""}},
		{"anchor_day", "ISO day", []string{"period", "weekly", "anchor_day", "8"}},
		{"anchor_day", "February has the days 1 to 29", []string{"period", "yearly", "anchor_month", "2", "anchor_day", "30"}},
		{"anchor_month", "1 to 12", []string{"period", "yearly"}},
		{"anchor_month", "the period is monthly: leave it empty", []string{"anchor_month", "10"}},
		{"anchor_month", "the period is weekly", []string{"period", "weekly", "anchor_day", "4", "anchor_month", "10"}},
		{"anchor_day", "the period is days", []string{"period", "days", "interval_days", "10"}},
		{"interval_days", "the period is monthly", []string{"interval_days", "10"}},
		{"interval_days", "1 to 3660", []string{"period", "days", "anchor_day", ""}},
		{"next_charge_date", "no date", []string{"next_charge_date", "30/10/2025"}},
		{"next_charge_date", "no date", []string{"next_charge_date", "2025-02-30"}},
		{"next_charge_date", "is empty", []string{"next_charge_date", ""}},
		{"next_charge_date", "write 2025-09-30 or 2025-10-30", []string{"next_charge_date", "2025-10-15"}},
		{"card_token", "missing", []string{"card_token", ""}},
		{"card_token", "has the character ' '", []string{"card_token", "tok 1"}},
		{"card_brand", "missing", []string{"card_brand", ""}},
		{"card_brand", "lower-case letters", []string{"card_brand", "visa/elo"}},
		{"status", "none of [active past_due hold paused cancelled completed]", []string{"status", "archived"}},
		{"status", "missing", []string{"status", ""}},
		{"description", "201 characters", []string{"description", strings.Repeat("é", 201)}},
		{"end_date", "before its next cycle", []string{"end_date", "2025-10-29"}},
		{"max_cycles", "-1", []string{"max_cycles", "-1"}},
		{"failed_attempts", "-1", []string{"failed_attempts", "-1"}},
		{"ended_at", "RFC 3339", []string{"status", "cancelled", "ended_at", "yesterday"}},
		{"ended_at", "although the status is active", []string{"ended_at", "2025-10-01T00:00:00Z"}},
		{"ended_at", "has not come yet", []string{"status", "completed", "ended_at", "2025-11-01T00:00:00Z"}},
	}
	c := wallclub(t)
	for _, tt := range tests {
		_, ref := c.parse(record(tt.change...))
		if ref == nil || ref.Field != tt.field || ref.Line != 7 || !strings.Contains(ref.Message, tt.says) || strings.HasPrefix(ref.Message, tt.field) {
			t.Errorf("%v: refused %v, want %s: …%s…", tt.change, ref, tt.field, tt.says)
		}
	}
}

func TestWhatIsAccepted(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		next   string // cycle, charge date
		change []string
	}{
		{"monthly", "2025-10-30 2025-10-30", nil},
		{"monthly on the 31st, in a short month", "2025-11-30 2025-12-01", []string{"anchor_day", "31", "next_charge_date", "2025-11-30"}},
		{"monthly, by the date that it was moved to", "2025-11-01 2025-11-03", []string{"anchor_day", "1", "next_charge_date", "2025-11-03"}},
		{"monthly, by the nominal date", "2025-11-01 2025-11-03", []string{"anchor_day", "1", "next_charge_date", "2025-11-01"}},
		{"yearly", "2025-10-30 2025-10-30", []string{"period", "yearly", "anchor_month", "10"}},
		{"yearly on 29 February", "2026-02-28 2026-03-02", []string{"period", "yearly", "anchor_month", "2", "anchor_day", "29", "next_charge_date", "2026-02-28"}},
		{"weekly", "2025-10-30 2025-10-30", []string{"period", "weekly", "anchor_day", "4"}},
		{"every ten days", "2025-10-30 2025-10-30", []string{"period", "days", "interval_days", "10", "anchor_day", ""}},
		{"zero is nothing", "2025-10-30 2025-10-30", []string{"anchor_month", "0", "interval_days", "0", "max_cycles", "0"}},
		{"200 days late", "2025-04-13 2025-04-14", []string{"anchor_day", "13", "next_charge_date", "2025-04-13"}},
		{"ends with its next cycle", "2025-10-30 2025-10-30", []string{"end_date", "2025-10-30", "max_cycles", "1"}},
		{"past due", "2025-10-30 2025-10-30", []string{"status", "past_due", "failed_attempts", "2"}},
		{"completed", " ", []string{"status", "completed"}},
		{"completed without a date", " ", []string{"status", "completed", "next_charge_date", "", "ended_at", "2025-01-01T00:00:00-03:00"}},
		{"no name, no description", "2025-10-30 2025-10-30", []string{"customer_name", "", "description", ""}},
		{"a brand as gateways write it", "2025-10-30 2025-10-30", []string{"card_brand", "Visa"}},
	}
	c := wallclub(t)
	for _, tt := range tests {
		r, ref := c.parse(record(tt.change...))
		if got := r.at.Next.Date.String() + " " + r.at.Next.ChargeOn.String(); ref != nil || got != tt.next || r.Amount != 4990 || r.CardBrand != "visa" {
			t.Errorf("%s: %v %+v goes on at %s, want %s", tt.name, ref, r, got, tt.next)
		}
	}
}

// TestCardNumbersAreRefusedInEveryColumn, whatever the column is for and however the number is written.
func TestCardNumbersAreRefusedInEveryColumn(t *testing.T) {
	t.Parallel()
	c := wallclub(t)
	for _, column := range columns.Names {
		for _, number := range []string{"4111111111111111", "4111 1111 1111 1111", "37828-22463-10005", "n. 5555555555554444 de 2025-10-30"} {
			_, ref := c.parse(record(column, number))
			if ref == nil || ref.Field != column || ref.Message != pan.Advice {
				t.Errorf("%s: %v", column, ref)
			}
		}
	}
	// What is wrong beside it must not tell it either: the screen comes first.
	_, ref := c.parse(record("recurrence_id", "", "status", "4111111111111111"))
	if ref == nil || ref.Field != "status" || strings.Contains(ref.Message, "1111") {
		t.Errorf("refused %v", ref)
	}
}

// TestDifferencesAreNamed changes one column after the other of a known recurrence.
func TestDifferencesAreNamed(t *testing.T) {
	t.Parallel()
	c := wallclub(t)
	parse := func(change ...string) row {
		t.Helper()
		r, ref := c.parse(record(change...))
		if ref != nil {
			t.Fatal(ref)
		}
		return r
	}
	base := []string{"status", "completed", "period", "yearly", "anchor_month", "10", "ended_at", "2025-10-01T00:00:00Z"}
	known := parse(base...)
	for column, value := range map[string]string{
		"customer_id": "cus-2", "customer_name": "Outra", "seller_id": "seller-2", "amount": "49.91", "anchor_day": "29", "anchor_month": "11",
		"next_charge_date": "2026-10-30", "card_token": "tok_ok_002", "card_brand": "elo", "status": "cancelled", "description": "Outra",
		"end_date": "2030-01-01", "max_cycles": "3", "failed_attempts": "1", "ended_at": "2025-10-02T00:00:00Z",
	} {
		given := parse(append(slices.Clone(base), column, value)...)
		ref := known.differs(given)
		if ref == nil || ref.Field != column || ref.Line != 7 || !strings.Contains(ref.Message, "use set-card, pause, resume, reactivate or cancel") {
			t.Errorf("%s: %v", column, ref)
			continue
		}
		if column == "customer_name" || column == "card_token" {
			if strings.Contains(ref.Message, "Outra") || strings.Contains(ref.Message, "Cliente") || strings.Contains(ref.Message, "tok_") {
				t.Errorf("%s is told: %s", column, ref.Message)
			}
		} else if !strings.Contains(ref.Message, value) {
			t.Errorf("%s: %s does not say what is given", column, ref.Message)
		}
	}
	both := parse(append(slices.Clone(base), "amount", "50", "seller_id", "seller-9")...)
	if ref := known.differs(both); ref == nil || !strings.Contains(ref.Message, "seller_id (known") || !strings.Contains(ref.Message, "amount (known 49.90 BRL, given 50.00 BRL)") {
		t.Errorf("two differences: %v", ref)
	}
	// The same, written otherwise.
	same := parse(append(slices.Clone(base), "amount", "49.9", "ended_at", "2025-09-30T21:00:00-03:00", "max_cycles", "0", "card_brand", "VISA")...)
	if ref := known.differs(same); ref != nil {
		t.Errorf("the same: %v", ref)
	}
}

// FuzzRow checks what holds of any row: what is accepted holds no card number, can be planned with or has ended, and says
// the same after it was kept.
func FuzzRow(f *testing.F) {
	c := wallclub(f)
	for _, change := range [][]string{{}, {"status", "cancelled"}, {"card_token", "4111111111111111"}, {"period", "days", "interval_days", "3660"}, {"amount", "1e9"}} {
		f.Add(strings.Join(record(change...).Values, "\x1f"))
	}
	f.Fuzz(func(t *testing.T, line string) {
		values := strings.Split(line, "\x1f")
		if len(values) != len(columns.Names) || !utf8.ValidString(line) { // which readers refuse
			return
		}
		r, ref := c.parse(rows.Record{Line: 1, Values: values})
		if ref != nil {
			if columns.Index(ref.Field) < 0 || ref.Message == "" || pan.In(ref.Message) {
				t.Fatalf("refused %+v", ref)
			}
			return
		}
		if slices.ContainsFunc(values, pan.In) {
			t.Fatalf("%q is accepted", values)
		}
		ended := recurrence.Ended(recurrence.State(r.Status))
		if r.Amount <= 0 || r.ID == "" || r.token == "" || (r.at.Next == recurrence.Cycle{}) != ended || !r.EndedAt.IsZero() && !ended {
			t.Fatalf("accepted %+v", r)
		}
		kept, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		again := facts{ID: r.ID, CustomerName: r.CustomerName}
		if err := json.Unmarshal(kept, &again); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r.facts, again, cmp.Comparer(time.Time.Equal)); diff != "" || again.differs(r) != nil {
			t.Fatalf("kept otherwise: %s", diff)
		}
	})
}

// TestManyRowsInConstantMemory reads and checks a file that is never whole anywhere, and watches the heap.
func TestManyRowsInConstantMemory(t *testing.T) {
	const lines, allowed = 500_000, 24 << 20
	c := wallclub(t)
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	base, peak, kept, reports := stats.HeapAlloc, uint64(0), 0, 0
	in := rows.Intake[row]{
		Parse: c.parse,
		Keep: func(_ context.Context, batch []row, _ int64) (rows.Stored, error) {
			kept += len(batch)
			return rows.Stored{Unchanged: int64(len(batch))}, nil
		},
		Sink: rows.Sink{
			Refused: func(r rows.Error) error { return errors.New(r.Message) },
			Progress: func(rows.Counts) error {
				if reports++; reports%10 == 0 {
					runtime.GC()
					runtime.ReadMemStats(&stats)
					peak = max(peak, stats.HeapAlloc)
				}
				return nil
			},
		},
	}
	r, w := io.Pipe()
	go func() {
		_, err := fmt.Fprintln(w, strings.Join(columns.Names[:columns.Required], ","))
		for i := 0; i < lines && err == nil; i++ {
			_, err = fmt.Fprintf(w, "rec-%d,cus-%d,Cliente,seller-%d,49.90,BRL,monthly,30,,2025-10-30,tok_%d,visa,active,Mensalidade\n", i, i, i%100, i)
		}
		_ = w.CloseWithError(err)
	}()
	file, err := rows.NewReader("csv", r, columns)
	if err != nil {
		t.Fatal(err)
	}
	n, err := in.Run(t.Context(), file)
	if err != nil || n.Rows != lines || kept != lines || reports != lines/10_000 {
		t.Errorf("%+v, %d stored, %d reports: %v", n, kept, reports, err)
	}
	if peak > base+allowed {
		t.Errorf("the heap grew by %d bytes", peak-base)
	}
}
