package admin_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/provider"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/admin"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
	"github.com/agogopay/agogo/services/recurrences/internal/suspense"
)

// counter is the service over an environment with a gateway, for people with roles.
type counter struct {
	*recurrencestest.Env
	server *admin.Server
}

func newCounter(t *testing.T) counter {
	t.Helper()
	e := recurrencestest.New(t)
	return counter{e, admin.New(admin.Deps{
		Pool: e.Pool, Store: e.Store, Runs: e.Runs, Outbox: e.Outbox, Clock: e.Clock, Tenants: e.Tenants, Operate: e.Resolver,
		Suspense: &suspense.Desk{Store: e.Store},
	})}
}

func (c counter) who(name string, role auth.Role) context.Context {
	return auth.WithActor(c.Ctx(), auth.Actor{Name: "user:" + name, Role: role, Tenants: []string{tenant}})
}

// trail is what the audit trail has of an action.
func (c counter) trail(t *testing.T, action string) []string {
	t.Helper()
	rows, err := c.Pool.Query(t.Context(), "SELECT concat_ws(' | ', actor, detail) FROM audit_entries WHERE action = $1 ORDER BY seq", action)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestTwoPeopleEmptySuspense: what is listed is taken out by an operator and an approver, whose words are on record; nobody else may.
func TestTwoPeopleEmptySuspense(t *testing.T) {
	t.Parallel()
	c := newCounter(t)
	for _, id := range []string{"rec-1", "rec-2", "rec-3"} {
		c.Agree(id, "2025-10-30", recurrencestest.Hard+id)
	}
	c.Morning("2025-10-30")
	for _, id := range []string{"rec-1", "rec-2", "rec-3"} {
		ref := c.Charge(id, "2025-10-30").Reference
		c.Gateway.Finish(ref, provider.Result{Class: provider.Succeeded})
		c.Webhook(ref)
		c.LookUp(time.Second)
	}
	var ids []string
	for token, first := "", true; first || token != ""; first = false {
		r, err := c.server.ListSuspense(c.Ctx(), &recurrencesv1.ListSuspenseRequest{Tenant: tenant, PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range r.GetItems() {
			if s.GetAmount().GetMinor() != -4990 || s.GetCode() != "paid_after_closed" || s.GetProposedAmount() != nil {
				t.Errorf("%v", s)
			}
			ids = append(ids, s.GetFindingId())
		}
		token = r.GetNextPageToken()
	}
	if len(ids) != 3 {
		t.Fatalf("listed %v", ids)
	}
	if r, err := c.server.ListSuspense(c.Ctx(), &recurrencesv1.ListSuspenseRequest{Tenant: "lebenis"}); err != nil || len(r.GetItems()) > 0 {
		t.Errorf("another tenant sees %v, %v", r, err)
	}
	req := &recurrencesv1.ResolveFindingRequest{Tenant: tenant, Id: ids[0], To: "losses", Reason: "nobody's", Evidence: "ticket 4711"}
	_, err := c.server.ResolveFinding(c.who("eva", auth.Viewer), req)
	wantCode(t, "a viewer", err, codes.PermissionDenied, "operator or approver")
	r, err := c.server.ResolveFinding(c.who("ada", auth.Operator), req)
	if err != nil || r.GetApplied() {
		t.Errorf("ada: %v, %v", r, err)
	}
	r, err = c.server.ResolveFinding(c.who("bob", auth.Approver), req)
	if err != nil || !r.GetApplied() || r.GetAccount() != "losses" || r.GetAmount().GetMinor() != -4990 || r.GetLeft().GetMinor() != 0 {
		t.Errorf("bob: %v, %v", r, err)
	}
	want := []string{
		"user:ada | proposed -49.90 BRL to losses: nobody's; evidence: ticket 4711", "user:bob | applied -49.90 BRL to losses: nobody's; evidence: ticket 4711",
	}
	if diff := cmp.Diff(want, c.trail(t, "ResolveFinding")); diff != "" {
		t.Errorf("the trail (-want +got):\n%s", diff)
	}
	req.Tenant = "lebenis"
	_, err = c.server.ResolveFinding(auth.WithActor(c.Ctx(), auth.Actor{Name: "root", Role: auth.Admin, Tenants: []string{"*"}}), req)
	wantCode(t, "another tenant's", err, codes.NotFound, "tenant with recurrences")
}

// TestACancelThatIsRefusedHasTheGatewayAsked, with whoever wanted it on record; one that is refused for another reason asks nobody.
func TestACancelThatIsRefusedHasTheGatewayAsked(t *testing.T) {
	t.Parallel()
	c := newCounter(t)
	c.Connector.Policy.Deduplicates = true
	c.Agree("rec-1", "2025-10-30", recurrencestest.TimeoutGone)
	c.Agree("rec-2", "2025-10-30", recurrencestest.OK)
	c.Morning("2025-10-30")
	for range 6 {
		c.LookUp(10 * time.Second)
	}
	c.Clock.Advance(3 * time.Hour)
	cancel := func(of store.Charge) error {
		_, err := c.server.CancelCharge(c.who("ada", auth.Operator), &recurrencesv1.CancelChargeRequest{Tenant: tenant, Id: of.ID.String(), Reason: "goodwill", RequestId: "r-" + of.RecurrenceID})
		return err
	}
	for range 2 {
		wantCode(t, "denied hours ago", cancel(c.Charge("rec-1", "2025-10-30")), codes.FailedPrecondition, "")
	}
	wantCode(t, "paid", cancel(c.Charge("rec-2", "2025-10-30")), codes.FailedPrecondition, "is succeeded")
	if diff := cmp.Diff([]string{"user:ada | refused, its gateway is asked: goodwill"}, c.trail(t, "CancelCharge")); diff != "" {
		t.Errorf("the trail (-want +got):\n%s", diff)
	}
	for range 6 {
		c.LookUp(10 * time.Second)
	}
	if err := cancel(c.Charge("rec-1", "2025-10-30")); err != nil {
		t.Errorf("when it was denied anew: %v", err)
	}
	if got := c.Charge("rec-1", "2025-10-30"); got.State != "cancelled" {
		t.Errorf("it is %s", got.State)
	}
	c.CheckEvents()
}
