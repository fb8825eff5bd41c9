package resolve_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/webhook"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/admin"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/resolve"
	"github.com/agogopay/agogo/simulator"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var (
	isPaid   = admin.Resolution{Outcome: "paid", Evidence: "statement of 25 January, line 14"}
	notPaid  = admin.Resolution{Outcome: "not_paid", Evidence: "not on the statement"}
	payAgain = admin.Resolution{Outcome: "not_paid", PayAgain: true, Evidence: "not on the statement"}
)

// desk is where people decide about the only payout of an evening.
type desk struct {
	*sending.Env
	*resolve.Resolver
	t      *testing.T
	sender *sending.Sender
	id     uuid.UUID
	run    uuid.UUID
}

// newDesk has one payout, sent into a fault.
func newDesk(t *testing.T, fault simulator.Fault, h ...sending.Hooks) *desk {
	e := sending.New(t)
	d := &desk{Env: e, t: t, sender: e.Sender(h...)}
	d.Resolver = &resolve.Resolver{Store: e.Store, Outcomes: d.sender.Outcomes, Clock: e.Clock}
	if fault != "" {
		e.Cashin(fault, 1, func(r *simulator.Rule) { r.Duration = 24 * time.Hour })
	}
	e.Send(d.sender, 1)
	if err := e.Pool.QueryRow(t.Context(), "SELECT payout_id FROM payouts").Scan(&d.id); err != nil {
		t.Fatal(err)
	}
	return d
}

// inReview has one payout that is in manual review because it was never found at the provider.
func inReview(t *testing.T, fault simulator.Fault, h ...sending.Hooks) *desk {
	d := newDesk(t, fault, h...)
	d.later(10)
	if got := d.One(); !strings.HasPrefix(got, "manual_review/") {
		t.Fatalf("the payout is %s", got)
	}
	return d
}

// later lets minutes pass, with everything that happens by itself.
func (d *desk) later(minutes int) {
	for range minutes {
		d.Env.Clock.Advance(time.Minute)
		d.Pass(d.sender)
		d.Sweep(d.sender)
	}
}

func (d *desk) as(name string) context.Context {
	ctx := event.WithCause(d.t.Context(), event.Cause{Actor: "user:" + name, CorrelationID: "test"})
	return auth.WithActor(ctx, auth.Actor{Name: "user:" + name, Role: auth.Operator, Tenants: []string{"*"}})
}

// do runs a decision in a transaction, as the admin server does.
func (d *desk) do(fn func(tx pgx.Tx) error) error {
	return pg.InTx(d.t.Context(), d.Pool, fn)
}

func (d *desk) decide(name string, r admin.Resolution) (applied bool, err error) {
	err = d.do(func(tx pgx.Tx) error {
		said, err := d.Resolve(d.as(name), tx, payoutstest.Tenant, d.id, r)
		applied = said.Agreed
		return err
	})
	return applied, err
}

func (d *desk) mustDecide(name string, r admin.Resolution, applied bool) {
	d.t.Helper()
	if got, err := d.decide(name, r); err != nil || got != applied {
		d.t.Fatalf("%s says %s: applied %v (%v), want %v", name, r.Outcome, got, err, applied)
	}
}

func (d *desk) mustRefuse(err error, code string) {
	d.t.Helper()
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(status.Convert(err).Proto().String(), code) {
		d.t.Errorf("got %v, want a refusal as %s", err, code)
	}
}

type single func(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, reason string) error

func (d *desk) single(op single) error {
	return d.do(func(tx pgx.Tx) error { return op(d.as("ada"), tx, payoutstest.Tenant, d.id, "because") })
}

func TestPaidByTwoPeople(t *testing.T) {
	t.Parallel()
	d := inReview(t, simulator.ResetBefore)
	d.mustDecide("ada", isPaid, false)
	d.mustDecide("ada", isPaid, false) // again, and still alone
	d.Pass(d.sender)
	d.mustDecide("bob", isPaid, true)
	if got := d.One(); got != "succeeded/resolved_paid" {
		t.Errorf("got %s", got)
	}
	if n := d.Count("SELECT count(*) FROM payout_items WHERE released_at IS NULL"); n != 1 {
		t.Error("the items of a payout that was paid are free")
	}
	var reference string
	if err := d.Env.Pool.QueryRow(t.Context(), "SELECT reference FROM attempts").Scan(&reference); err != nil {
		t.Fatal(err)
	}
	d.Check(reference) // the provider's book does not have it: people said so
}

// Who takes the place of another person's proposal is told, and so is the audit trail: that person's second finds nothing to agree to any more.
func TestOtherWordsSayWhoseTheyReplace(t *testing.T) {
	t.Parallel()
	d := inReview(t, simulator.ResetBefore)
	s := admin.New(admin.Deps{Pool: d.Pool, Store: d.Store, Outbox: d.Outbox, Clock: d.Env.Clock, Tenants: d.Tenants, Operate: d.Resolver})
	for _, say := range []struct{ who, evidence, replaces string }{
		{"ada", "statement of January", ""}, {"ada", "statement of January", ""}, {"bob", "ticket 4711", "user:ada"}, {"bob", "ticket 4712", "user:bob"},
	} {
		r, err := s.ResolvePayout(d.as(say.who), &payoutsv1.ResolvePayoutRequest{Tenant: payoutstest.Tenant, Id: d.id.String(), Outcome: "paid", Evidence: say.evidence})
		if err != nil || r.GetApplied() || r.GetReplaces() != say.replaces || r.GetPayout().GetProposal().GetActor() != "user:"+say.who {
			t.Errorf("%s: %v, %v", say.who, r, err)
		}
	}
	trail := ""
	for _, m := range d.Messages(stream.Audit) {
		trail += string(m.Payload)
	}
	if !strings.Contains(trail, "proposed paid, in place of what user:ada proposed: ticket 4711") {
		t.Errorf("the trail: %s", trail)
	}
}

func TestDifferentWordsStartOver(t *testing.T) {
	t.Parallel()
	d := inReview(t, simulator.ResetBefore)
	d.mustDecide("ada", isPaid, false)
	d.mustDecide("bob", notPaid, false)
	d.mustDecide("ada", isPaid, false)
	other := isPaid
	other.Evidence = "another statement"
	d.mustDecide("bob", other, false)
	if got := d.One(); got != "manual_review/not_resendable" {
		t.Errorf("people who disagree moved it to %s", got)
	}
	d.Check()
}

// not_paid needs the provider's word too: a lookup that was made after the proposal and found nothing, or a failure.
func TestNotPaidNeedsALookupAfterTheProposal(t *testing.T) {
	t.Parallel()
	d := inReview(t, simulator.ResetBefore)
	d.mustDecide("ada", notPaid, false)
	_, err := d.decide("bob", notPaid)
	d.mustRefuse(err, "lookup_outstanding")
	if n := d.Count("SELECT count(*) FROM attempts WHERE next_lookup_at <= $1", d.Env.Clock.Now()); n != 1 {
		t.Error("the proposal does not make anybody ask")
	}
	d.Pass(d.sender)
	d.mustDecide("bob", notPaid, true)
	if got := d.One(); got != "failed/resolved_not_paid" {
		t.Errorf("got %s", got)
	}
	if n := d.Count("SELECT count(*) FROM payout_items WHERE released_at IS NULL"); n != 0 {
		t.Error("the items are not free for the next run")
	}
	d.Check()
}

func TestPayAgainPaysOnceUnderANewReference(t *testing.T) {
	t.Parallel()
	d := inReview(t, simulator.ResetBefore)
	d.mustDecide("ada", payAgain, false)
	d.Pass(d.sender)
	d.mustDecide("bob", payAgain, true)
	d.Commands(d.sender)
	if got := d.One(); got != "succeeded" {
		t.Errorf("got %s", got)
	}
	if n := d.Count("SELECT count(DISTINCT reference) FROM attempts"); n != 2 {
		t.Errorf("%d references, want the old one and a new one", n)
	}
	d.later(5)
	d.Check()
}

// Evidence of people does not outweigh a provider that has it, works on it, or says nothing.
func TestNotPaidAgainstTheProvidersWord(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		found provider.Found
		err   error
		code  string
	}{
		"pending there": {provider.Found{Exists: true, Result: provider.Result{Class: provider.Accepted}}, nil, "lookup_contradicts"},
		"no answer":     {provider.Found{}, context.DeadlineExceeded, "lookup_outstanding"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := false
			d := inReview(t, simulator.ResetBefore, sending.Hooks{Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
				if answer {
					return c.found, c.err
				}
				return real.Lookup(ctx, tr)
			}})
			d.mustDecide("ada", notPaid, false)
			answer = true
			d.Pass(d.sender)
			_, err := d.decide("bob", notPaid)
			d.mustRefuse(err, c.code)
			if got := d.One(); !strings.HasPrefix(got, "manual_review/") {
				t.Errorf("got %s", got)
			}
			d.Check()
		})
	}
}

// While people consider, the provider proves that it was paid: its word decides, and theirs comes too late.
func TestProofOvertakesPeople(t *testing.T) {
	t.Parallel()
	e := inReview(t, simulator.LookupBlind) // blind for ever, though the money moved
	e.mustDecide("ada", payAgain, false)
	e.Env.Clock.Advance(25 * time.Hour)
	e.Pass(e.sender)
	if got := e.One(); got != "succeeded" {
		t.Fatalf("got %s", got)
	}
	_, err := e.decide("bob", payAgain)
	e.mustRefuse(err, "state")
	e.Check()
}

func TestOnlyReviewIsResolved(t *testing.T) {
	t.Parallel()
	d := newDesk(t, simulator.PendingForever)
	_, err := d.decide("ada", isPaid)
	d.mustRefuse(err, "state")
	if _, err := d.decide("ada", admin.Resolution{Outcome: "paid", PayAgain: true, Evidence: "nonsense"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("paid and to be paid again: %v", err)
	}
	d.id = uuid.New()
	if _, err := d.decide("ada", isPaid); status.Code(err) != codes.NotFound {
		t.Errorf("an unknown payout: %v", err)
	}
}

func TestRetryClaimsEverythingOrIsRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t, simulator.Failed)
	if got := d.One(); got != "failed/failed" {
		t.Fatalf("got %s", got)
	}
	if err := d.single(d.Retry); err != nil {
		t.Fatal(err)
	}
	d.Commands(d.sender)
	if got := d.One(); got != "succeeded" {
		t.Errorf("got %s", got)
	}
	d.mustRefuse(d.single(d.Retry), "state")
	d.Check()
}

func TestRetryOfWhatAnotherRunPaidIsRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t, simulator.Failed)
	d.Exec.Dispatch = d.sender.Dispatch
	d.Run(payoutstest.Daily("2025-01-25T23:59:00Z")) // takes the released payment along
	if got := d.PayoutStates(); got["succeeded"] != 1 || got["failed"] != 1 {
		t.Fatalf("got %v", got)
	}
	d.mustRefuse(d.single(d.Retry), "items_taken")
	d.Check()
}

// The provider says of a failed attempt that it was paid: nothing that a person can do here pays it a second time.
func TestContradictedPayoutIsNotPaidAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t, simulator.Failed, sending.Hooks{Lookup: func(context.Context, provider.Transfer, provider.Lookuper) (provider.Found, error) {
		return provider.Found{Exists: true, Result: provider.Result{Class: provider.Succeeded}}, nil
	}})
	var reference string
	if err := d.Env.Pool.QueryRow(t.Context(), "SELECT reference FROM attempts").Scan(&reference); err != nil {
		t.Fatal(err)
	}
	d.InTx(func(tx pgx.Tx) error {
		_, err := d.sender.Worker.Match(d.as("ada"), tx, payoutstest.Tenant, "orange", []webhook.Notice{{Reference: reference}})
		return err
	})
	d.Pass(d.sender)
	d.mustRefuse(d.single(d.Retry), "contradicted")
	d.Check(reference)
}

func TestHoldReleaseCancel(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	d := &desk{Env: e, t: t, sender: e.Sender()}
	d.Resolver = &resolve.Resolver{Store: e.Store, Outcomes: d.sender.Outcomes, Clock: e.Clock}
	run := e.Plan(1)
	if err := e.Pool.QueryRow(t.Context(), "SELECT payout_id FROM payouts").Scan(&d.id); err != nil {
		t.Fatal(err)
	}
	d.mustRefuse(d.single(d.Release), "state")
	if err := d.single(d.Hold); err != nil {
		t.Fatal(err)
	}
	e.Dispatch(d.sender, run)
	d.later(5)
	if got := d.One(); got != "held/by_person" || e.Requests() != 0 {
		t.Fatalf("held by a person, it is %s after %d requests", got, e.Requests())
	}
	if err := d.single(d.Release); err != nil {
		t.Fatal(err)
	}
	if err := d.single(d.Cancel); err != nil {
		t.Fatal(err)
	}
	d.Commands(d.sender)
	if got := d.One(); got != "cancelled/by_person" || e.Requests() != 0 {
		t.Errorf("cancelled, it is %s after %d requests", got, e.Requests())
	}
	if n := e.Count("SELECT count(*) FROM payout_items WHERE released_at IS NULL"); n != 0 {
		t.Error("a cancelled payout keeps its items")
	}
	for name, op := range map[string]single{"hold": d.Hold, "release": d.Release, "cancel": d.Cancel, "retry": d.Retry} {
		if err := d.single(op); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("%s of a cancelled payout: %v", name, err)
		}
	}
	e.Check()
}

// What is on its way or closed is not held, released or cancelled.
func TestWhatIsOnItsWayIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, fault := range []simulator.Fault{simulator.PendingForever, simulator.LostAnswer, ""} {
		d := newDesk(t, fault)
		before := d.One()
		for name, op := range map[string]single{"hold": d.Hold, "release": d.Release, "cancel": d.Cancel, "retry": d.Retry} {
			if err := d.single(op); status.Code(err) != codes.FailedPrecondition {
				t.Errorf("%s of a payout in %s: %v", name, before, err)
			}
		}
		if got := d.One(); got != before {
			t.Errorf("%s became %s", before, got)
		}
		d.Check()
	}
}

// A release does not get a large sum around its approval.
func TestReleaseDoesNotReplaceAnApproval(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	d := &desk{Env: e, t: t, sender: e.Sender()}
	d.Resolver = &resolve.Resolver{Store: e.Store, Outcomes: d.sender.Outcomes, Clock: e.Clock}
	e.Plan(1)
	if err := e.Pool.QueryRow(t.Context(), "SELECT payout_id FROM payouts").Scan(&d.id); err != nil {
		t.Fatal(err)
	}
	if err := d.single(d.Hold); err != nil {
		t.Fatal(err)
	}
	tier := int64(20_000)
	e.Rules().Approval = config.Approval{Tiers: []config.Tier{{Above: tier, Approvals: 1}}}
	if err := d.single(d.Release); err != nil {
		t.Fatal(err)
	}
	if got := d.One(); got != "awaiting_approval/above_tier" {
		t.Errorf("got %s", got)
	}
	e.Check()
}

// The payee's wallet changed between plan and send: the payout waits until a person has confirmed the new one.
func TestChangedDestinationWaitsForAPerson(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	d := &desk{Env: e, t: t, sender: e.Sender()}
	d.Resolver = &resolve.Resolver{Store: e.Store, Outcomes: d.sender.Outcomes, Clock: e.Clock}
	run := e.Plan(1)
	if err := e.Pool.QueryRow(t.Context(), "SELECT payout_id FROM payouts").Scan(&d.id); err != nil {
		t.Fatal(err)
	}
	e.SQL("UPDATE payees SET phone = $1", sending.Phone(77))
	e.Dispatch(d.sender, run)
	d.later(3)
	if got := d.One(); got != "held/destination_changed" || e.Requests() != 0 {
		t.Fatalf("%s after %d requests", got, e.Requests())
	}
	if err := d.single(d.Release); err != nil {
		t.Fatal(err)
	}
	d.Commands(d.sender)
	if got := d.One(); got != "succeeded" {
		t.Errorf("got %s", got)
	}
	for _, entry := range e.Book() {
		if entry.Peer != sending.Peer(77) {
			t.Errorf("paid to %s", entry.Peer)
		}
	}
	e.Check()
}
