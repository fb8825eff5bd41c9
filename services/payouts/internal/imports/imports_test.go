package imports_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

const (
	row = payoutstest.Header
	at  = "2025-01-24T10:00:00Z"
)

func TestEveryRowIsCheckedByItself(t *testing.T) {
	t.Parallel()
	good := func(change ...string) string {
		v := []string{"p", "drv-1", "Jean", "+2250700000101", "2500", "XOF", "orange_money", "completed", at, ""}
		for i := 0; i < len(change); i += 2 {
			v[slices.Index(strings.Split(strings.TrimSpace(row), ","), change[i])] = change[i+1]
		}
		return strings.Join(v, ",") + "\n"
	}
	tests := []struct{ name, line, field, says string }{
		{"no id", good("payment_id", ""), "payment_id", "missing"},
		{"blank in the id", good("payment_id", "a b"), "payment_id", `has the character ' '`},
		{"long id", good("payment_id", strings.Repeat("x", 129)), "payment_id", "longer than 128"},
		{"other script", good("payee_id", "дрв"), "payee_id", "use letters, digits"},
		{"long name", good("payee_name", strings.Repeat("é", 201)), "payee_name", "201 characters long"},
		{"control character", good("payee_name", "a\x07b"), "payee_name", "control character"},
		{"short phone", good("phone", "+2250"), "phone", "too short"},
		{"long phone", good("phone", "+22507000001010000"), "phone", "too long"},
		{"letters in the phone", good("phone", "call me"), "phone", "letters"},
		{"unknown currency", good("currency", "XXY"), "currency", "XXY"},
		{"another currency", good("currency", "EUR"), "currency", "the tenant's currency is XOF"},
		{"negative", good("amount", "-1"), "amount", "-"},
		{"zero", good("amount", "0"), "amount", "zero"},
		{"fractional XOF", good("amount", "24000.50"), "amount", "XOF"},
		{"float notation", good("amount", "2.4e4"), "amount", "e"},
		{"too large", good("amount", "92233720368547758080"), "amount", ""},
		{"no method", good("method", ""), "method", "missing"},
		{"capital method", good("method", "Orange"), "method", "lower-case"},
		{"unknown status", good("status", "paid"), "status", "none of pending"},
		{"completed without a time", good("completed_at", ""), "completed_at", "missing"},
		{"refunded without a time", good("status", "refunded", "completed_at", ""), "completed_at", "missing"},
		{"local time", good("completed_at", "2025-01-24 10:00:00"), "completed_at", "RFC 3339"},
		{"before accept_from", good("completed_at", "2024-12-31T23:59:59Z"), "completed_at", "accept_from (2025-01-01)"},
		{"control character in the reference", good("paid_reference", "a\x00"), "paid_reference", "control"},
	}
	e := payoutstest.New(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, refused := e.Import(row + good("payment_id", "before-"+tt.field) + tt.line + good("payment_id", "after-"+tt.field))
			if len(refused) != 1 || refused[0].Line != 3 || refused[0].Field != tt.field || !strings.Contains(refused[0].Message, tt.says) {
				t.Fatalf("refused %v", refused)
			}
			if n.Rows != 3 || n.Refused != 1 || n.Inserted+n.Unchanged != 2 {
				t.Errorf("counts %+v", n)
			}
			if strings.Contains(refused[0].Message, "07000001") || strings.Contains(refused[0].Message, "Jean") {
				t.Errorf("the message tells personal data: %s", refused[0].Message)
			}
		})
	}
	if n := e.Count("SELECT count(*) FROM payments WHERE payment_id NOT LIKE 'before-%' AND payment_id NOT LIKE 'after-%'"); n != 0 {
		t.Errorf("%d refused rows were stored", n)
	}
}

func TestWhatIsAccepted(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	_, refused := e.Import(row +
		payoutstest.Row("exactly-accept-from", "drv-1", 1000, "completed", "2025-01-01T00:00:00Z", "") +
		payoutstest.Row("paid-last-year", "drv-1", 1000, "completed", "2024-06-01T00:00:00Z", "old system 17") +
		payoutstest.Row("pending", "drv-1", 1000, "pending", "", "") +
		payoutstest.Row("processing-with-time", "drv-1", 1000, "processing", "2025-01-24T10:58:10Z", "") +
		payoutstest.Row("zone", "drv-1", 1000, "completed", "2025-01-24T12:00:00.123456789+02:00", "") +
		strings.Replace(payoutstest.Pay("no-wallet", "drv-2", 1000, at), "+2250700000101", "", 1))
	if len(refused) > 0 {
		t.Errorf("refused %v", refused)
	}
	if n := e.Count("SELECT count(*) FROM payments WHERE payment_id = 'zone' AND completed_at = '2025-01-24T10:00:00.123456Z'"); n != 1 {
		t.Error("the instant of a time with a zone was not kept")
	}
	if n := e.Count("SELECT count(*) FROM payments WHERE completed_at IS NULL"); n != 2 {
		t.Errorf("%d payments without completed_at, want those two that are not completed", n)
	}
}

// TestLeadingZeros: the old system lost the leading zero of phone numbers when it normalised them. Ivorian numbers keep it.
func TestLeadingZeros(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	csv := row
	written := []string{"+2250700000101", "0700000101", "07 00 00 01 01", "07-00-00-01-01", "00225 0700000101", "+225 07 00 00 01 01"}
	for i, phone := range written {
		csv += strings.Replace(payoutstest.Pay(fmt.Sprintf("p%d", i), fmt.Sprintf("drv-%d", i), 1000, at), "+2250700000101", phone, 1)
	}
	if _, refused := e.Import(csv); len(refused) > 0 {
		t.Fatalf("refused %v", refused)
	}
	if n := e.Count("SELECT count(*) FROM payees WHERE phone = '+2250700000101'"); n != int64(len(written)) {
		t.Errorf("%d of %d ways to write one number gave +2250700000101", n, len(written))
	}
}

func TestAFileAgainChangesNothing(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	sample := string(payoutstest.Sample(t, "lebenis-payments-2025-01-24.csv"))
	first, refused := e.Import(sample)
	if len(refused) > 0 || first.Inserted != 176 {
		t.Fatalf("%+v, refused %v", first, refused)
	}
	books, audits := e.Balances(), len(e.Messages(stream.Audit))
	second, refused := e.Import(sample)
	if len(refused) > 0 || second.Unchanged != 176 || second.Inserted+second.Updated != 0 {
		t.Errorf("again: %+v, refused %v", second, refused)
	}
	if diff := cmp.Diff(books, e.Balances()); diff != "" {
		t.Errorf("books (-first +second):\n%s", diff)
	}
	if n := len(e.Messages(stream.Audit)); n != audits || audits != 1 {
		t.Errorf("%d audit entries after the first import, %d after the second", audits, n)
	}
}

func TestJSONLinesAreTheSame(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	lines := strings.Split(strings.TrimSpace(string(payoutstest.Sample(t, "lebenis-payments-2025-01-24.csv"))), "\n")
	names := strings.Split(lines[0], ",")
	var jsonl strings.Builder
	for _, line := range lines[1:] {
		var members []string
		for i, v := range strings.Split(line, ",") {
			if names[i] == "amount" {
				members = append(members, fmt.Sprintf("%q:%s", names[i], v))
				continue
			}
			members = append(members, fmt.Sprintf("%q:%q", names[i], v))
		}
		fmt.Fprintf(&jsonl, "{%s}\n", strings.Join(members, ","))
	}
	if n, refused := e.ImportFrom(strings.NewReader(jsonl.String()), "jsonl"); n.Inserted != 176 {
		t.Errorf("%+v, refused %v", n, refused)
	}
	if n, refused := e.Import(strings.Join(lines, "\n")); n.Unchanged != 176 {
		t.Errorf("the same as CSV: %+v, refused %v", n, refused)
	}
}

func TestOnlyStatusAndCompletionAdvance(t *testing.T) {
	t.Parallel()
	const later = "2025-01-24T11:00:00Z"
	tests := []struct {
		name        string
		from, to    string
		fromAt      string
		toAt        string
		updated, ok bool
	}{
		{"pending to processing", "pending", "processing", "", "", true, true},
		{"steps skipped", "pending", "completed", "", at, true, true},
		{"processing to completed", "processing", "completed", "", at, true, true},
		{"pending to failed", "pending", "failed", "", "", true, true},
		{"completed to refunded", "completed", "refunded", at, at, true, true},
		{"refunded later", "completed", "refunded", at, later, true, true},
		{"pending to refunded", "pending", "refunded", "", at, true, true},
		{"the same", "completed", "completed", at, at, false, true},
		{"back to pending", "completed", "pending", at, "", false, false},
		{"back to processing", "completed", "processing", at, "", false, false},
		{"completed to failed", "completed", "failed", at, "", false, false},
		{"failed to completed", "failed", "completed", "", at, false, false},
		{"refunded to completed", "refunded", "completed", at, at, false, false},
		{"processing to pending", "processing", "pending", "", "", false, false},
		{"another time", "completed", "completed", at, later, false, false},
		{"refunded before it was completed", "completed", "refunded", later, at, false, false},
	}
	e := payoutstest.New(t)
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id := fmt.Sprintf("p%d", i)
			e.Import(row + payoutstest.Row(id, "drv-1", 1000, tt.from, tt.fromAt, ""))
			n, refused := e.Import(row + payoutstest.Row(id, "drv-1", 1000, tt.to, tt.toAt, ""))
			if (len(refused) == 0) != tt.ok || (n.Updated == 1) != tt.updated {
				t.Errorf("%+v, refused %v", n, refused)
			}
			if want := map[bool]string{true: tt.to, false: tt.from}[tt.ok]; e.Count("SELECT count(*) FROM payments WHERE payment_id = $1 AND status = $2", id, want) != 1 {
				t.Errorf("not %s", want)
			}
		})
	}
}

func TestWhatDiffersIsRefusedWithBothShapes(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Import(row + payoutstest.Pay("p", "drv-1", 1000, at))
	for field, line := range map[string]string{
		"amount":         payoutstest.Row("p", "drv-1", 1001, "refunded", at, ""),
		"payee_id":       payoutstest.Row("p", "drv-2", 1000, "refunded", at, ""),
		"paid_reference": payoutstest.Row("p", "drv-1", 1000, "refunded", at, "x"),
		"method":         strings.Replace(payoutstest.Row("p", "drv-1", 1000, "refunded", at, ""), "orange_money", "cash", 1),
	} {
		n, refused := e.Import(row + payoutstest.Pay("other-"+field, "drv-1", 500, at) + line)
		if len(refused) != 1 || refused[0].Field != field || refused[0].Line != 3 || !strings.Contains(refused[0].Message, "is known with") || n.Inserted != 1 {
			t.Errorf("%s: %+v, refused %v", field, n, refused)
		}
	}
	if n := e.Count("SELECT count(*) FROM payees"); n != 1 {
		t.Errorf("%d payees: a refused row left one behind", n)
	}
}

func TestADuplicateInOneBatchIsTakenInOrder(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	n, refused := e.Import(row +
		payoutstest.Row("p", "drv-1", 1000, "pending", "", "") +
		payoutstest.Row("p", "drv-1", 1000, "completed", at, "") +
		payoutstest.Row("p", "drv-1", 1000, "pending", "", "") + // back: refused
		payoutstest.Row("p", "drv-1", 1000, "completed", at, "") + // the same: unchanged
		payoutstest.Row("p", "drv-1", 2000, "completed", at, "") + // another amount: refused
		payoutstest.Row("p", "drv-1", 1000, "refunded", at, ""))
	if want := (rows.Counts{Rows: 6, Inserted: 1, Updated: 2, Unchanged: 1, Refused: 2}); n != want {
		t.Errorf("%+v, want %+v; refused %v", n, want, refused)
	}
	if len(e.Balances()) != 0 {
		t.Errorf("completed and refunded leaves %v", e.Balances())
	}
}

// TestBooksOfImports follows DESIGN's ledger rules, one payment each.
func TestBooksOfImports(t *testing.T) {
	t.Parallel()
	const first, second = 1000, 800 // gross, and net at 20 %
	tests := []struct {
		name    string
		steps   []string
		want    map[string]int64
		carries int64
	}{
		{"pending books nothing", []string{payoutstest.Row("p", "d", first, "pending", "", "")}, map[string]int64{}, 0},
		{
			"first completed",
			[]string{payoutstest.Row("p", "d", first, "completed", at, "")},
			map[string]int64{"collections": first, "payable:d": -second, "commission": -200},
			0,
		},
		{
			"pending, then completed",
			[]string{payoutstest.Row("p", "d", first, "pending", "", ""), payoutstest.Row("p", "d", first, "completed", at, "")},
			map[string]int64{"collections": first, "payable:d": -second, "commission": -200},
			0,
		},
		{
			"paid elsewhere",
			[]string{payoutstest.Row("p", "d", first, "completed", at, "old 1")},
			map[string]int64{"collections": first, "treasury": -second, "commission": -200},
			0,
		},
		{
			"refunded unclaimed is undone",
			[]string{payoutstest.Row("p", "d", first, "completed", at, ""), payoutstest.Row("p", "d", first, "refunded", at, "")},
			map[string]int64{},
			0,
		},
		{"first seen refunded", []string{payoutstest.Row("p", "d", first, "refunded", at, "")}, map[string]int64{}, 0},
		{
			"refunded after it was paid elsewhere",
			[]string{payoutstest.Row("p", "d", first, "completed", at, "old 1"), payoutstest.Row("p", "d", first, "refunded", at, "old 1")},
			map[string]int64{"payable:d": second, "treasury": -second},
			1,
		},
		{
			"first seen refunded and paid elsewhere",
			[]string{payoutstest.Row("p", "d", first, "refunded", at, "old 1")},
			map[string]int64{"payable:d": second, "treasury": -second},
			1,
		},
		{"failed books nothing", []string{payoutstest.Row("p", "d", first, "failed", "", "")}, map[string]int64{}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := payoutstest.New(t)
			for _, step := range tt.steps {
				if _, refused := e.Import(row + step); len(refused) > 0 {
					t.Fatal(refused)
				}
			}
			if diff := cmp.Diff(tt.want, e.Balances()); diff != "" {
				t.Errorf("balances (-want +got):\n%s", diff)
			}
			if n := e.Count("SELECT count(*) FROM carries"); n != tt.carries {
				t.Errorf("%d carries, want %d", n, tt.carries)
			}
		})
	}
}

func TestAnotherWalletIsTold(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Import(row + payoutstest.Pay("a", "drv-1", 1000, at))
	if n := len(e.EventTypes("payee")); n != 0 {
		t.Errorf("%d events of a new payee", n)
	}
	other := func(id, status string) string {
		return strings.Replace(payoutstest.Row(id, "drv-1", 1000, status, at, ""), "0101", "0199", 1)
	}
	e.Import(row + payoutstest.Pay("b", "drv-1", 1000, at)) // the same wallet
	e.Import(row + other("c", "completed"))
	e.Import(row + payoutstest.Pay("a", "drv-1", 1000, at)) // an old file again: its payment is known, so its wallet is old news
	e.Import(row + strings.Replace(payoutstest.Pay("d", "drv-1", 1000, at), "+2250700000101", "", 1))
	if got := e.EventTypes("payee"); !slices.Equal(got, []string{"payee.destination_changed"}) {
		t.Errorf("events %v", got)
	}
	if n := e.Count("SELECT count(*) FROM payees WHERE phone = '+2250700000199' AND version = 1"); n != 1 {
		t.Error("the newest wallet is not the payee's")
	}
	for _, ev := range e.Events() {
		if s := string(ev.Body); strings.Contains(s, "07000001") || strings.Contains(s, "Livreur") {
			t.Errorf("%s tells personal data: %s", ev.Type, s)
		}
	}
	e.CheckEvents()
}

func TestPayees(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	const header = "payee_id,name,phone,provider,locale\n"
	load := func(csv string) (rows.Counts, []rows.Error) {
		t.Helper()
		var refused []rows.Error
		n, err := e.Importer.Payees(e.Ctx(), e.Tenants.Tenants[0], "csv", strings.NewReader(header+csv), rows.Sink{
			Refused: func(r rows.Error) error { refused = append(refused, r); return nil }, Progress: func(rows.Counts) error { return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		return n, refused
	}
	n, refused := load("drv-1,Jean,+2250700000101,orange,fr-CI\ndrv-2,,,,\ndrv-3,Awa,0700000103,wave,\ndrv-4,Awa,0700000104,,no locale\n")
	if n.Inserted != 2 || len(refused) != 2 || refused[0].Field != "provider" || refused[1].Field != "locale" {
		t.Errorf("%+v, refused %v", n, refused)
	}
	n, _ = load("drv-1,Jean,+2250700000101,orange,fr-CI\ndrv-2,Awa,0700000102,,\n")
	if n.Unchanged != 1 || n.Updated != 1 {
		t.Errorf("again: %+v", n)
	}
	if got := e.EventTypes("payee"); !slices.Equal(got, []string{"payee.destination_changed"}) {
		t.Errorf("events %v", got)
	}
	e.CheckEvents()
}

// TestTheSameFileTwiceAtOnce: two imports of one file race. Every payment is booked once.
func TestTheSameFileTwiceAtOnce(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	sample := string(payoutstest.Sample(t, "lebenis-payments-2025-01-24.csv"))
	e.Import(strings.ReplaceAll(sample, "pay-", "known-")) // so that the race is about payments, not about payees
	var (
		all      sync.WaitGroup
		mu       sync.Mutex
		inserted int64
	)
	for range 4 {
		all.Go(func() {
			n, refused := e.Import(sample)
			mu.Lock()
			defer mu.Unlock()
			inserted += n.Inserted
			if len(refused) > 0 {
				t.Errorf("refused %v", refused)
			}
		})
	}
	all.Wait()
	if inserted != 176 {
		t.Errorf("%d inserted in all, want 176", inserted)
	}
	if got, want := e.Balances()["collections"], e.Count("SELECT sum(gross) FROM payments WHERE status = 'completed'"); got != want {
		t.Errorf("collections %d, payments %d", got, want)
	}
}

func TestAnImportStopsWhenNobodyListens(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	gone := fmt.Errorf("the caller is gone")
	_, err := e.Importer.Payments(e.Ctx(), e.Tenants.Tenants[0], "csv", strings.NewReader(row+"bad\n"), rows.Sink{
		Refused: func(rows.Error) error { return gone }, Progress: func(rows.Counts) error { return nil },
	})
	if err == nil || !strings.Contains(err.Error(), gone.Error()) {
		t.Errorf("went on: %v", err)
	}
}
