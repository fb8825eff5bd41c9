package ledger

import (
	"context"
	"fmt"

	"github.com/agogopay/agogo/internal/ledger/db"
	"github.com/agogopay/agogo/internal/money"
)

// Difference is an account whose net is not what the facts say.
type Difference struct {
	Account  string
	Currency money.Currency
	Expected int64
	Found    int64
}

// Verify recomputes every account of a tenant from the view ledger_facts, which the service that keeps the books defines, and
// returns at most limit accounts that differ, by name, and how many postings there are.
func Verify(ctx context.Context, conn db.DBTX, tenant string, limit int) (all []Difference, postings int64, err error) {
	q := db.New(conn)
	rows, err := q.Differences(ctx, db.DifferencesParams{Tenant: tenant, Size: int32(limit)})
	if err != nil {
		return nil, 0, fmt.Errorf("verify ledger of %s: %w", tenant, err)
	}
	for _, r := range rows {
		all = append(all, Difference{Account: r.Account, Currency: money.Currency(r.Currency), Expected: r.Expected, Found: r.Found})
	}
	if postings, err = q.CountPostings(ctx, tenant); err != nil {
		return nil, 0, fmt.Errorf("count postings of %s: %w", tenant, err)
	}
	return all, postings, nil
}
