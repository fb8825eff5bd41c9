package oracle_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/agogopay/agogo/cmd/agogo/internal/oracle"
)

var lebenis = oracle.Rules{
	Currency: "XOF", CommissionBPS: 2000, Minimum: 100, MaxPerPayout: 2_000_000, Methods: []string{"orange_money"},
	AcceptFrom: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), Zone: time.UTC, Provider: "orange", CountryPrefix: "+225",
}

var cutoff = time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC)

type sums struct {
	Payments   int
	Gross, Net int64
}

func sumsOf(groups []*oracle.Group) map[string]sums {
	by := map[string]sums{}
	for _, g := range groups {
		if !g.Skipped {
			by[g.Payee] = sums{len(g.Payments), g.Gross, g.Net}
		}
	}
	return by
}

// The evening of 24 January 2025, as the customer expects it.
func TestTheEveningOf24January(t *testing.T) {
	file, err := os.ReadFile("../../../../examples/lebenis/payments-2025-01-24.csv")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../../../examples/lebenis/expected-2025-01-24.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Cutoff     time.Time
		Payouts    int
		TotalNet   int64           `json:"total_net"`
		TotalGross int64           `json:"total_gross"`
		ByPayee    map[string]sums `json:"by_payee"`
		NextRun    map[string]sums `json:"next_run"`
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	m := oracle.New(lebenis)
	if err := m.Import(bytes.NewReader(file)); err != nil {
		t.Fatal(err)
	}
	first := sumsOf(m.Plan(want.Cutoff))
	if diff := cmp.Diff(want.ByPayee, first); diff != "" {
		t.Error(diff)
	}
	var total sums
	for _, s := range first {
		total.Gross, total.Net = total.Gross+s.Gross, total.Net+s.Net
	}
	if len(first) != want.Payouts || total.Net != want.TotalNet || total.Gross != want.TotalGross {
		t.Errorf("%d payouts, %+v", len(first), total)
	}
	if again := m.Plan(want.Cutoff); len(again) != 0 {
		t.Errorf("the same run again plans %v", again)
	}
	if diff := cmp.Diff(want.NextRun, sumsOf(m.Plan(want.Cutoff.Add(24*time.Hour)))); diff != "" {
		t.Errorf("next run: %s", diff)
	}
}

const header = "payment_id,payee_id,payee_name,phone,amount,currency,method,status,completed_at,paid_reference\n"

func row(id, payee string, amount int64, status, at, paid string) string {
	return fmt.Sprintf("%s,%s,,+22507%08d,%d,XOF,orange_money,%s,%s,%s\n", id, payee, len(payee), amount, status, at, paid)
}

func model(t *testing.T, rows ...string) *oracle.Model {
	t.Helper()
	m := oracle.New(lebenis)
	if err := m.Import(strings.NewReader(header + strings.Join(rows, ""))); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTheCutOff(t *testing.T) {
	for at, due := range map[string]bool{
		"2025-01-24T23:58:59Z": true, "2025-01-24T23:59:00Z": true, "2025-01-25T01:59:00+02:00": true, "2025-01-23T23:59:30Z": true,
		"2025-01-24T23:59:00.5Z": false, "2025-01-24T23:59:30Z": false, "2025-01-25T00:00:00Z": false, "2025-01-01T00:00:00Z": true,
		"2024-12-31T23:59:59Z": false,
	} {
		m := model(t, row("p", "d", 1000, "completed", at, ""))
		if got := len(m.Plan(cutoff)) == 1; got != due {
			t.Errorf("%s: due %v, want %v", at, got, due)
		}
	}
}

func TestWhatIsNotDue(t *testing.T) {
	const at = "2025-01-24T12:00:00Z"
	m := model(t,
		row("pending", "d", 1000, "pending", "", ""), row("processing", "d", 1000, "processing", "", ""), row("failed", "d", 1000, "failed", "", ""),
		row("refunded", "d", 1000, "refunded", at, ""), row("elsewhere", "d", 1000, "completed", at, "OM-1"),
		strings.Replace(row("cash", "d", 1000, "completed", at, ""), "orange_money", "cash", 1))
	if got := m.Plan(cutoff); len(got) != 0 {
		t.Errorf("planned %+v", got[0])
	}
}

func TestBelowTheMinimumIsCarriedOver(t *testing.T) {
	m := model(t, row("p1", "d", 124, "completed", "2025-01-24T12:00:00Z", ""), row("p2", "e", 125, "completed", "2025-01-24T12:00:00Z", ""))
	first := m.Plan(cutoff)
	if !first[0].Skipped || first[0].Net != 99 || first[1].Skipped || first[1].Net != 100 {
		t.Errorf("%+v %+v", first[0], first[1])
	}
	if err := m.Import(strings.NewReader(header + row("p3", "d", 10, "completed", "2025-01-25T12:00:00Z", ""))); err != nil {
		t.Fatal(err)
	}
	next := m.Plan(cutoff.Add(24 * time.Hour))
	if len(next) != 1 || next[0].Net != 107 || next[0].Skipped {
		t.Errorf("%+v", next)
	}
}

func TestRefundsAreTakenOff(t *testing.T) {
	const day, next = "2025-01-24T12:00:00Z", "2025-01-25T12:00:00Z"
	m := model(t, row("paid", "d", 1000, "completed", day, ""), row("elsewhere", "d", 500, "completed", day, "OM-1"), row("unpaid", "d", 300, "completed", next, ""))
	m.Plan(cutoff)
	if err := m.Import(strings.NewReader(header + row("paid", "d", 1000, "refunded", next, "") + row("elsewhere", "d", 500, "refunded", next, "OM-1") +
		row("unpaid", "d", 300, "refunded", next, "") + row("new", "d", 4000, "completed", next, ""))); err != nil {
		t.Fatal(err)
	}
	g := m.Plan(cutoff.Add(24 * time.Hour))[0]
	if diff := cmp.Diff([]string{"elsewhere", "paid"}, g.Refunds); diff != "" || g.Net != 3200-800-400 || len(g.Payments) != 1 {
		t.Errorf("%+v %s", g, diff)
	}
	if again := m.Plan(cutoff.Add(48 * time.Hour)); len(again) != 0 {
		t.Errorf("taken off again: %+v", again[0])
	}
}

func TestFilesThatCannotBe(t *testing.T) {
	const at = "2025-01-24T12:00:00Z"
	for name, rows := range map[string]string{
		"fraction":     strings.Replace(row("p", "d", 1000, "completed", at, ""), ",1000,", ",10.5,", 1),
		"negative":     row("p", "d", -1, "completed", at, ""),
		"currency":     strings.Replace(row("p", "d", 1, "completed", at, ""), "XOF", "XAF", 1),
		"no time":      row("p", "d", 1, "completed", "", ""),
		"other amount": row("p", "d", 1, "completed", at, "") + row("p", "d", 2, "completed", at, ""),
		"backwards":    row("p", "d", 1, "completed", at, "") + row("p", "d", 1, "pending", "", ""),
		"failed after": row("p", "d", 1, "completed", at, "") + row("p", "d", 1, "failed", "", ""),
	} {
		if err := oracle.New(lebenis).Import(strings.NewReader(header + rows)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Commission against the definition of rounding half-up, in another arithmetic: the nearest unit, the greater of two that
// are equally near.
func TestCommissionIsRoundedHalfUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := lebenis
		rules.CommissionBPS, rules.Minimum, rules.MaxPerPayout = rapid.Int64Range(0, 10_000).Draw(t, "bps"), 0, 0
		gross := rapid.OneOf(rapid.Int64Range(1, 20_000), rapid.Int64Range(1, 1<<50)).Draw(t, "gross")
		m := oracle.New(rules)
		if err := m.Import(strings.NewReader(header + row("p", "d", gross, "completed", "2025-01-24T12:00:00Z", ""))); err != nil {
			t.Fatal(err)
		}
		g := m.Plan(cutoff)[0]
		if g.Commission+g.Net != gross {
			t.Fatalf("%+v", g)
		}
		twice := new(big.Int).Mul(big.NewInt(gross), big.NewInt(2*rules.CommissionBPS)) // 20000 × the exact commission
		low := new(big.Int).Sub(new(big.Int).Mul(big.NewInt(g.Commission), big.NewInt(20_000)), big.NewInt(10_000))
		high := new(big.Int).Add(low, big.NewInt(20_000))
		if twice.Cmp(low) < 0 || twice.Cmp(high) >= 0 {
			t.Fatalf("commission %d of %d at %d", g.Commission, gross, rules.CommissionBPS)
		}
	})
}

// perfect plays a system without faults of its own: what it shows after a run must compare equal, and nothing else may.
func perfect(m *oracle.Model, settled bool) oracle.Observed {
	e := m.Expected(settled)
	o := oracle.Observed{}
	claim := map[string]string{}
	for i, g := range e.Groups {
		p := oracle.Payout{
			ID: fmt.Sprintf("payout-%d", i), Payee: g.Payee, PeriodDate: g.PeriodDate, Seq: 1, Gross: g.Gross, Commission: g.Commission, Net: g.Net,
			Items: len(g.Payments) + len(g.Refunds), References: []string{fmt.Sprintf("ref-%d", i)},
		}
		moved := 1
		switch {
		case g.Skipped:
			p.State, p.References = "skipped", nil
		case g.Fate == oracle.Refuses || g.Fate == oracle.RefusesLater && settled:
			p.State, moved = "failed", 0
		case g.Fate == oracle.Vanishes:
			p.State, moved = "manual_review", 0
		case g.Fate == oracle.StaysOpen || g.Fate == oracle.RefusesLater:
			p.State, moved = "processing", 0
		case settled || g.Fate == oracle.Pays:
			p.State = "succeeded"
		case g.Fate == oracle.PaysLater:
			p.State, moved = "processing", 0
		default:
			p.State = "unknown"
		}
		if !g.Skipped {
			o.Book = append(o.Book, oracle.BookEntry{Reference: p.References[0], Peer: g.Peer(), Amount: g.Net, Moved: moved})
		}
		if p.State != "skipped" && p.State != "failed" {
			for _, id := range g.Payments {
				claim[id] = p.ID
			}
		}
		o.Payouts = append(o.Payouts, p)
	}
	for id, p := range e.Payments {
		o.Payments = append(o.Payments, oracle.Payment{ID: id, Payee: p.Payee, Status: p.Status, PayoutID: claim[id], Gross: p.Gross, Commission: p.Commission, Net: p.Net})
	}
	slices.SortFunc(o.Payments, func(a, b oracle.Payment) int { return strings.Compare(a.ID, b.ID) })
	o.Balances = oracle.Balances(e, o.Payouts)
	return o
}

func evening(t *testing.T) *oracle.Model {
	t.Helper()
	const day = "2025-01-24T12:00:00Z"
	m := model(t,
		row("p1", "pays", 1000, "completed", day, ""), row("p2", "pays", 1003, "completed", day, ""), row("p3", "unseen", 2000, "completed", day, ""),
		row("p4", "later", 3000, "completed", day, ""), row("p5", "refused", 4000, "completed", day, ""), row("p6", "vanished", 5000, "completed", day, ""),
		row("p7", "open", 6000, "completed", day, ""), row("p8", "little", 50, "completed", day, ""), row("p9", "elsewhere", 700, "completed", day, "OM-1"))
	m.Fates(map[string]oracle.Fate{
		"unseen": oracle.PaysUnseen, "later": oracle.PaysLater, "refused": oracle.Refuses, "vanished": oracle.Vanishes, "open": oracle.StaysOpen,
	})
	m.Plan(cutoff)
	return m
}

func TestAPerfectEveningHasNoDifferences(t *testing.T) {
	m := evening(t)
	for _, settled := range []bool{false, true} {
		if got := oracle.Compare(m.Expected(settled), perfect(m, settled)); len(got) != 0 {
			t.Errorf("settled %v: %v", settled, got)
		}
	}
	if open := oracle.Unsettled(m.Expected(false), perfect(m, false)); len(open) != 2 {
		t.Errorf("unsettled: %v", open)
	}
	if open := oracle.Unsettled(m.Expected(true), perfect(m, true)); len(open) != 0 {
		t.Errorf("unsettled at the end: %v", open)
	}
}

// Each way in which books can be wrong is seen.
func TestEveryMistakeIsSeen(t *testing.T) {
	for name, mistake := range map[string]func(*oracle.Observed){
		"paid twice":          func(o *oracle.Observed) { o.Book[0].Moved = 2 },
		"not paid, said paid": func(o *oracle.Observed) { o.Book[0].Moved = 0 },
		"paid under another reference": func(o *oracle.Observed) {
			o.Book = append(o.Book, oracle.BookEntry{Reference: "x", Amount: 1, Moved: 1})
		},
		"paid somebody else":            func(o *oracle.Observed) { o.Book[0].Peer = "0799999999" },
		"paid another amount":           func(o *oracle.Observed) { o.Book[0].Amount++ },
		"paid again by another attempt": func(o *oracle.Observed) { again(o, 0) },
		"one reference for two payouts": func(o *oracle.Observed) { o.Payouts[1].References = o.Payouts[0].References },
		"a payout too many": func(o *oracle.Observed) {
			o.Payouts = append(o.Payouts, oracle.Payout{ID: "x", Payee: "pays", PeriodDate: "2025-01-23"})
		},
		"a second payout of the day":       func(o *oracle.Observed) { o.Payouts = append(o.Payouts, o.Payouts[0]) },
		"a payout too few":                 func(o *oracle.Observed) { o.Payouts = o.Payouts[1:] },
		"a franc lost":                     func(o *oracle.Observed) { o.Payouts[0].Net-- },
		"commission one off":               func(o *oracle.Observed) { o.Payouts[0].Net++; o.Payouts[0].Commission-- },
		"an item more":                     func(o *oracle.Observed) { o.Payouts[0].Items++ },
		"a payment in the wrong payout":    func(o *oracle.Observed) { o.Payments[0].PayoutID = "payout-0" },
		"a payment let go":                 func(o *oracle.Observed) { o.Payments[0].PayoutID = "" },
		"a payment missing":                func(o *oracle.Observed) { o.Payments = o.Payments[1:] },
		"a payment twice":                  func(o *oracle.Observed) { o.Payments = append(o.Payments, o.Payments[0]) },
		"a payment from nowhere":           func(o *oracle.Observed) { o.Payments[0].ID = "x" },
		"a status":                         func(o *oracle.Observed) { o.Payments[0].Status = "failed" },
		"the ledger does not balance":      func(o *oracle.Observed) { o.Balances["commission"]++ },
		"the ledger is wrong and balances": func(o *oracle.Observed) { o.Balances["suspense"]++; o.Balances["collections"]-- },
	} {
		for _, settled := range []bool{false, true} {
			m := evening(t)
			o := perfect(m, settled)
			pays := slices.IndexFunc(o.Payouts, func(p oracle.Payout) bool { return p.Payee == "pays" })
			o.Payouts[0], o.Payouts[pays] = o.Payouts[pays], o.Payouts[0]
			booked := slices.IndexFunc(o.Book, func(b oracle.BookEntry) bool { return b.Reference == o.Payouts[0].References[0] })
			o.Book[0], o.Book[booked] = o.Book[booked], o.Book[0]
			mistake(&o)
			if len(oracle.Compare(m.Expected(settled), o)) == 0 {
				t.Errorf("%s (settled %v): not seen", name, settled)
			}
		}
	}
}

func TestADoublePaymentIsCalledByItsName(t *testing.T) {
	m := evening(t)
	o := perfect(m, true)
	for i := range o.Book {
		if o.Book[i].Moved == 1 {
			o.Book[i].Moved = 2
			break
		}
	}
	for _, d := range oracle.Compare(m.Expected(true), o) {
		if strings.HasPrefix(d.Where, "provider's book ref-") && d.Want == "money moved once" && d.Got == "2 times" {
			return
		}
	}
	t.Error("a double payment has no difference of its own")
}

func again(o *oracle.Observed, i int) {
	o.Payouts[i].References = append(o.Payouts[i].References, "again")
	e := o.Book[i]
	e.Reference = "again"
	o.Book = append(o.Book, e)
}

// Every state that a payout could wrongly be in is seen, for every fate.
func TestWrongStatesAreSeen(t *testing.T) {
	right := map[string][]string{
		"pays": {"succeeded"}, "unseen": {"succeeded"}, "later": {"succeeded"}, "little": {"skipped"},
		"refused": {"failed", "approved", "submitting"}, "vanished": {"unknown", "manual_review"}, "open": {"processing", "manual_review"},
	}
	states := []string{
		"created", "skipped", "awaiting_approval", "approved", "rejected", "held", "submitting", "processing", "unknown",
		"manual_review", "succeeded", "failed", "reversed", "cancelled",
	}
	m := evening(t)
	e := m.Expected(true)
	for i, g := range e.Groups {
		for _, state := range states {
			o := perfect(m, true)
			o.Payouts[i].State = state
			o.Balances = oracle.Balances(e, o.Payouts)
			ok := !slices.ContainsFunc(oracle.Compare(e, o), func(d oracle.Difference) bool { return strings.Contains(d.Want, "one of") })
			if want := slices.Contains(right[g.Payee], state); ok != want {
				t.Errorf("%s %s: accepted %v, want %v", g.Payee, state, ok, want)
			}
		}
	}
}

// A failed payout that gave its payments back is paid by the next run; one that keeps them is not.
func TestNextRunAfterAFailure(t *testing.T) {
	m := evening(t)
	kept := perfect(m, true)
	for i := range kept.Payments {
		if kept.Payments[i].ID == "p5" {
			kept.Payments[i].PayoutID = "payout-5"
		}
	}
	m.Adopt(kept)
	if got := m.Plan(cutoff.Add(24 * time.Hour)); len(got) != 1 || got[0].Payee != "little" {
		t.Errorf("kept: %+v", got)
	}
	m = evening(t)
	m.Adopt(perfect(m, true))
	if got := m.Plan(cutoff.Add(24 * time.Hour)); len(got) != 2 || got[1].Payee != "refused" || got[1].Net != 3200 {
		t.Errorf("given back: %+v", got)
	}
}
