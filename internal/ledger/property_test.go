package ledger_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pg/pgtest"
)

// book is the oracle: what the ledger should hold, kept in a map.
type book map[string]ledger.Posting

func (b book) balances(tenant string) map[string]int64 {
	m := map[string]int64{}
	for _, p := range b {
		if p.Tenant == tenant {
			m[p.Debit+" "+string(p.Amount.Currency)] += p.Amount.Minor
			m[p.Credit+" "+string(p.Amount.Currency)] -= p.Amount.Minor
		}
	}
	return m
}

// Any sequence of postings and repetitions keeps the books equal to the set of distinct facts, and balanced; a posting
// that contradicts an earlier one changes nothing.
func TestBooksAreTheSetOfDistinctFacts(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, ledger.Migrations)
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		tenant := fmt.Sprintf("tenant-%d", run)
		facts := book{}
		for range rapid.IntRange(1, 12).Draw(rt, "calls") {
			batch := rapid.SliceOfN(postingOf(tenant), 0, 8).Draw(rt, "batch")
			next, contradicts := facts.with(batch)
			err := post(t, pool, batch...)
			if errors.Is(err, ledger.ErrDiffers) != contradicts {
				rt.Fatalf("contradicts %v, error %v", contradicts, err)
			}
			if err != nil && !contradicts {
				rt.Fatal(err)
			}
			if !contradicts {
				facts = next
			}
		}
		check(rt, t, pool, tenant, facts)
	})
}

func (b book) with(batch []ledger.Posting) (book, bool) {
	next := book{}
	for k, p := range b {
		next[k] = p
	}
	for _, p := range batch {
		k := fmt.Sprintf("%s/%s/%d", p.Kind, p.Ref, p.Leg)
		if old, ok := next[k]; ok && (old.Debit != p.Debit || old.Credit != p.Credit || old.Amount != p.Amount) {
			return b, true
		}
		next[k] = p
	}
	return next, false
}

// postingOf draws from so few facts that repetitions and contradictions are common.
func postingOf(tenant string) *rapid.Generator[ledger.Posting] {
	accounts := []string{ledger.Collections, ledger.Treasury, ledger.Commission, ledger.Payable("a"), ledger.Payable("b"), ledger.InTransit("orange")}
	return rapid.Custom(func(rt *rapid.T) ledger.Posting {
		i := rapid.IntRange(0, 11).Draw(rt, "fact")
		debit := i % len(accounts)
		credit := (debit + 1 + i%3) % len(accounts)
		amount := int64(1000 * (i + 1))
		if rapid.IntRange(0, 9).Draw(rt, "contradiction") == 0 {
			amount++
		}
		currency := money.Currency("XOF")
		if i%4 == 3 {
			currency = "BRL"
		}
		return ledger.Posting{
			Tenant: tenant, Kind: fmt.Sprintf("kind.%d", i%2), Ref: fmt.Sprintf("ref-%d", i/4), Leg: i % 4,
			Debit: accounts[debit], Credit: accounts[credit], Amount: money.Amount{Minor: amount, Currency: currency}, OccurredAt: evening,
		}
	})
}

func check(rt *rapid.T, t *testing.T, pool *pgxpool.Pool, tenant string, facts book) {
	list, err := ledger.Balances(t.Context(), pool, tenant, "", "", 100)
	if err != nil {
		rt.Fatal(err)
	}
	got := map[string]int64{}
	total := map[money.Currency]int64{}
	for _, b := range list {
		got[b.Account+" "+string(b.Currency)] = b.Net()
		total[b.Currency] += b.Net()
	}
	if diff := cmp.Diff(facts.balances(tenant), got); diff != "" {
		rt.Fatalf("balances (-oracle +ledger):\n%s", diff)
	}
	for currency, net := range total {
		if net != 0 {
			rt.Fatalf("books lean by %d %s", net, currency)
		}
	}
}
