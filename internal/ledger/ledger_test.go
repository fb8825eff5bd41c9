package ledger_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var evening = time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC)

func xof(minor int64) money.Amount { return money.Amount{Minor: minor, Currency: "XOF"} }

func completed(payment, payee string, net, commission int64) []ledger.Posting {
	p := ledger.Posting{Tenant: "lebenis", Kind: "payment.completed", Ref: payment, Debit: ledger.Collections, OccurredAt: evening}
	toPayee, toUs := p, p
	toPayee.Credit, toPayee.Amount = ledger.Payable(payee), xof(net)
	toUs.Leg, toUs.Credit, toUs.Amount = 1, ledger.Commission, xof(commission)
	return []ledger.Posting{toPayee, toUs}
}

func post(t testing.TB, pool *pgxpool.Pool, postings ...ledger.Posting) error {
	t.Helper()
	return pg.InTx(t.Context(), pool, func(tx pgx.Tx) error { return ledger.Post(t.Context(), tx, postings...) })
}

func mustPost(t testing.TB, pool *pgxpool.Pool, postings ...ledger.Posting) {
	t.Helper()
	if err := post(t, pool, postings...); err != nil {
		t.Fatal(err)
	}
}

func balances(t testing.TB, pool *pgxpool.Pool, prefix string) map[string]int64 {
	t.Helper()
	list, err := ledger.Balances(t.Context(), pool, "lebenis", prefix, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]int64{}
	for _, b := range list {
		m[b.Account+" "+string(b.Currency)] = b.Net()
	}
	return m
}

func TestPostBooksOnceWhateverRepeats(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, ledger.Migrations)
	want := map[string]int64{"collections XOF": 30000, "commission XOF": -6000, "payable:kouassi XOF": -24000}
	both := completed("p1", "kouassi", 24000, 6000)
	for range 3 {
		mustPost(t, pool, both...)
		mustPost(t, pool, append(both, both[1])...) // twice in one call
		later := both[0]
		later.OccurredAt = evening.Add(time.Hour) // told again later: the same fact
		mustPost(t, pool, later)
	}
	mustPost(t, pool)
	if diff := cmp.Diff(want, balances(t, pool, "")); diff != "" {
		t.Error(diff)
	}
}

func TestPostRefusesAnotherStoryOfTheSameFact(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, ledger.Migrations)
	told := completed("p1", "kouassi", 24000, 6000)
	mustPost(t, pool, told...)
	before := balances(t, pool, "")
	for name, change := range map[string]func(*ledger.Posting){
		"amount":   func(p *ledger.Posting) { p.Amount.Minor++ },
		"currency": func(p *ledger.Posting) { p.Amount.Currency = "BRL" },
		"debit":    func(p *ledger.Posting) { p.Debit = ledger.Suspense },
		"credit":   func(p *ledger.Posting) { p.Credit = ledger.Payable("yao") },
	} {
		other := told[0]
		change(&other)
		fresh := completed("p2", "yao", 1, 1)
		if err := post(t, pool, append(fresh, other)...); !errors.Is(err, ledger.ErrDiffers) {
			t.Errorf("another %s: error %v, want ErrDiffers", name, err)
		}
		if err := post(t, pool, told[1], other, told[0]); !errors.Is(err, ledger.ErrDiffers) {
			t.Errorf("another %s beside the first one in one call: error %v, want ErrDiffers", name, err)
		}
	}
	if diff := cmp.Diff(before, balances(t, pool, "")); diff != "" {
		t.Errorf("refused postings left traces: %s", diff)
	}
}

// A comparison in the same statement would not see what another transaction commits while we wait for it.
func TestPostSeesAContradictionThatCommitsMeanwhile(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, ledger.Migrations)
	first, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	told := completed("p1", "kouassi", 24000, 6000)
	if err := ledger.Post(t.Context(), first, told...); err != nil {
		t.Fatal(err)
	}
	same, other := make(chan error, 1), make(chan error, 1)
	go func() { same <- post(t, pool, told...) }()
	go func() { other <- post(t, pool, completed("p1", "kouassi", 23999, 6001)...) }()
	for waiting := 0; waiting < 2; {
		if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
			AND application_name = current_setting('application_name')`).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-same; err != nil {
		t.Errorf("the same story: %v", err)
	}
	if err := <-other; !errors.Is(err, ledger.ErrDiffers) {
		t.Errorf("another story: error %v, want ErrDiffers", err)
	}
}

func TestPostRefusesWhatIsNoEntry(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, ledger.Migrations)
	good := completed("p1", "kouassi", 24000, 6000)[0]
	for name, spoil := range map[string]func(*ledger.Posting){
		"zero":            func(p *ledger.Posting) { p.Amount.Minor = 0 },
		"negative":        func(p *ledger.Posting) { p.Amount.Minor = -1 },
		"no currency":     func(p *ledger.Posting) { p.Amount.Currency = "" },
		"one account":     func(p *ledger.Posting) { p.Credit = p.Debit },
		"no account":      func(p *ledger.Posting) { p.Credit = "" },
		"no tenant":       func(p *ledger.Posting) { p.Tenant = "" },
		"no ref":          func(p *ledger.Posting) { p.Ref = "" },
		"no time":         func(p *ledger.Posting) { p.OccurredAt = time.Time{} },
		"leg beyond 2^30": func(p *ledger.Posting) { p.Leg = 1 << 40 },
	} {
		bad := good
		spoil(&bad)
		if err := post(t, pool, good, bad); err == nil {
			t.Errorf("%s: posted", name)
		}
	}
	if got := balances(t, pool, ""); len(got) != 0 {
		t.Errorf("refused calls booked %v", got)
	}
}

func TestNobodyChangesTheBooks(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, ledger.Migrations)
	mustPost(t, pool, completed("p1", "kouassi", 24000, 6000)...)
	for _, statement := range []string{
		"UPDATE ledger_postings SET amount = amount + 1",
		"UPDATE ledger_postings SET occurred_at = now()",
		"DELETE FROM ledger_postings",
		"TRUNCATE ledger_postings",
		"INSERT INTO ledger_postings (tenant, kind, ref, leg, debit, credit, currency, amount, occurred_at) VALUES ('t', 'k', 'r', 0, 'a', 'b', 'XOF', -5, now())",
	} {
		if _, err := pool.Exec(t.Context(), statement); err == nil {
			t.Errorf("allowed: %s", statement)
		}
	}
	want := map[string]int64{"collections XOF": 30000, "commission XOF": -6000, "payable:kouassi XOF": -24000}
	if diff := cmp.Diff(want, balances(t, pool, "")); diff != "" {
		t.Error(diff)
	}
}

func TestBalancesPageByAccount(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, ledger.Migrations)
	var all []ledger.Posting
	for i := range 25 {
		all = append(all, completed(fmt.Sprintf("p%d", i), fmt.Sprintf("driver-%02d", i%10), 80, 20)...)
	}
	brl := completed("b1", "driver-03", 7, 3)[0]
	brl.Amount.Currency = "BRL"
	foreign := completed("x", "driver-00", 1, 1)
	foreign[0].Tenant, foreign[1].Tenant = "wallclub", "wallclub"
	mustPost(t, pool, append(append(all, brl), foreign...)...)

	var got []string
	for after := ""; ; {
		page, err := ledger.Balances(t.Context(), pool, "lebenis", "payable:", after, 4)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, b := range page {
			got = append(got, fmt.Sprintf("%s %s %d/%d", b.Account, b.Currency, b.Debits, b.Credits))
		}
		after = page[len(page)-1].Account
	}
	var want []string
	for i := range 10 {
		if i == 3 {
			want = append(want, "payable:driver-03 BRL 0/7")
		}
		n := 2
		if i < 5 {
			n = 3
		}
		want = append(want, fmt.Sprintf("payable:driver-%02d XOF 0/%d", i, 80*n))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPostingsByAccountRefAndAll(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, ledger.Migrations)
	var want []ledger.Posting
	for i := range 6 {
		want = append(want, completed(fmt.Sprintf("p%d", i), "kouassi", 80, 20)...)
	}
	back := ledger.Posting{
		Tenant: "lebenis", Kind: "payment.refunded", Ref: "p3", Debit: ledger.Payable("kouassi"), Credit: ledger.Collections,
		Amount: xof(80), OccurredAt: evening,
	}
	want = append(want, back)
	for _, p := range want {
		mustPost(t, pool, p)
	}
	for name, tc := range map[string]struct {
		filter ledger.Filter
		keep   func(ledger.Posting) bool
	}{
		"all":        {ledger.Filter{}, func(ledger.Posting) bool { return true }},
		"ref":        {ledger.Filter{Ref: "p3"}, func(p ledger.Posting) bool { return p.Ref == "p3" }},
		"both sides": {ledger.Filter{Account: ledger.Collections}, func(ledger.Posting) bool { return true }},
		"account": {ledger.Filter{Account: ledger.Payable("kouassi")}, func(p ledger.Posting) bool {
			return p.Credit == "payable:kouassi" || p.Debit == "payable:kouassi"
		}},
		"nothing": {ledger.Filter{Account: "payable:koua"}, func(ledger.Posting) bool { return false }},
	} {
		var expected, got []ledger.Posting
		for _, p := range want {
			if tc.keep(p) {
				expected = append(expected, p)
			}
		}
		f := tc.filter
		f.Tenant, f.Limit = "lebenis", 2
		for {
			page, err := ledger.Postings(t.Context(), pool, f)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				got = append(got, e.Posting)
			}
			f.After = page[len(page)-1].ID
		}
		if diff := cmp.Diff(expected, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if _, err := ledger.Postings(t.Context(), pool, ledger.Filter{Tenant: "lebenis", Account: "a", Ref: "b", Limit: 1}); err == nil {
		t.Error("account and ref together: no error")
	}
}
