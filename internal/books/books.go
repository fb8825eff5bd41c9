// Package books serves agogo.ledger.v1 for a service that keeps books: its accounts, its postings, and whether they say what
// the service's other tables say.
package books

import (
	"context"
	"maps"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/rpc"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	ledgerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/ledger/v1"
)

// Sources says what the service's view ledger_facts computes an account from, so that a person knows where to look. Accounts
// of a kind, which is what stands before a colon, have one source.
type Sources map[string]string

// WithPolicy adds to a service's policy the roles of what [Register] serves.
func WithPolicy(own auth.Policy) auth.Policy {
	all := auth.Policy{
		ledgerv1.LedgerService_ListBalances_FullMethodName: auth.Viewer,
		ledgerv1.LedgerService_ListPostings_FullMethodName: auth.Viewer,
		ledgerv1.LedgerService_VerifyLedger_FullMethodName: auth.Viewer,
	}
	maps.Copy(all, own)
	return all
}

// Register serves the books that pool's schema holds.
func Register(s grpc.ServiceRegistrar, pool *pgxpool.Pool, sources Sources) {
	ledgerv1.RegisterLedgerServiceServer(s, &server{pool: pool, sources: sources})
}

type server struct {
	ledgerv1.UnsafeLedgerServiceServer // a method that is missing does not compile
	pool                               *pgxpool.Pool
	sources                            Sources
}

func (s *server) ListBalances(ctx context.Context, r *ledgerv1.ListBalancesRequest) (*ledgerv1.ListBalancesResponse, error) {
	after, err := rpc.ParsePageKey(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := rpc.PageSize(r.GetPageSize())
	all, err := ledger.Balances(ctx, s.pool, r.GetTenant(), r.GetAccountPrefix(), after, size)
	if err != nil {
		return nil, err
	}
	resp, accounts, last := &ledgerv1.ListBalancesResponse{}, 0, ""
	for _, b := range all {
		resp.Items = append(resp.Items, Balance(b))
		if b.Account != last {
			accounts, last = accounts+1, b.Account
		}
	}
	if accounts == size {
		resp.NextPageToken = rpc.PageToken(last)
	}
	return resp, nil
}

// Balance is a balance as callers see it.
func Balance(b ledger.Balance) *ledgerv1.Balance {
	return &ledgerv1.Balance{
		Account: b.Account, Debit: amount(b.Debits, b.Currency), Credit: amount(b.Credits, b.Currency), Balance: amount(b.Net(), b.Currency),
	}
}

func amount(minor int64, c money.Currency) *eventsv1.Money {
	return &eventsv1.Money{Minor: minor, Currency: string(c)}
}

func (s *server) ListPostings(ctx context.Context, r *ledgerv1.ListPostingsRequest) (*ledgerv1.ListPostingsResponse, error) {
	if r.GetAccount() != "" && r.GetRef() != "" {
		return nil, rpc.Invalid("ref", "choose an account or a reference, not both")
	}
	f := ledger.Filter{Tenant: r.GetTenant(), Account: r.GetAccount(), Ref: r.GetRef(), Limit: rpc.PageSize(r.GetPageSize())}
	key, err := rpc.ParsePageKey(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	if key != "" {
		if f.After, err = strconv.ParseInt(key, 10, 64); err != nil {
			return nil, rpc.Invalid("page_token", "not one of ours")
		}
	}
	entries, err := ledger.Postings(ctx, s.pool, f)
	if err != nil {
		return nil, err
	}
	resp := &ledgerv1.ListPostingsResponse{Items: make([]*ledgerv1.Posting, len(entries))}
	for i, e := range entries {
		resp.Items[i] = posting(e)
	}
	if len(entries) == f.Limit {
		resp.NextPageToken = rpc.PageToken(resp.Items[len(entries)-1].GetId())
	}
	return resp, nil
}

func posting(e ledger.Entry) *ledgerv1.Posting {
	return &ledgerv1.Posting{
		Id: strconv.FormatInt(e.ID, 10), Kind: e.Kind, Debit: e.Debit, Credit: e.Credit, Amount: amount(e.Amount.Minor, e.Amount.Currency),
		Ref: e.Ref, OccurredAt: timestamppb.New(e.OccurredAt),
	}
}

// maxFindings bounds the answer of VerifyLedger: whoever has more has one cause, not many.
const maxFindings = 1000

func (s *server) VerifyLedger(ctx context.Context, r *ledgerv1.VerifyLedgerRequest) (*ledgerv1.VerifyLedgerResponse, error) {
	differences, postings, err := ledger.Verify(ctx, s.pool, r.GetTenant(), maxFindings)
	if err != nil {
		return nil, err
	}
	resp := &ledgerv1.VerifyLedgerResponse{Balanced: len(differences) == 0, Postings: postings}
	for _, d := range differences {
		resp.Findings = append(resp.Findings, &ledgerv1.Finding{
			Account: d.Account, Expected: amount(d.Expected, d.Currency), Found: amount(d.Found, d.Currency), Explanation: s.sources.of(d.Account),
		})
	}
	return resp, nil
}

func (s Sources) of(account string) string {
	kind, _, _ := strings.Cut(account, ":")
	if from := s[kind]; from != "" {
		return "expected from: " + from
	}
	return "nothing that the service sent or received belongs to this account"
}
