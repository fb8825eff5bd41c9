package admin_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/servicetest"
	importsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/imports/v1"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/imports/importstest"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// TestWhatPeopleDoIsDoneOnceAndOnRecord: a repetition gets the first answer, another request under its id is refused, and
// what is refused leaves nothing.
func TestWhatPeopleDoIsDoneOnceAndOnRecord(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.agree("rec-1", "rec-2")
	operator := d.as("operator")
	pause := &recurrencesv1.PauseRecurrenceRequest{Tenant: tenant, Id: "rec-1", Reason: "asked by the customer", RequestId: "req-1"}
	first, err := operator.PauseRecurrence(t.Context(), pause)
	if err != nil || first.GetState() != "paused" || first.GetReason().GetCode() != "by_person" || first.GetVersion() != 2 {
		t.Fatalf("%v, %v", first, err)
	}
	d.Exec("UPDATE recurrences SET description = 'changed since'")
	again, err := operator.PauseRecurrence(t.Context(), pause)
	if diff := cmp.Diff(first, again, protocmp.Transform()); diff != "" || err != nil {
		t.Errorf("again: %v (-first +again):\n%s", err, diff)
	}
	pause.Reason = "something else"
	_, err = operator.PauseRecurrence(t.Context(), pause)
	wantCode(t, "another request under the same id", err, codes.InvalidArgument, "request_id: was used for another request")

	d.people.err = rpc.Refused("STATE", "look at it", "recurrence rec-2 is paused: no")
	_, err = operator.PauseRecurrence(t.Context(), &recurrencesv1.PauseRecurrenceRequest{Tenant: tenant, Id: "rec-2", Reason: "r", RequestId: "req-2"})
	wantCode(t, "what is refused", err, codes.FailedPrecondition, "rec-2 is paused: no")
	d.people.err = nil
	if _, err = operator.PauseRecurrence(t.Context(), &recurrencesv1.PauseRecurrenceRequest{Tenant: tenant, Id: "rec-2", Reason: "r", RequestId: "req-2"}); err != nil {
		t.Errorf("a refusal was kept as the answer: %v", err)
	}
	_, err = operator.PauseRecurrence(t.Context(), &recurrencesv1.PauseRecurrenceRequest{Tenant: tenant, Id: "rec-3", Reason: "r"})
	wantCode(t, "an unknown one", err, codes.NotFound, `no recurrence "rec-3"`)
	_, err = d.as("stranger").PauseRecurrence(t.Context(), &recurrencesv1.PauseRecurrenceRequest{Tenant: "lebenis", Id: "rec-1", Reason: "r"})
	wantCode(t, "a tenant that charges nobody", err, codes.NotFound, "tenant with recurrences")

	want := []string{"user:operator | PauseRecurrence | rec-1 | asked by the customer | req-1", "user:operator | PauseRecurrence | rec-2 | r | req-2"}
	if diff := cmp.Diff(want, d.trail()); diff != "" {
		t.Errorf("the trail (-want +got):\n%s", diff)
	}
	if events := d.Strings("SELECT headers->>'ce-actor' FROM outbox WHERE headers->>'ce-type' = 'com.agogo.recurrence.paused.v1'"); !slices.Equal(events, []string{"user:operator", "user:operator"}) {
		t.Errorf("who paused, by the events: %v", events)
	}
}

// TestEachVerbReachesItsHandler with what the request says, and leaves its entry.
func TestEachVerbReachesItsHandler(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.agree("rec-1")
	_, charges := d.morning("2025-10-30", "rec-1")
	// What stands in for ChargeMissed names this charge.
	id := charges[0].ID.String()
	d.people.settles = charges[0].ID
	const dispute = "5d1c7a52-6d0e-4d6b-9f0b-3c1f6d1c2a10"
	operator := d.as("operator")
	ctx := t.Context()
	for _, do := range []func() error{
		func() error {
			_, err := operator.ResumeRecurrence(ctx, &recurrencesv1.ResumeRecurrenceRequest{Tenant: tenant, Id: "rec-1", Reason: "back"})
			return err
		},
		func() error {
			_, err := operator.CancelRecurrence(ctx, &recurrencesv1.CancelRecurrenceRequest{Tenant: tenant, Id: "rec-1", Reason: "over"})
			return err
		},
		func() error {
			_, err := operator.ReactivateRecurrence(ctx, &recurrencesv1.ReactivateRecurrenceRequest{Tenant: tenant, Id: "rec-1", Reason: "bank"})
			return err
		},
		func() error {
			c, err := operator.ChargeNow(ctx, &recurrencesv1.ChargeNowRequest{Tenant: tenant, ChargeId: id, Reason: "asked"})
			if c.GetId() != id {
				t.Errorf("charged %v", c)
			}
			return err
		},
		func() error {
			c, err := operator.CancelCharge(ctx, &recurrencesv1.CancelChargeRequest{Tenant: tenant, Id: id, Reason: "goodwill"})
			if c.GetId() != id {
				t.Errorf("cancelled %v", c)
			}
			return err
		},
		func() error {
			c, err := operator.RefreshCharge(ctx, &recurrencesv1.RefreshChargeRequest{Tenant: tenant, Id: id, Reason: "a refund by telephone"})
			if c.GetId() != id {
				t.Errorf("refreshed %v", c)
			}
			return err
		},
		func() error {
			c, err := d.as("approver").SettleDispute(ctx, &recurrencesv1.SettleDisputeRequest{Tenant: tenant, Id: dispute, Outcome: "won", Evidence: "letter of the issuer"})
			if c.GetId() != id {
				t.Errorf("settled %v", c)
			}
			return err
		},
	} {
		if err := do(); err != nil {
			t.Error(err)
		}
	}
	want := []string{"resume rec-1: back", "cancel rec-1: over", "reactivate rec-1: bank", "charge " + id, "cancel charge " + id + ": goodwill", "refresh " + id, "settle " + dispute + ": won"}
	if diff := cmp.Diff(want, d.people.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	wantTrail := []string{
		"user:operator | ResumeRecurrence | rec-1 | back | ", "user:operator | CancelRecurrence | rec-1 | over | ", "user:operator | ReactivateRecurrence | rec-1 | bank | ",
		"user:operator | ChargeNow | " + id + " | asked | ", "user:operator | CancelCharge | " + id + " | goodwill | ",
		"user:operator | RefreshCharge | " + id + " | a refund by telephone | ", "user:approver | SettleDispute | " + dispute + " | won: letter of the issuer | ",
	}
	if diff := cmp.Diff(wantTrail, d.trail()); diff != "" {
		t.Errorf("the trail (-want +got):\n%s", diff)
	}
}

func TestChargeNowNamesAChargeOrAMissedCycle(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.agree("rec-1")
	operator := d.as("operator")
	for name, r := range map[string]*recurrencesv1.ChargeNowRequest{
		"nothing":      {},
		"no cycle":     {RecurrenceId: "rec-1"},
		"no name":      {Cycle: "2025-09-30"},
		"both":         {ChargeId: chargeID, RecurrenceId: "rec-1", Cycle: "2025-09-30"},
		"charge twice": {ChargeId: chargeID, RecurrenceId: "rec-1"},
		"no uuid":      {ChargeId: "12"},
		"no date":      {RecurrenceId: "rec-1", Cycle: "soon"},
		"no such date": {RecurrenceId: "rec-1", Cycle: "2025-09-31"},
	} {
		r.Tenant, r.Reason = tenant, "asked"
		_, err := operator.ChargeNow(t.Context(), r)
		wantCode(t, name, err, codes.InvalidArgument, "")
	}
	if len(d.people.asked) > 0 {
		t.Errorf("asked %v", d.people.asked)
	}
	// The charge that the handler names is not there, so nothing happened.
	_, err := operator.ChargeNow(t.Context(), &recurrencesv1.ChargeNowRequest{Tenant: tenant, RecurrenceId: "rec-1", Cycle: "2025-09-30", Reason: "asked"})
	wantCode(t, "a missed cycle", err, codes.NotFound, "no charge")
	if !slices.Equal(d.people.asked, []string{"charge 2025-09-30 of rec-1"}) || len(d.trail()) > 0 {
		t.Errorf("asked %v, trail %v", d.people.asked, d.trail())
	}
}

// TestSetCardKeepsTheTokenToItself: it is in the card's row and nowhere else.
func TestSetCardKeepsTheTokenToItself(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.agree("rec-1")
	_, charges := d.morning("2025-10-30", "rec-1")
	const token = "6e1bf77a-b28b-4660-b14f-455e2a1c95e9" //nolint:gosec // a made-up token of a card
	r, err := d.as("operator").SetCard(t.Context(), &recurrencesv1.SetCardRequest{
		Tenant: tenant, RecurrenceId: "rec-1", Token: token, Brand: "Master Card", Reason: "new card", RequestId: "r",
	})
	if err != nil || r.GetRecurrence().GetId() != "rec-1" || len(r.GetCharges()) != 1 || r.GetCharges()[0].GetId() != charges[0].ID.String() || !r.GetCharges()[0].GetWaiting() {
		t.Fatalf("%v, %v", r, err)
	}
	if !slices.Equal(d.people.asked, []string{"set card rec-1: " + token + " mastercard"}) {
		t.Errorf("asked %v", d.people.asked)
	}
	want := []string{"user:operator | SetCard | rec-1 | card " + store.CardID(tenant, token).String() + " mastercard: new card | r"}
	if diff := cmp.Diff(want, d.trail()); diff != "" {
		t.Errorf("the trail (-want +got):\n%s", diff)
	}
	told := append(d.Strings("SELECT convert_from(payload, 'UTF8') || headers::text FROM outbox"), d.Strings("SELECT to_jsonb(a)::text FROM audit_entries a")...)
	for _, text := range append(told, d.log.String()) {
		if strings.Contains(text, token) {
			t.Errorf("the token is in %s", text)
		}
	}
	for field, r := range map[string]*recurrencesv1.SetCardRequest{
		"brand": {Token: "tok_2", Brand: "visa/elo"}, "token": {Token: "tok 2", Brand: "visa"}, "token: looks like a card": {Token: "4111111111111111", Brand: "visa"},
	} {
		r.Tenant, r.RecurrenceId, r.Reason = tenant, "rec-1", "new"
		_, err := d.as("operator").SetCard(t.Context(), r)
		wantCode(t, field, err, codes.InvalidArgument, field)
	}
}

// TestTwoPeopleResolve: operators and approvers may, viewers may not, and the trail tells proposing from applying.
func TestTwoPeopleResolve(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.agree("rec-1")
	_, charges := d.morning("2025-10-30", "rec-1")
	id := charges[0].ID
	d.Exec("INSERT INTO proposals (subject_id, attempt, outcome, pay_again, evidence, actor, proposed_at) VALUES ($1, 1, 'not_paid', true, 'statement', 'user:ana', $2)", id, d.Clock.Now())
	r := &recurrencesv1.ResolveChargeRequest{Tenant: tenant, Id: id.String(), Outcome: "not_paid", ChargeAgain: true, Evidence: "statement of October"}
	_, err := d.as("viewer").ResolveCharge(t.Context(), r)
	wantCode(t, "a viewer", err, codes.PermissionDenied, "operator or approver")
	first, err := d.as("operator").ResolveCharge(t.Context(), r)
	if p := first.GetCharge().GetProposal(); err != nil || first.GetApplied() || first.GetReplaces() != "user:ana" || p.GetActor() != "user:ana" || !p.GetChargeAgain() || p.GetOutcome() != "not_paid" {
		t.Errorf("%v, %v", first, err)
	}
	second, err := d.as("approver").ResolveCharge(t.Context(), r)
	if err != nil || !second.GetApplied() {
		t.Errorf("%v, %v", second, err)
	}
	_, err = d.as("operator").ResolveCharge(t.Context(), &recurrencesv1.ResolveChargeRequest{Tenant: tenant, Id: id.String(), Outcome: "paid", ChargeAgain: true, Evidence: "statement"})
	wantCode(t, "paid, and again", err, codes.InvalidArgument, "charge_again")
	for _, bad := range []*recurrencesv1.ResolveChargeRequest{
		{Id: id.String(), Outcome: "perhaps", Evidence: "statement"}, {Id: id.String(), Outcome: "paid", Evidence: "-"}, {Id: "12", Outcome: "paid", Evidence: "statement"},
	} {
		bad.Tenant = tenant
		_, err = d.as("operator").ResolveCharge(t.Context(), bad)
		wantCode(t, fmt.Sprint(bad), err, codes.InvalidArgument, "")
	}
	want := []string{
		"user:operator | ResolveCharge | " + id.String() + " | proposed not_paid, charge again, in place of what user:ana proposed: statement of October | ",
		"user:approver | ResolveCharge | " + id.String() + " | applied not_paid, charge again: statement of October | ",
	}
	if diff := cmp.Diff(want, d.trail()); diff != "" {
		t.Errorf("the trail (-want +got):\n%s", diff)
	}
}

func TestGatewaysAreOpenedByPeople(t *testing.T) {
	t.Parallel()
	d := open(t)
	states := func() (all []string) {
		t.Helper()
		r, err := d.as("viewer").ListGateways(t.Context(), &recurrencesv1.ListGatewaysRequest{Tenant: tenant})
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range r.GetItems() {
			all = append(all, strings.TrimSpace(g.GetName()+" "+g.GetKind()+" "+g.GetState()+" "+g.GetReason().GetCode()))
		}
		return all
	}
	if got := states(); !slices.Equal(got, []string{"cielo cielo open"}) {
		t.Errorf("before anything happened: %v", got)
	}
	d.tx(func(ctx context.Context, tx pgx.Tx) error {
		_, err := d.states.Stop(ctx, tx, provider.Connector{Tenant: tenant, Provider: "cielo", Kind: "cielo"}, provider.Reason{Scope: "provider", Code: "unauthorized"})
		return err
	})
	if got := states(); !slices.Equal(got, []string{"cielo cielo stopped unauthorized"}) {
		t.Errorf("stopped: %v", got)
	}
	g, err := d.as("operator").ResumeGateway(t.Context(), &recurrencesv1.ResumeGatewayRequest{Tenant: tenant, Gateway: "cielo", Reason: "the key was renewed", RequestId: "r"})
	if err != nil || g.GetState() != "open" || g.GetChangedAt() == nil || !slices.Equal(d.woken, []string{tenant}) {
		t.Errorf("%v, %v, woken %v", g, err, d.woken)
	}
	_, err = d.as("operator").ResumeGateway(t.Context(), &recurrencesv1.ResumeGatewayRequest{Tenant: tenant, Gateway: "stripe", Reason: "x"})
	wantCode(t, "an unknown gateway", err, codes.NotFound, `no gateway "stripe"`)
	if trail := d.trail(); !slices.Equal(trail, []string{"user:operator | ResumeGateway | cielo | the key was renewed | r"}) {
		t.Errorf("trail %v", trail)
	}
}

// TestImportsComeInPieces of any size, and answer with refusals, progress and a summary.
func TestImportsComeInPieces(t *testing.T) {
	t.Parallel()
	d := open(t)
	file := importstest.Sample(t, sample) + "rec-043,cus-043,Ana,seller-1,0.00,BRL,monthly,30,,2025-10-30,tok_43,visa,active,x\n" +
		"rec-044,cus-044,Ana,seller-1,49.90,BRL,monthly,30,,2025-10-30,4111111111111111,visa,active,x\n"
	for _, size := range []int{1, 7, 64 << 10} {
		stream, err := d.as("operator").ImportRecurrences(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got, err := servicetest.Import(stream, tenant, "csv", []byte(file), size)
		if err != nil {
			t.Fatal(err)
		}
		var refused []string
		for _, r := range got.Refused {
			refused = append(refused, fmt.Sprint(r.GetLine(), " ", r.GetField(), " ", strings.Contains(r.GetMessage(), "1111")))
		}
		summary := got.Summary
		if !slices.Equal(refused, []string{"44 amount false", "45 card_token false"}) || summary.GetRows() != 44 || summary.GetInserted()+summary.GetUnchanged() != 42 || summary.GetRefused() != 2 {
			t.Errorf("in pieces of %d: %v, refused %v", size, summary, refused)
		}
	}
	for name, tt := range map[string]struct {
		who  string
		send []*importsv1.ImportRequest
		code codes.Code
		says string
	}{
		"no options":      {"operator", []*importsv1.ImportRequest{{Data: []byte("x")}}, codes.InvalidArgument, "options"},
		"options twice":   {"operator", []*importsv1.ImportRequest{{Options: &importsv1.ImportOptions{Tenant: tenant, Format: "csv"}}, {Options: &importsv1.ImportOptions{Tenant: tenant, Format: "csv"}}}, codes.InvalidArgument, "only the first"},
		"another format":  {"operator", []*importsv1.ImportRequest{{Options: &importsv1.ImportOptions{Tenant: tenant, Format: "xml"}}}, codes.InvalidArgument, "format"},
		"another tenant":  {"operator", []*importsv1.ImportRequest{{Options: &importsv1.ImportOptions{Tenant: "lebenis", Format: "csv"}}}, codes.PermissionDenied, "lebenis"},
		"charges nobody":  {"stranger", []*importsv1.ImportRequest{{Options: &importsv1.ImportOptions{Tenant: "lebenis", Format: "csv"}}}, codes.NotFound, "tenant with recurrences"},
		"a viewer's word": {"viewer", []*importsv1.ImportRequest{{Options: &importsv1.ImportOptions{Tenant: tenant, Format: "csv"}}}, codes.PermissionDenied, "operator"},
	} {
		stream, err := d.as(tt.who).ImportRecurrences(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range tt.send {
			if stream.Send(m) != nil {
				break // the server ended it; Recv tells why
			}
		}
		_ = stream.CloseSend()
		for err == nil {
			_, err = stream.Recv()
		}
		wantCode(t, name, err, tt.code, tt.says)
	}
}
