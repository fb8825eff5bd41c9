package admin

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/mutation"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/rpc"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/admin/db"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// kindTopUp is the kind of a top-up's posting, whose only record is the posting.
const kindTopUp = "float.topped_up"

// ListBalances lists accounts by name.
func (s *Server) ListBalances(ctx context.Context, r *payoutsv1.ListBalancesRequest) (*payoutsv1.ListBalancesResponse, error) {
	after, err := afterID(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := rpc.PageSize(r.GetPageSize())
	all, err := ledger.Balances(ctx, s.Pool, r.GetTenant(), r.GetAccountPrefix(), after, size)
	if err != nil {
		return nil, err
	}
	resp, accounts, last := &payoutsv1.ListBalancesResponse{}, 0, ""
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

func balance(b ledger.Balance) *payoutsv1.Balance {
	c := string(b.Currency)
	return &payoutsv1.Balance{Account: b.Account, Debit: amount(b.Debits, c), Credit: amount(b.Credits, c), Balance: amount(b.Net(), c)}
}

// ListPostings lists postings of an account, of a reference, or all, in the order of writing.
func (s *Server) ListPostings(ctx context.Context, r *payoutsv1.ListPostingsRequest) (*payoutsv1.ListPostingsResponse, error) {
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
	resp := &payoutsv1.ListPostingsResponse{Items: make([]*payoutsv1.Posting, len(entries))}
	for i, e := range entries {
		resp.Items[i] = &payoutsv1.Posting{
			Id: strconv.FormatInt(e.ID, 10), Kind: e.Kind, Debit: e.Debit, Credit: e.Credit, Amount: store.MoneyProto(e.Amount), Ref: e.Ref,
			OccurredAt: timestamppb.New(e.OccurredAt),
		}
	}
	if len(entries) == f.Limit {
		resp.NextPageToken = rpc.PageToken(strconv.FormatInt(entries[len(entries)-1].ID, 10))
	}
	return resp, nil
}

// TopUpFloat books money sent to a provider. The same reference again changes nothing.
func (s *Server) TopUpFloat(ctx context.Context, r *payoutsv1.TopUpFloatRequest) (*payoutsv1.TopUpFloatResponse, error) {
	t, err := s.tenant(r.GetTenant())
	if err != nil {
		return nil, err
	}
	connector, ok := t.Providers[r.GetProvider()]
	if !ok {
		return nil, rpc.NotFound("provider", r.GetProvider())
	}
	if r.GetCurrency() != string(t.Currency) {
		return nil, rpc.Invalid("currency", "%s keeps its float in %s; what moved in another currency is recorded as what arrived", t.ID, t.Currency)
	}
	sum := money.Amount{Minor: r.GetAmountMinor(), Currency: t.Currency}
	m := mutation.Mutation{Tenant: t.ID, Action: "TopUpFloat", Target: r.GetProvider(), Detail: sum.Decimal() + " " + string(sum.Currency) + " " + r.GetReference()}
	out := &payoutsv1.TopUpFloatResponse{}
	err = s.mutate(ctx, m, out, func(tx pgx.Tx) (proto.Message, error) {
		float := ledger.Float(r.GetProvider())
		err := ledger.Post(ctx, tx, ledger.Posting{
			Tenant: t.ID, Kind: kindTopUp, Ref: r.GetProvider() + "/" + r.GetReference(), Debit: float, Credit: ledger.Treasury, Amount: sum,
			OccurredAt: s.Clock.Now(),
		})
		if errors.Is(err, ledger.ErrDiffers) {
			return nil, rpc.Refused("REFERENCE_USED", "use the bank transfer's own reference", "reference %s is booked with another amount", r.GetReference())
		}
		if err != nil {
			return nil, err
		}
		c := provider.Connector{Tenant: t.ID, Provider: r.GetProvider(), Kind: connector.Kind}
		if _, err := s.Connectors.FloatRestored(ctx, tx, c); err != nil {
			return nil, fmt.Errorf("wake connector %s/%s: %w", t.ID, r.GetProvider(), err)
		}
		return &payoutsv1.TopUpFloatResponse{}, nil
	})
	if err != nil {
		return nil, err
	}
	// The sum of an account grows with its history: it is read when nobody waits for the connector's row any more.
	b, err := floatBalance(ctx, s.Pool, t.ID, ledger.Float(r.GetProvider()), t.Currency)
	if err != nil {
		return nil, err
	}
	out.Balance = balance(b)
	return out, nil
}

func floatBalance(ctx context.Context, pool *pgxpool.Pool, tenant, account string, c money.Currency) (ledger.Balance, error) {
	all, err := ledger.Balances(ctx, pool, tenant, account, "", 1)
	if err != nil {
		return ledger.Balance{}, err
	}
	for _, b := range all {
		if b.Account == account && b.Currency == c {
			return b, nil
		}
	}
	return ledger.Balance{Account: account, Currency: c}, nil
}

// maxFindings bounds the answer of VerifyLedger: whoever has more has one cause, not many.
const maxFindings = 1000

// VerifyLedger recomputes every account and names the differences.
func (s *Server) VerifyLedger(ctx context.Context, r *payoutsv1.VerifyLedgerRequest) (*payoutsv1.VerifyLedgerResponse, error) {
	resp := &payoutsv1.VerifyLedgerResponse{}
	err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		q := db.New(tx)
		rows, err := q.VerifyLedger(ctx, db.VerifyLedgerParams{Tenant: r.GetTenant(), TopUpKind: kindTopUp, PageLimit: maxFindings})
		if err != nil {
			return fmt.Errorf("verify ledger of %s: %w", r.GetTenant(), err)
		}
		resp.Findings = make([]*payoutsv1.LedgerFinding, len(rows))
		for i, f := range rows {
			resp.Findings[i] = &payoutsv1.LedgerFinding{
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
		ledger.Collections: "gross of completed payments",
		ledger.Commission:  "commission of completed payments",
		ledger.Treasury:    "net of payments paid elsewhere, and top-ups",
		ledger.Fees:        "fees of attempts that succeeded",
		ledger.Suspense:    "differences of reconciliation findings",
		"payable":          "net of the payee's completed payments, less what was paid elsewhere, is under way or paid by payouts",
		"in_transit":       "amounts of attempts that are submitting, processing, unknown or in manual review",
		"float":            "top-ups, less amounts and fees of attempts that succeeded, and reconciliation findings",
	}[kind]
	if from == "" {
		return "nothing of payments, payouts or attempts belongs to this account"
	}
	return "expected from: " + from
}
