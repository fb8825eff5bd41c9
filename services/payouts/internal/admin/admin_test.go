package admin_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/stream"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/admin"
	"github.com/agogopay/agogo/services/payouts/internal/float"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func server(e *payoutstest.Env) *admin.Server {
	states := &provider.States{Service: "payouts", Outbox: e.Outbox, Clock: e.Clock}
	return admin.New(admin.Deps{
		Pool: e.Pool, Store: e.Store, Outbox: e.Outbox, Clock: e.Clock, Logger: slog.New(slog.DiscardHandler), Tenants: e.Tenants, Importer: e.Importer, Breaks: e.Breaks,
		Planner: e.Planner, Connectors: states,
		Float: float.New(float.Deps{Pool: e.Pool, Clock: e.Clock, States: states, Connectors: &connector.Set{}, Tenants: e.Tenants}),
	})
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
	} else if said := refusal(err); !strings.Contains(said, "is paused already") || !strings.Contains(said, "agogo batches get "+batch) {
		t.Errorf("paused twice: %s", said)
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

// refusal is what a caller reads of one.
func refusal(err error) string {
	said := status.Convert(err).Message()
	for _, d := range status.Convert(err).Details() {
		said += fmt.Sprintf(" %v", d)
	}
	return said
}

// What is refused names what is there: a payee of nobody is not found, one who stands so already says so, and a state that does not exist hears which do.
func TestRefusalsTellWhatIsThere(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Import(payoutstest.Header + payoutstest.Pay("a", "drv-1", 10_000, "2025-01-24T10:00:00Z"))
	s, ctx := server(e), e.Ctx()
	pause := func(id string) error {
		_, err := s.PausePayee(ctx, &payoutsv1.PausePayeeRequest{Tenant: payoutstest.Tenant, PayeeId: id, Reason: "asked"})
		return err
	}
	resume := func(id string) error {
		_, err := s.ResumePayee(ctx, &payoutsv1.ResumePayeeRequest{Tenant: payoutstest.Tenant, PayeeId: id, Reason: "asked"})
		return err
	}
	list := func(state string) error {
		_, err := s.ListPayouts(ctx, &payoutsv1.ListPayoutsRequest{Tenant: payoutstest.Tenant, States: []string{state}})
		return err
	}
	for _, c := range []struct {
		what string
		err  error
		code codes.Code
		said string
	}{
		{"pausing nobody", pause("drv-99"), codes.NotFound, `there is no payee "drv-99"`},
		{"resuming nobody", resume("drv-99"), codes.NotFound, `there is no payee "drv-99"`},
		{"resuming who is not paused", resume("drv-1"), codes.FailedPrecondition, `payee "drv-1" is not paused`},
		{"pausing", pause("drv-1"), codes.OK, ""},
		{"pausing twice", pause("drv-1"), codes.FailedPrecondition, `payee "drv-1" is paused already`},
		{"a state that is none", list("waiting"), codes.InvalidArgument, "awaiting_approval, "},
	} {
		if status.Code(c.err) != c.code || !strings.Contains(refusal(c.err), c.said) {
			t.Errorf("%s: %v, want %s and %q", c.what, c.err, c.code, c.said)
		}
	}
}

func TestEveryMethodHasARole(t *testing.T) {
	t.Parallel()
	if err := rpc.CheckPolicy(admin.Policy(), "agogo.payouts.v1.PayoutsService"); err != nil {
		t.Error(err)
	}
	for method, role := range admin.Policy() {
		name := method[strings.LastIndex(method, "/")+1:]
		reads := strings.HasPrefix(name, "List") || strings.HasPrefix(name, "Get") || strings.HasPrefix(name, "Read") || strings.HasPrefix(name, "Preview") || strings.HasPrefix(name, "Watch")
		either := name == "ResolvePayout" || name == "ConfirmPayee" || name == "CloseWithoutStatement" || name == "ResolveFinding" // they ask for operator or approver themselves
		if (role == auth.Viewer) != (reads || either) {
			t.Errorf("%s needs %s", name, role)
		}
	}
}

// An approver and an operator may confirm a wallet; who only reads may not, and neither may who imported it.
func TestConfirmingAWalletNeedsASecondPersonWithARole(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Import(payoutstest.Header + payoutstest.Pay("a", "drv-1", 10_000, "2025-01-24T10:00:00Z"))
	e.Import(payoutstest.Header + strings.Replace(payoutstest.Pay("b", "drv-1", 10_000, "2025-01-24T10:00:00Z"), "0101,", "0102,", 1))
	s, req := server(e), &payoutsv1.ConfirmPayeeRequest{Tenant: payoutstest.Tenant, PayeeId: "drv-1", Reason: "called", PhoneEnds: "0102"}
	for name, c := range map[string]struct {
		role auth.Role
		want codes.Code
	}{"user:vera": {auth.Viewer, codes.PermissionDenied}, "user:test": {auth.Admin, codes.FailedPrecondition}} {
		if err := confirm(s, e, name, c.role, req); status.Code(err) != c.want {
			t.Errorf("%s as %s: %v, want %s", name, c.role, err, c.want)
		}
	}
	e.SQL("UPDATE payees SET destination_changed_by = 'user:ada'") // who has brought another provider since, for the same number
	if err := confirm(s, e, "user:test", auth.Admin, req); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("who imported the number, after a change of somebody else: %v", err)
	}
	l, err := s.ListPayees(e.Ctx(), &payoutsv1.ListPayeesRequest{Tenant: payoutstest.Tenant, State: "unconfirmed"})
	if err != nil || len(l.GetItems()) != 1 || !strings.Contains(l.GetItems()[0].GetNextStep(), "agogo payees confirm drv-1") {
		t.Errorf("%v, %v", l, err)
	}
	ctx := auth.WithActor(e.Ctx(), auth.Actor{Name: "user:ben", Role: auth.Approver, Tenants: []string{"*"}})
	if y, err := s.ConfirmPayee(ctx, req); err != nil || y.GetDestinationState() != "confirmed" || y.GetDestinationConfirmedBy() != "user:ben" {
		t.Errorf("%v, %v", y, err)
	}
}

func confirm(s *admin.Server, e *payoutstest.Env, name string, role auth.Role, req *payoutsv1.ConfirmPayeeRequest) error {
	_, err := s.ConfirmPayee(auth.WithActor(e.Ctx(), auth.Actor{Name: name, Role: role, Tenants: []string{"*"}}), req)
	return err
}

// pages is a stream of a preview.
type pages struct {
	grpc.ServerStream
	ctx context.Context
	all []*payoutsv1.PreviewRunResponse
}

func (p *pages) Context() context.Context { return p.ctx }
func (p *pages) Send(m *payoutsv1.PreviewRunResponse) error {
	p.all = append(p.all, m)
	return nil
}

func TestPreviewOfASchedulesNextRun(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Tenants.Tenants[0].Schedules = []config.Schedule{{Name: "daily", Job: "payouts/daily", Cron: "59 23 * * *"}}
	e.Rules().Approval.Tiers = []config.Tier{{Above: 20_000, Approvals: 1}}
	e.Import(payoutstest.Header + payoutstest.Pay("a", "drv-1", 10_000, "2025-01-24T10:00:00Z") +
		payoutstest.Pay("b", "drv-2", 30_000, "2025-01-25T10:00:00Z") + payoutstest.Pay("c", "drv-3", 50, "2025-01-25T10:00:00Z"))
	s, p := server(e), &pages{ctx: e.Ctx()}
	if err := s.PreviewRun(&payoutsv1.PreviewRunRequest{Tenant: payoutstest.Tenant, Schedule: "daily"}, p); err != nil {
		t.Fatal(err)
	}
	sum := p.all[len(p.all)-1].GetSummary() // the clock shows 23:59:05 of the 24th
	if sum.GetLocalDate() != "2025-01-25" || !sum.GetNominalTime().AsTime().Equal(payoutstest.At("2025-01-25T23:59:00Z")) {
		t.Errorf("the run is of %s, %v", sum.GetLocalDate(), sum.GetNominalTime().AsTime())
	}
	if diff := cmp.Diff(map[string]int64{"approved": 1, "awaiting_approval": 1, "skipped": 1}, sum.GetCounts()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if f := sum.GetFloats(); len(f) != 1 || f[0].GetNow().GetMinor() != 8_000 || f[0].GetLater().GetMinor() != 24_000 {
		t.Errorf("floats %v", f)
	}
	err := s.PreviewRun(&payoutsv1.PreviewRunRequest{Tenant: payoutstest.Tenant, Schedule: "nightly"}, p)
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("a schedule that is not there: %v", err)
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
