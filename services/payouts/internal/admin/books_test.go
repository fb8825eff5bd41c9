package admin_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/stream"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/admin"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func server(e *payoutstest.Env) *admin.Server {
	return admin.New(admin.Deps{
		Pool: e.Pool, Store: e.Store, Outbox: e.Outbox, Clock: e.Clock, Tenants: e.Tenants, Importer: e.Importer, Breaks: e.Breaks,
		Connectors: &provider.States{Service: "payouts", Outbox: e.Outbox, Clock: e.Clock},
	})
}

func verify(t *testing.T, s *admin.Server) []string {
	t.Helper()
	v, err := s.VerifyLedger(t.Context(), &payoutsv1.VerifyLedgerRequest{Tenant: payoutstest.Tenant})
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

// TestVerifyLedgerNamesWhatDiffers pays an evening and then changes one fact after the other behind the books' back.
func TestVerifyLedgerNamesWhatDiffers(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	e.Send(e.Sender(), 3)
	s := server(e.Env)
	if got := verify(t, s); len(got) > 0 {
		t.Fatalf("nothing was changed, yet: %v", got)
	}
	for name, tt := range map[string]struct {
		change, undo string
		accounts     []string
	}{
		"a payment that is not completed": {
			"UPDATE payments SET status = 'failed' WHERE payment_id = (SELECT min(payment_id) FROM payments)",
			"UPDATE payments SET status = 'completed'",
			[]string{"collections", "commission", "payable"},
		},
		"a commission": {
			"UPDATE payments SET commission = commission + 1, net = net - 1", "UPDATE payments SET commission = commission - 1, net = net + 1",
			[]string{"commission", "payable", "payable", "payable"},
		},
		"a payout that did not succeed": {
			"UPDATE payouts SET state = 'cancelled' WHERE payout_id = (SELECT payout_id FROM payouts ORDER BY payout_id LIMIT 1)",
			"UPDATE payouts SET state = 'succeeded'",
			[]string{"payable"},
		},
		"an attempt of another amount": {
			"UPDATE attempts SET amount = amount + 5 WHERE subject_id = (SELECT subject_id FROM attempts ORDER BY subject_id LIMIT 1)",
			"UPDATE attempts a SET amount = p.net FROM payouts p WHERE p.payout_id = a.subject_id",
			[]string{"float"},
		},
		"a fee that was not booked": {"UPDATE attempts SET fee = 7", "UPDATE attempts SET fee = NULL", []string{"fees", "float"}},
		"a posting out of nowhere": {
			`INSERT INTO ledger_postings (tenant, kind, ref, leg, debit, credit, currency, amount, occurred_at)
				VALUES ('lebenis', 'theft', 'x', 0, 'petty_cash', 'treasury', 'XOF', 9, now())`,
			`INSERT INTO ledger_postings (tenant, kind, ref, leg, debit, credit, currency, amount, occurred_at)
				VALUES ('lebenis', 'theft', 'x', 1, 'treasury', 'petty_cash', 'XOF', 9, now())`,
			[]string{"petty_cash", "treasury"},
		},
	} {
		e.SQL(tt.change)
		var accounts []string
		for _, f := range verify(t, s) {
			kind, _, _ := strings.Cut(strings.Fields(f)[0], ":")
			accounts = append(accounts, kind)
		}
		slices.Sort(accounts)
		if diff := cmp.Diff(tt.accounts, accounts); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		e.SQL(tt.undo)
		if got := verify(t, s); len(got) > 0 {
			t.Fatalf("%s was undone, yet: %v", name, got)
		}
	}
}

// TestMutationsAreAuditedAndIdempotent: a change is one audit entry, and the same request id is one change.
func TestMutationsAreAuditedAndIdempotent(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Import(payoutstest.Header + payoutstest.Pay("a", "drv-1", 10_000, "2025-01-24T10:00:00Z"))
	e.Run(payoutstest.Daily("2025-01-24T23:59:00Z"))
	s, ctx := server(e), e.Ctx()
	audits := len(e.Messages(stream.Audit))
	batch := ""
	e.EachBatch(func(id uuid.UUID) { batch = id.String() })
	pause := &payoutsv1.PauseBatchRequest{Tenant: payoutstest.Tenant, Id: batch, Reason: "amounts look wrong", RequestId: "r1"}
	for range 3 {
		b, err := s.PauseBatch(ctx, pause)
		if err != nil || b.GetControl() != "paused" || b.GetState() != "paused" || b.GetControlReason() != "amounts look wrong" {
			t.Fatalf("%v, %v", b, err)
		}
	}
	if n := len(e.Messages(stream.Audit)) - audits; n != 1 {
		t.Errorf("%d audit entries for one change", n)
	}
	if got := e.EventTypes("payout_batch"); !slices.Equal(got, []string{"payout_batch.created", "payout_batch.paused"}) {
		t.Errorf("events %v", got)
	}
	for _, ev := range e.Events() {
		if strings.Contains(string(ev.Body), "amounts look wrong") {
			t.Errorf("%s tells what a person wrote", ev.Type)
		}
	}
	again := &payoutsv1.PauseBatchRequest{Tenant: payoutstest.Tenant, Id: batch, Reason: "once more", RequestId: "r2"}
	if _, err := s.PauseBatch(ctx, again); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("paused twice: %v", err)
	}
	b, err := s.ResumeBatch(ctx, &payoutsv1.ResumeBatchRequest{Tenant: payoutstest.Tenant, Id: batch})
	if err != nil || b.GetState() != "created" || b.GetControlReason() != "" {
		t.Errorf("%v, %v", b, err)
	}
	if _, err := s.PauseBatch(context.WithoutCancel(t.Context()), pause); err == nil {
		t.Error("changed by nobody")
	}
	e.CheckEvents()
}

func TestEveryMethodHasARole(t *testing.T) {
	t.Parallel()
	if err := rpc.CheckPolicy(admin.Policy(), "agogo.payouts.v1.PayoutsService"); err != nil {
		t.Error(err)
	}
	for method, role := range admin.Policy() {
		name := method[strings.LastIndex(method, "/")+1:]
		reads := strings.HasPrefix(name, "List") || strings.HasPrefix(name, "Get") || name == "VerifyLedger"
		// ResolvePayout asks for operator or approver itself.
		if (role == auth.Viewer) != (reads || name == "ResolvePayout") {
			t.Errorf("%s needs %s", name, role)
		}
	}
}

func TestPhonesAreMasked(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Import(payoutstest.Header + payoutstest.Pay("a", "drv-1", 10_000, "2025-01-24T10:00:00Z"))
	l, err := server(e).ListPayees(e.Ctx(), &payoutsv1.ListPayeesRequest{Tenant: payoutstest.Tenant})
	if err != nil || len(l.GetItems()) != 1 || l.GetItems()[0].GetPhone() != "************01" {
		t.Errorf("%v, %v", l, err)
	}
}
