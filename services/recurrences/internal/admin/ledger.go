package admin

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/rpc"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/admin/db"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// ListBalances lists accounts by name.
func (s *Server) ListBalances(ctx context.Context, r *recurrencesv1.ListBalancesRequest) (*recurrencesv1.ListBalancesResponse, error) {
	after, err := afterID(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := rpc.PageSize(r.GetPageSize())
	all, err := ledger.Balances(ctx, s.Pool, r.GetTenant(), r.GetAccountPrefix(), after, size)
	if err != nil {
		return nil, err
	}
	resp, accounts, last := &recurrencesv1.ListBalancesResponse{}, 0, ""
	for _, b := range all {
		resp.Items = append(resp.Items, balance(b))
		if b.Account != last {
			accounts, last = accounts+1, b.Account
		}
	}
	if accounts == size {
		resp.NextPageToken = rpc.PageToken(last)
	}
	return resp, nil
}

func balance(b ledger.Balance) *recurrencesv1.Balance {
	c := string(b.Currency)
	return &recurrencesv1.Balance{Account: b.Account, Debit: amount(b.Debits, c), Credit: amount(b.Credits, c), Balance: amount(b.Net(), c)}
}

// ListPostings lists postings of an account, of a reference, or all, in the order of writing.
func (s *Server) ListPostings(ctx context.Context, r *recurrencesv1.ListPostingsRequest) (*recurrencesv1.ListPostingsResponse, error) {
	if r.GetAccount() != "" && r.GetRef() != "" {
		return nil, rpc.Invalid("ref", "choose an account or a reference, not both")
	}
	f := ledger.Filter{Tenant: r.GetTenant(), Account: r.GetAccount(), Ref: r.GetRef(), Limit: rpc.PageSize(r.GetPageSize())}
	key, err := rpc.ParsePageToken(r.GetPageToken(), 1)
	if err != nil {
		return nil, err
	}
	if key != nil {
		if f.After, err = strconv.ParseInt(key[0], 10, 64); err != nil {
			return nil, rpc.Invalid("page_token", "not one of ours")
		}
	}
	entries, err := ledger.Postings(ctx, s.Pool, f)
	if err != nil {
		return nil, err
	}
	resp := &recurrencesv1.ListPostingsResponse{Items: make([]*recurrencesv1.Posting, len(entries))}
	for i, e := range entries {
		resp.Items[i] = &recurrencesv1.Posting{
			Id: strconv.FormatInt(e.ID, 10), Kind: e.Kind, Debit: e.Debit, Credit: e.Credit, Amount: store.MoneyProto(e.Amount), Ref: e.Ref,
			OccurredAt: timestamppb.New(e.OccurredAt),
		}
	}
	if len(entries) == f.Limit {
		resp.NextPageToken = rpc.PageToken(strconv.FormatInt(entries[len(entries)-1].ID, 10))
	}
	return resp, nil
}

// maxFindings bounds the answer of VerifyLedger: whoever has more has one cause, not many.
const maxFindings = 1000

// VerifyLedger recomputes every account and names the differences.
func (s *Server) VerifyLedger(ctx context.Context, r *recurrencesv1.VerifyLedgerRequest) (*recurrencesv1.VerifyLedgerResponse, error) {
	resp := &recurrencesv1.VerifyLedgerResponse{}
	err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		q := db.New(tx)
		rows, err := q.VerifyLedger(ctx, db.VerifyLedgerParams{Tenant: r.GetTenant(), PageLimit: maxFindings})
		if err != nil {
			return fmt.Errorf("verify ledger of %s: %w", r.GetTenant(), err)
		}
		resp.Findings = make([]*recurrencesv1.LedgerFinding, len(rows))
		for i, f := range rows {
			resp.Findings[i] = &recurrencesv1.LedgerFinding{
				Account: f.Account, Expected: amount(f.Expected, f.Currency), Found: amount(f.Found, f.Currency), Explanation: source(f.Account),
			}
		}
		resp.Balanced = len(rows) == 0
		resp.Postings, err = q.CountPostings(ctx, r.GetTenant())
		return err
	})
	return resp, err
}

// source says what an account is recomputed from, so that a person knows where to look.
func source(account string) string {
	kind, _, _ := strings.Cut(account, ":")
	from := map[string]string{
		ledger.Fees:          "fees of attempts that succeeded",
		ledger.Suspense:      "differences of reconciliation findings",
		"gateway_receivable": "amounts of attempts that succeeded, less their fees, and reconciliation findings",
		"seller_payable":     "amounts of the seller's charges that succeeded",
	}[kind]
	if from == "" {
		return "nothing of charges or attempts belongs to this account"
	}
	return "expected from: " + from
}
