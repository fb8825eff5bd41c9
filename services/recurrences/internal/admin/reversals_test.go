package admin_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/admin"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
)

// TestPeopleSeeWhatWasTakenBack: an operator has a charge asked about, sees its refund and its dispute, an approver settles that, and
// the books are right at each step.
func TestPeopleSeeWhatWasTakenBack(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.OK)
	e.Morning("2025-10-30")
	c := e.Charge("rec-1", "2025-10-30")
	s := admin.New(admin.Deps{
		Pool: e.Pool, Store: e.Store, Runs: e.Runs, Outbox: e.Outbox, Clock: e.Clock, Tenants: e.Tenants, Operate: e.Resolver,
	})
	get := func() *recurrencesv1.Charge {
		t.Helper()
		got, err := s.GetCharge(e.Ctx(), &recurrencesv1.GetChargeRequest{Tenant: tenant, Id: c.ID.String()})
		if err != nil {
			t.Fatal(err)
		}
		e.CheckBooks()
		return got
	}
	if got := get(); got.GetRefunded() != nil || got.GetDisputed() != nil || got.GetChargedBack() != nil || len(got.GetReversals()) > 0 {
		t.Errorf("nothing was taken back, yet: %v", got)
	}
	open := provider.Dispute{Case: "123456", Amount: money.Amount{Minor: 4990, Currency: "BRL"}}
	e.Gateway.TakeBack(c.Reference, 1000, open)
	if _, err := s.RefreshCharge(e.Ctx(), &recurrencesv1.RefreshChargeRequest{Tenant: tenant, Id: c.ID.String(), Reason: "asked by the seller"}); err != nil {
		t.Fatal(err)
	}
	e.LookUp(time.Second)
	got := get()
	if got.GetRefunded().GetMinor() != 1000 || got.GetDisputed().GetMinor() != 4990 || got.GetChargedBack() != nil || got.GetState() != "succeeded" {
		t.Errorf("%v", got)
	}
	if diff := cmp.Diff([]string{"refund 1000 booked ", "dispute 4990 open 123456"}, reversalsOf(got)); diff != "" {
		t.Errorf("reversals (-want +got):\n%s", diff)
	}
	settle := &recurrencesv1.SettleDisputeRequest{Tenant: tenant, Id: got.GetReversals()[1].GetId(), Outcome: "lost", Evidence: "letter of the issuer"}
	if _, err := s.SettleDispute(e.Ctx(), settle); err != nil {
		t.Fatal(err)
	}
	got = get()
	if got.GetChargedBack().GetMinor() != 4990 || got.GetReversals()[1].GetState() != "lost" || got.GetReversals()[1].GetDecidedAt() == nil {
		t.Errorf("%v", got)
	}
	settle.Outcome = "won"
	_, err := s.SettleDispute(e.Ctx(), settle)
	wantCode(t, "decided again", err, codes.FailedPrecondition, "is lost")
	settle.Id = got.GetReversals()[0].GetId()
	_, err = s.SettleDispute(e.Ctx(), settle)
	wantCode(t, "a refund", err, codes.NotFound, "no dispute")
	settle.Tenant = "lebenis"
	_, err = s.SettleDispute(e.Ctx(), settle)
	wantCode(t, "another tenant's", err, codes.NotFound, "tenant with recurrences")

	e.Agree("rec-2", "2025-10-31", recurrencestest.OK)
	e.Exec.Dispatch = func(context.Context, uuid.UUID, int) error { return nil }
	e.Morning("2025-10-31")
	unsent := e.Charge("rec-2", "2025-10-31")
	_, err = s.RefreshCharge(e.Ctx(), &recurrencesv1.RefreshChargeRequest{Tenant: tenant, Id: unsent.ID.String(), Reason: "r"})
	wantCode(t, "what was not sent", err, codes.FailedPrecondition, "is due")
}

func reversalsOf(c *recurrencesv1.Charge) (all []string) {
	for _, r := range c.GetReversals() {
		all = append(all, fmt.Sprint(r.GetKind(), " ", r.GetAmount().GetMinor(), " ", r.GetState(), " ", r.GetCaseNumber()))
	}
	return all
}
