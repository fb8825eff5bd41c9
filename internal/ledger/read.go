package ledger

import (
	"context"
	"fmt"

	"github.com/agogopay/agogo/internal/ledger/db"
	"github.com/agogopay/agogo/internal/money"
)

// Balance is what was debited and credited to an account in one currency.
type Balance struct {
	Account  string
	Currency money.Currency
	Debits   int64
	Credits  int64
}

// Net is debits minus credits: positive for what the tenant has, negative for what it owes or has earned.
func (b Balance) Net() int64 { return b.Debits - b.Credits }

// Balances lists the accounts whose names begin with prefix, in order of their names, after the one given ("": from the
// beginning), at most limit accounts; an account used in several currencies has one entry for each.
func Balances(ctx context.Context, conn db.DBTX, tenant, prefix, after string, limit int) ([]Balance, error) {
	rows, err := db.New(conn).Balances(ctx, db.BalancesParams{Tenant: tenant, Prefix: prefix, After: after, Size: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("balances of %s: %w", tenant, err)
	}
	balances := make([]Balance, len(rows))
	for i, r := range rows {
		balances[i] = Balance{Account: r.Account, Currency: money.Currency(r.Currency), Debits: r.Debits, Credits: r.Credits}
	}
	return balances, nil
}

// Filter chooses postings of one tenant: of an account, of a ref, or all.
type Filter struct {
	Tenant  string
	Account string // exact; not together with Ref
	Ref     string // exact
	After   int64  // the ID of the last entry of the page before
	Limit   int
}

// Entry is a posting as it stands in the books; ids rise in the order of writing.
type Entry struct {
	ID int64
	Posting
}

// Postings lists entries in the order of writing. Of transactions that commit at the same time a later one may carry a
// lower id, so a reader who follows the books as they grow must look back; for pages of what happened it does not matter.
func Postings(ctx context.Context, conn db.DBTX, f Filter) ([]Entry, error) {
	rows, err := find(ctx, db.New(conn), f)
	if err != nil {
		return nil, fmt.Errorf("postings of %s: %w", f.Tenant, err)
	}
	entries := make([]Entry, len(rows))
	for i, r := range rows {
		entries[i] = Entry{ID: r.PostingID, Posting: Posting{
			Tenant: r.Tenant, Kind: r.Kind, Ref: r.Ref, Leg: int(r.Leg), Debit: r.Debit, Credit: r.Credit,
			Amount: money.Amount{Minor: r.Amount, Currency: money.Currency(r.Currency)}, OccurredAt: r.OccurredAt.UTC(),
		}}
	}
	return entries, nil
}

func find(ctx context.Context, q *db.Queries, f Filter) ([]db.LedgerPosting, error) {
	size := int32(f.Limit)
	switch {
	case f.Account != "" && f.Ref != "":
		return nil, fmt.Errorf("account %s and ref %s: choose one", f.Account, f.Ref)
	case f.Account != "":
		return q.PostingsOfAccount(ctx, db.PostingsOfAccountParams{Tenant: f.Tenant, Account: f.Account, After: f.After, Size: size})
	case f.Ref != "":
		return q.PostingsOfRef(ctx, db.PostingsOfRefParams{Tenant: f.Tenant, Ref: f.Ref, After: f.After, Size: size})
	}
	return q.AllPostings(ctx, db.AllPostingsParams{Tenant: f.Tenant, After: f.After, Size: size})
}
