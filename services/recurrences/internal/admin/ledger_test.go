package admin_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/admin"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
)

func verify(t *testing.T, s *admin.Server) []string {
	t.Helper()
	v, err := s.VerifyLedger(t.Context(), &recurrencesv1.VerifyLedgerRequest{Tenant: tenant})
	if err != nil {
		t.Fatal(err)
	}
	if v.GetBalanced() != (len(v.GetFindings()) == 0) || v.GetPostings() == 0 {
		t.Errorf("balanced %v with %d findings and %d postings", v.GetBalanced(), len(v.GetFindings()), v.GetPostings())
	}
	var findings []string
	for _, f := range v.GetFindings() {
		findings = append(findings, fmt.Sprintf("%s %d/%d", f.GetAccount(), f.GetExpected().GetMinor(), f.GetFound().GetMinor()))
		if f.GetExplanation() == "" {
			t.Errorf("%s is not explained", f.GetAccount())
		}
	}
	return findings
}

// TestVerifyLedgerNamesWhatDiffers charges a morning and then changes one fact after the other behind the books' back.
func TestVerifyLedgerNamesWhatDiffers(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	for i, token := range []string{"tok_ok_1", "tok_ok_2", "tok_soft_1", "tok_hard_1", "tok_timeout_paid_1"} {
		e.Agree(fmt.Sprintf("rec-%d", i), "2025-10-30", token)
	}
	e.Morning("2025-10-30")
	e.LookUp(10 * time.Second)
	s := admin.New(admin.Deps{Pool: e.Pool, Store: e.Store, Runs: e.Runs, Outbox: e.Outbox, Clock: e.Clock, Tenants: e.Tenants})
	if got := verify(t, s); len(got) > 0 {
		t.Fatalf("nothing was changed, yet: %v", got)
	}
	exec := func(sql string) {
		t.Helper()
		if _, err := e.Pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	const one = "charge_id = (SELECT min(charge_id::text)::uuid FROM charges WHERE state = 'succeeded')"
	for name, tt := range map[string]struct {
		change, undo string
		want         []string
	}{
		"a charge that did not succeed": {
			"UPDATE charges SET state = 'cancelled', provider_code = 'was' WHERE " + one, "UPDATE charges SET state = 'succeeded', provider_code = '' WHERE provider_code = 'was'",
			[]string{"seller_payable:seller-1 -9980/-14970"},
		},
		"another seller's": {
			"UPDATE charges SET seller_id = 'seller-9' WHERE " + one, "UPDATE charges SET seller_id = 'seller-1'",
			[]string{"seller_payable:seller-1 -9980/-14970", "seller_payable:seller-9 -4990/0"},
		},
		"a fee that is not booked": {
			"UPDATE attempts SET fee = 99 WHERE state = 'succeeded'", "UPDATE attempts SET fee = NULL",
			[]string{"fees 297/0", "gateway_receivable:cielo 14673/14970"},
		},
		"a contradiction that is not booked": {
			`INSERT INTO recon_findings SELECT gen_random_uuid(), 'wallclub', 'cielo', charge_id, 1, 'ref', 'succeeded_after_failed', 'failed', 'SUCCEEDED', 4990, 'BRL', now()
				FROM charges WHERE recurrence_id = 'rec-2'`, "DELETE FROM recon_findings",
			[]string{"gateway_receivable:cielo 19960/14970", "suspense -4990/0"},
		},
	} {
		exec(tt.change)
		if got := verify(t, s); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
		exec(tt.undo)
		if got := verify(t, s); len(got) > 0 {
			t.Fatalf("%s, undone: %v", name, got)
		}
	}
}

func TestTheBooksArePaged(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	for i := range 3 {
		e.Agree(fmt.Sprintf("rec-%d", i), "2025-10-30", fmt.Sprintf("tok_ok_%d", i))
	}
	e.Morning("2025-10-30")
	s := admin.New(admin.Deps{Pool: e.Pool, Store: e.Store})
	balances := walk(t, func(token string) (all []string, next string, err error) {
		r, err := s.ListBalances(t.Context(), &recurrencesv1.ListBalancesRequest{Tenant: tenant, PageSize: 1, PageToken: token})
		for _, b := range r.GetItems() {
			all = append(all, fmt.Sprintf("%s %d-%d=%d", b.GetAccount(), b.GetDebit().GetMinor(), b.GetCredit().GetMinor(), b.GetBalance().GetMinor()))
		}
		return all, r.GetNextPageToken(), err
	})
	if !slices.Equal(balances, []string{"gateway_receivable:cielo 14970-0=14970", "seller_payable:seller-1 0-14970=-14970"}) {
		t.Errorf("balances %v", balances)
	}
	list := func(request *recurrencesv1.ListPostingsRequest) []string {
		return walk(t, func(token string) (all []string, next string, err error) {
			request.Tenant, request.PageSize, request.PageToken = tenant, 2, token
			r, err := s.ListPostings(t.Context(), request)
			for _, p := range r.GetItems() {
				all = append(all, fmt.Sprint(p.GetKind(), " ", p.GetDebit(), " ", p.GetCredit(), " ", p.GetAmount().GetMinor()))
			}
			return all, r.GetNextPageToken(), err
		})
	}
	const line = "charge.succeeded gateway_receivable:cielo seller_payable:seller-1 4990"
	if got := list(&recurrencesv1.ListPostingsRequest{}); !slices.Equal(got, []string{line, line, line}) {
		t.Errorf("postings %v", got)
	}
	if got := list(&recurrencesv1.ListPostingsRequest{Account: "fees"}); len(got) > 0 {
		t.Errorf("fees: %v", got)
	}
	_, err := s.ListPostings(t.Context(), &recurrencesv1.ListPostingsRequest{Tenant: tenant, Account: "fees", Ref: "x"})
	wantCode(t, "account and ref", err, codes.InvalidArgument, "not both")
}
