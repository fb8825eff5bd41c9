package books_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/books"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/telemetry"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	ledgerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/ledger/v1"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const tenant = "wallclub"

// open serves books with three charges of two sellers, one of them in another currency. The facts know of the first two only.
func open(t *testing.T) (as func(who string) ledgerv1.LedgerServiceClient, pool *pgxpool.Pool) {
	t.Helper()
	pool = pgtest.Pool(t, ledger.Migrations)
	post := func(ref, seller string, minor int64, c money.Currency) ledger.Posting {
		return ledger.Posting{
			Tenant: tenant, Kind: "charge.succeeded", Ref: ref, Debit: ledger.GatewayReceivable("cielo"), Credit: ledger.SellerPayable(seller),
			Amount: money.Amount{Minor: minor, Currency: c}, OccurredAt: time.Date(2025, 10, 30, 11, 0, 2, 0, time.UTC),
		}
	}
	err := pg.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		return ledger.Post(t.Context(), tx, post("a/1", "ana", 4990, "BRL"), post("b/1", "ana", 10, "BRL"), post("c/1", "bia", 700, "EUR"))
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `CREATE OR REPLACE VIEW ledger_facts AS
		SELECT t.tenant, f.account COLLATE "C" AS account, 'BRL' AS currency, f.amount::bigint AS amount
		FROM (VALUES ('wallclub'), ('lebenis')) t(tenant), (VALUES ('gateway_receivable:cielo', 5000), ('seller_payable:ana', -5000)) f(account, amount)`); err != nil {
		t.Fatal(err)
	}
	return serve(t, pool), pool
}

// serve starts a server of which everybody's token is their name.
func serve(t *testing.T, pool *pgxpool.Pool) (as func(who string) ledgerv1.LedgerServiceClient) {
	t.Helper()
	who, err := auth.NewStatic([]config.Token{
		{Name: "viewer", Role: "viewer", Tenants: []string{tenant}, Secret: "viewer"},
		{Name: "stranger", Role: "admin", Tenants: []string{"lebenis"}, Secret: "stranger"},
	})
	if err != nil {
		t.Fatal(err)
	}
	tel, err := telemetry.New(t.Context(), "test", "error", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s, err := rpc.NewServer(rpc.ServerConfig{Addr: "127.0.0.1:0", Auth: who, Policy: books.WithPolicy(nil), Telemetry: tel})
	if err != nil {
		t.Fatal(err)
	}
	books.Register(s, pool, books.Sources{"seller_payable": "charges of the seller"})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return func(who string) ledgerv1.LedgerServiceClient {
		conn, err := rpc.Dial(s.Addr(), who)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return ledgerv1.NewLedgerServiceClient(conn)
	}
}

// walk reads all pages of a list.
func walk(t *testing.T, page func(token string) (lines []string, next string, err error)) (all []string) {
	t.Helper()
	for token, first := "", true; first || token != ""; first = false {
		lines, next, err := page(token)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) > 100 {
			t.Fatal("a list without an end")
		}
		all, token = append(all, lines...), next
	}
	return all
}

func TestBalancesArePagedByAccount(t *testing.T) {
	t.Parallel()
	as, _ := open(t)
	list := func(prefix string) []string {
		return walk(t, func(token string) (lines []string, next string, err error) {
			r, err := as("viewer").ListBalances(t.Context(), &ledgerv1.ListBalancesRequest{Tenant: tenant, AccountPrefix: prefix, PageSize: 1, PageToken: token})
			for _, b := range r.GetItems() {
				lines = append(lines, fmt.Sprintf("%s %s %d-%d=%d", b.GetAccount(), b.GetBalance().GetCurrency(), b.GetDebit().GetMinor(), b.GetCredit().GetMinor(), b.GetBalance().GetMinor()))
			}
			return lines, r.GetNextPageToken(), err
		})
	}
	sellers := []string{"seller_payable:ana BRL 0-5000=-5000", "seller_payable:bia EUR 0-700=-700"}
	want := append([]string{"gateway_receivable:cielo BRL 5000-0=5000", "gateway_receivable:cielo EUR 700-0=700"}, sellers...)
	if diff := cmp.Diff(want, list("")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(sellers, list("seller_payable:")); diff != "" {
		t.Error(diff)
	}
}

func TestPostingsArePagedInTheOrderOfWriting(t *testing.T) {
	t.Parallel()
	as, _ := open(t)
	for name, tt := range map[string]struct {
		request *ledgerv1.ListPostingsRequest
		want    []string
	}{
		"all":          {&ledgerv1.ListPostingsRequest{}, []string{"a/1", "b/1", "c/1"}},
		"of a seller":  {&ledgerv1.ListPostingsRequest{Account: "seller_payable:ana"}, []string{"a/1", "b/1"}},
		"of a ref":     {&ledgerv1.ListPostingsRequest{Ref: "c/1"}, []string{"c/1"}},
		"of no seller": {&ledgerv1.ListPostingsRequest{Account: "seller_payable:a"}, nil},
	} {
		got := walk(t, func(token string) (lines []string, next string, err error) {
			tt.request.Tenant, tt.request.PageSize, tt.request.PageToken = tenant, 2, token
			r, err := as("viewer").ListPostings(t.Context(), tt.request)
			for _, p := range r.GetItems() {
				lines = append(lines, p.GetRef())
			}
			return lines, r.GetNextPageToken(), err
		})
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	r, err := as("viewer").ListPostings(t.Context(), &ledgerv1.ListPostingsRequest{Tenant: tenant, Ref: "c/1"})
	if err != nil {
		t.Fatal(err)
	}
	want := &ledgerv1.Posting{
		Kind: "charge.succeeded", Debit: "gateway_receivable:cielo", Credit: "seller_payable:bia", Ref: "c/1", Amount: &eventsv1.Money{Minor: 700, Currency: "EUR"},
	}
	got := r.GetItems()[0]
	if got.GetOccurredAt().AsTime().Format(time.RFC3339) != "2025-10-30T11:00:02Z" || got.GetId() == "" {
		t.Errorf("%v", got)
	}
	got.Id, got.OccurredAt = "", nil
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

// TestVerifyLedgerNamesWhatDiffers: the postings in euros are in no fact, and the gateway's account has no source.
func TestVerifyLedgerNamesWhatDiffers(t *testing.T) {
	t.Parallel()
	as, pool := open(t)
	verify := func(want *ledgerv1.VerifyLedgerResponse) {
		t.Helper()
		got, err := as("viewer").VerifyLedger(t.Context(), &ledgerv1.VerifyLedgerRequest{Tenant: tenant})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	}
	eur := func(minor int64) *eventsv1.Money { return &eventsv1.Money{Minor: minor, Currency: "EUR"} }
	verify(&ledgerv1.VerifyLedgerResponse{Postings: 3, Findings: []*ledgerv1.Finding{
		{Account: "gateway_receivable:cielo", Expected: eur(0), Found: eur(700), Explanation: "nothing that the service sent or received belongs to this account"},
		{Account: "seller_payable:bia", Expected: eur(0), Found: eur(-700), Explanation: "expected from: charges of the seller"},
	}})
	if _, err := pool.Exec(t.Context(), `CREATE OR REPLACE VIEW ledger_facts AS
		SELECT tenant, debit AS account, currency, amount FROM ledger_postings UNION ALL SELECT tenant, credit, currency, -amount FROM ledger_postings`); err != nil {
		t.Fatal(err)
	}
	verify(&ledgerv1.VerifyLedgerResponse{Balanced: true, Postings: 3})
}

// TestWhoAndWhatIsRefused: whoever has no role on the tenant, and requests that make no sense.
func TestWhoAndWhatIsRefused(t *testing.T) {
	t.Parallel()
	as, _ := open(t)
	balances := func(who string, r *ledgerv1.ListBalancesRequest) error {
		_, err := as(who).ListBalances(t.Context(), r)
		return err
	}
	postings := func(who string, r *ledgerv1.ListPostingsRequest) error {
		_, err := as(who).ListPostings(t.Context(), r)
		return err
	}
	verify := func(who string, r *ledgerv1.VerifyLedgerRequest) error {
		_, err := as(who).VerifyLedger(t.Context(), r)
		return err
	}
	for who, want := range map[string]codes.Code{"viewer": codes.OK, "stranger": codes.PermissionDenied, "nobody": codes.Unauthenticated} {
		for name, err := range map[string]error{
			"balances": balances(who, &ledgerv1.ListBalancesRequest{Tenant: tenant}),
			"postings": postings(who, &ledgerv1.ListPostingsRequest{Tenant: tenant}),
			"verify":   verify(who, &ledgerv1.VerifyLedgerRequest{Tenant: tenant}),
		} {
			if status.Code(err) != want {
				t.Errorf("%s as %s: %v, want %s", name, who, err, want)
			}
		}
	}
	for name, err := range map[string]error{
		"balances of nobody":         balances("viewer", &ledgerv1.ListBalancesRequest{}),
		"balances from nowhere":      balances("viewer", &ledgerv1.ListBalancesRequest{Tenant: tenant, PageToken: "made up"}),
		"too many balances":          balances("viewer", &ledgerv1.ListBalancesRequest{Tenant: tenant, PageSize: 1001}),
		"postings of nobody":         postings("viewer", &ledgerv1.ListPostingsRequest{}),
		"postings from nowhere":      postings("viewer", &ledgerv1.ListPostingsRequest{Tenant: tenant, PageToken: "made up"}),
		"postings from another list": postings("viewer", &ledgerv1.ListPostingsRequest{Tenant: tenant, PageToken: rpc.PageToken("fees")}),
		"of an account and of a ref": postings("viewer", &ledgerv1.ListPostingsRequest{Tenant: tenant, Account: "fees", Ref: "a/1"}),
		"verification of nobody":     verify("viewer", &ledgerv1.VerifyLedgerRequest{}),
	} {
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTheServicesPolicyStays: what is added takes nothing away.
func TestTheServicesPolicyStays(t *testing.T) {
	t.Parallel()
	own := auth.Policy{"/agogo.payouts.v1.PayoutsService/TopUpFloat": auth.Operator}
	all := books.WithPolicy(own)
	if len(own) != 1 || len(all) != 4 || all["/agogo.payouts.v1.PayoutsService/TopUpFloat"] != auth.Operator {
		t.Errorf("%v became %v", own, all)
	}
	if err := rpc.CheckPolicy(books.WithPolicy(nil), "agogo.ledger.v1.LedgerService"); err != nil {
		t.Error(err)
	}
}
