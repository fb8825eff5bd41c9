package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/rpc"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

func (comparing) GetPayout(_ context.Context, r *payoutsv1.GetPayoutRequest) (*payoutsv1.Payout, error) {
	if r.GetId() == "foreign" {
		return nil, status.Error(codes.Unauthenticated, "the bearer token is not known here")
	}
	if why, ok := strings.CutPrefix(r.GetId(), "waits-"); ok {
		return &payoutsv1.Payout{Id: r.GetId(), Tenant: "lebenis", BatchId: "b-1", State: "approved", Reason: &eventsv1.Reason{Scope: "payment", Code: "cause_gone"}, WaitsFor: why}, nil
	}
	said := timestamppb.New(time.Date(2025, 1, 24, 12, 0, 0, 0, time.UTC))
	return &payoutsv1.Payout{
		Id: r.GetId(), State: "succeeded", Provider: "wave", ApprovalsNeeded: 1, Approvals: 1,
		Words:    []*payoutsv1.Word{{Actor: "user:ben", Word: "approved", Reason: "checked against the list", SaidAt: said}},
		Attempts: []*payoutsv1.Attempt{{Number: 1, State: "succeeded", Class: "SUCCEEDED", ProviderReference: "r-1"}},
	}, nil
}

func (comparing) GetBatch(_ context.Context, r *payoutsv1.GetBatchRequest) (*payoutsv1.Batch, error) {
	until := timestamppb.New(time.Date(2025, 1, 25, 12, 0, 0, 0, time.UTC))
	return &payoutsv1.Batch{Id: r.GetId(), State: r.GetId(), ApprovalsNeeded: 1, ApprovalExpiresAt: until}, nil
}

func (comparing) RetryFailed(_ context.Context, r *payoutsv1.RetryFailedRequest) (*payoutsv1.RetryFailedResponse, error) {
	return &payoutsv1.RetryFailedResponse{Retried: 6, Batch: &payoutsv1.Batch{Id: r.GetId(), State: r.GetId(), Control: r.GetId()}}, nil
}

func (comparing) ReleaseRefused(_ context.Context, r *payoutsv1.ReleaseRefusedRequest) (*payoutsv1.ReleaseRefusedResponse, error) {
	return &payoutsv1.ReleaseRefusedResponse{
		Released: 6, Waiting: 1, Contradicted: 1, OverCap: 2, Batch: &payoutsv1.Batch{Id: r.GetId(), RunId: "run-1", State: r.GetId(), Control: r.GetId()},
		Left: []*payoutsv1.LeftHeld{{PayoutId: "p-1", PayeeId: "drv-1", Code: "contradicted"}},
	}, nil
}

// TestWhatPeopleWhoDecideRead of payouts and batches: nothing twice, nothing that is over, and what to do next.
func TestWhatPeopleWhoDecideRead(t *testing.T) {
	t.Parallel()
	run := bureau(t)
	for args, c := range map[string]struct{ want, without string }{
		"payouts get p-1":                                           {"approved by user:ben at 2025-01-24T12:00:00Z: checked against the list\n", ""},
		"payouts get p-2":                                           {"attempt 1 succeeded SUCCEEDED, reference r-1, lookups 0\n", ""},
		"payouts get p-3":                                           {"provider    wave\n", ""},
		"payouts get waits-batch_paused":                            {"payment cause_gone; waits for batch_paused\n", ""},
		"payouts get waits-batch_paused -o table":                   {"goes on     agogo batches resume b-1 --tenant lebenis, once", ""},
		"payouts get waits-run_cancelled":                           {"never: its run was cancelled", "agogo"},
		"payouts get waits-":                                        {"payment cause_gone\n", "waits for"},
		"batches get awaiting_approval":                             {"0 of 1, until 2025-01-25T12:00:00Z", ""},
		"batches get completed":                                     {"0 of 1\n", "until"},
		"batches retry-failed paused --reason mended":               {"nothing of it is sent before: agogo batches resume paused\n", ""},
		"batches release-refused open --reason paid-in":             {"Released: 6; waiting for approval first: 1. Left held: 1 contradicted, 2 above today's caps.\n  left: p-1 of drv-1: contradicted\n  and 2 more: agogo payouts list --run run-1 --state held --tenant lebenis\n", "resume"},
		"batches release-refused paused --dry-run --reason paid-in": {"Nothing was changed. Would be released: 6;", "Released:"},
		"batches retry-failed open --reason mended":                 {"Tried again: 6", "resume"},
	} {
		code, out, said := run(strings.Fields(args)...)
		if code != 0 || !strings.Contains(out, c.want) || c.without != "" && strings.Contains(out, c.without) {
			t.Errorf("%s: exit %d, %s, want %q and not %q in:\n%s", args, code, said, c.want, c.without, out)
		}
	}
}

// TestWhoIsNotKnownHearsWhichNamesThereAre: a name of the tenants file is none of the context.
func TestWhoIsNotKnownHearsWhichNamesThereAre(t *testing.T) {
	t.Parallel()
	code, _, said := bureau(t)("payouts", "get", "foreign", "--token", "ada")
	if code != exitRefused || !strings.Contains(said, "the name of one in the context: admin\n") {
		t.Errorf("exit %d, %s", code, said)
	}
}

// TestARefusalSaysWhichServiceRefused, with its code and its next step.
func TestARefusalSaysWhichServiceRefused(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	a := &app{IO: IO{Err: &said}}
	code := a.exit(refusedBy("payouts", rpc.Refused("state", "wait a moment", "it is being marked")))
	if want := "agogo: payouts: it is being marked\n  wait a moment\n"; code != exitRefused || said.String() != want {
		t.Errorf("exit %d, %q, want %q", code, said.String(), want)
	}
}

// TestHintsNameTheTenantThatWasNamed: where there are several, a command that lacks it is refused.
func TestHintsNameTheTenantThatWasNamed(t *testing.T) {
	t.Parallel()
	const hint = "agogo payouts release ID --reason TEXT lets it go; agogo recon list --tenant lebenis says why, agogo recon suspense: agogo restore list"
	for tenant, want := range map[string]string{
		"":        hint,
		"lebenis": "agogo payouts release --tenant lebenis ID --reason TEXT lets it go; agogo recon list --tenant lebenis says why, agogo recon suspense --tenant lebenis: agogo restore list",
	} {
		var said bytes.Buffer
		a := &app{IO: IO{Err: &said}, tenant: tenant}
		if a.exit(rpc.Refused("state", hint, "it is held")); !strings.Contains(said.String(), "\n  "+want+"\n") {
			t.Errorf("of %q: %s", tenant, said.String())
		}
	}
}

// TestCtrlCIsNoFailureOfTheService: who interrupts hears that it may have been done, and not of contexts.
func TestCtrlCIsNoFailureOfTheService(t *testing.T) {
	t.Parallel()
	path := ""
	bureauAt(t, &path)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var said bytes.Buffer
	code := Main(ctx, IO{Out: &said, Err: &said, Getenv: func(string) string { return "" }}, []string{"payouts", "get", "p-1", "--context", path})
	if code != exitFailed || !strings.HasPrefix(said.String(), "agogo: interrupted; ") {
		t.Errorf("exit %d, %s", code, said.String())
	}
}
