package histories

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/runs"
)

const tenant = payoutstest.Tenant

// acts are what one person does to one payout.
func acts() []string {
	return []string{"approve", "approve", "reject", "hold", "release", "cancel", "retry", "retry"}
}

// who are the people: both may do anything, so that what stops them is what they did before.
func who(n int) string { return []string{"user:ada", "user:bob"}[n] }

// newest is the newest payout of a payee; ok is false when there is none.
func (w *world) newest(n int) (id string, ok bool) {
	w.t.Helper()
	var found uuid.UUID
	err := w.Pool.QueryRow(w.Ctx(), "SELECT payout_id FROM payouts WHERE payee_id = $1 ORDER BY created_at DESC, seq DESC LIMIT 1", payee(n)).Scan(&found)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", false
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return found.String(), true
}

// said takes in the answer to what a person asked for. A refusal is one; what fails for another reason is a defect.
func (w *world) said(what string, err error) {
	w.t.Helper()
	switch status.Code(err) {
	case codes.OK, codes.FailedPrecondition, codes.NotFound, codes.InvalidArgument, codes.AlreadyExists, codes.Aborted, codes.Unavailable:
	default:
		w.t.Errorf("%s: %v", what, err)
	}
}

// person does something to a payee's newest payout.
func (w *world) person(a []int, act string) {
	w.t.Helper()
	id, ok := w.newest(a[0])
	if !ok {
		return
	}
	if act == "release" && w.restored(id) { // they look into what the payee was sent before the restore, and it may have paid
		return
	}
	ctx, request := w.As(who(a[1])), uuid.NewString()
	call := func() (err error) {
		switch act {
		case "approve":
			_, err = w.admin.ApprovePayout(ctx, &payoutsv1.ApprovePayoutRequest{Tenant: tenant, Id: id, Reason: "seen", RequestId: request})
		case "reject":
			_, err = w.admin.RejectPayout(ctx, &payoutsv1.RejectPayoutRequest{Tenant: tenant, Id: id, Reason: "seen", RequestId: request})
		case "hold":
			_, err = w.admin.HoldPayout(ctx, &payoutsv1.HoldPayoutRequest{Tenant: tenant, Id: id, Reason: "seen", RequestId: request})
		case "release":
			_, err = w.admin.ReleasePayout(ctx, &payoutsv1.ReleasePayoutRequest{Tenant: tenant, Id: id, Reason: "seen", RequestId: request})
		case "cancel":
			_, err = w.admin.CancelPayout(ctx, &payoutsv1.CancelPayoutRequest{Tenant: tenant, Id: id, Reason: "seen", RequestId: request})
		case "retry":
			_, err = w.admin.RetryPayout(ctx, &payoutsv1.RetryPayoutRequest{Tenant: tenant, Id: id, Reason: "seen", RequestId: request})
		}
		return err
	}
	first := call()
	w.said(act, first)
	again := call() // the answer got lost on its way to the person, who gives the same command again
	if first == nil && again != nil {
		w.t.Errorf("%s, given twice with one request id: first done, then %v", act, again)
	}
	w.work()
}

// resolve has two people decide about a payout in review, with the provider asked in between. They say that it was paid only
// when it was; that it was not they may say wrongly, and the provider's word must be what stops them. Where that denies what it has paid, and
// for longer than it has promised, nothing does: there they look at its statement.
func (w *world) resolve(a []int, kind string) {
	w.t.Helper()
	id, ok := w.newest(a[0])
	if !ok {
		return
	}
	var reference string
	if err := w.Pool.QueryRow(w.Ctx(), "SELECT reference FROM payouts WHERE payout_id = $1", id).Scan(&reference); err != nil {
		w.t.Fatal(err)
	}
	words := &payoutsv1.ResolvePayoutRequest{Tenant: tenant, Id: id, Outcome: "not_paid", PayAgain: kind == "pay-again", Evidence: "the statement of today"}
	w.bank.each(a[0], func(x *transfer) {
		if x.Reference == reference && x.settled() == 1 && (kind == "truth" || x.unseen(w.Clock.Now())) {
			words.Outcome, words.PayAgain = "paid", false
		}
	})
	for i := range 2 {
		words.RequestId = uuid.NewString()
		_, err := w.admin.ResolvePayout(w.As(who(i)), words)
		w.said("resolve", err)
		w.reconcile()
	}
	w.work()
}

func (w *world) reverse(a []int, kind string) {
	w.t.Helper()
	id, ok := w.newest(a[0])
	if !ok {
		return
	}
	w.bank.reversals = []string{kind}
	_, err := w.admin.ReversePayout(w.As(who(0)), &payoutsv1.ReversePayoutRequest{Tenant: tenant, Id: id, Reason: "paid by mistake", RequestId: uuid.NewString()})
	w.said("reverse", err)
	w.bank.reversals = nil
	w.reconcile()
}

func (w *world) tenant(_ []int, act string) {
	w.t.Helper()
	ctx := w.As(who(0))
	var err error
	switch act {
	case "stop":
		_, err = w.admin.StopOutflow(ctx, &payoutsv1.StopOutflowRequest{Tenant: tenant, Reason: "something is odd", RequestId: uuid.NewString()})
	case "start":
		w.bank.unbar()
		_, err = w.admin.StartOutflow(ctx, &payoutsv1.StartOutflowRequest{Tenant: tenant, RequestId: uuid.NewString()})
	case "top-up":
		_, err = w.admin.TopUpFloat(ctx, &payoutsv1.TopUpFloatRequest{
			Tenant: tenant, Provider: "orange", AmountMinor: 100_000, Currency: "XOF", Reference: uuid.NewString(),
		})
	}
	w.said(act, err)
}

func (w *world) payee(a []int, act string) {
	w.t.Helper()
	ctx := w.As(who(1))
	var err error
	switch act {
	case "pause":
		_, err = w.admin.PausePayee(ctx, &payoutsv1.PausePayeeRequest{Tenant: tenant, PayeeId: payee(a[0]), Reason: "asked to", RequestId: uuid.NewString()})
	case "resume":
		_, err = w.admin.ResumePayee(ctx, &payoutsv1.ResumePayeeRequest{Tenant: tenant, PayeeId: payee(a[0]), Reason: "asked to", RequestId: uuid.NewString()})
	case "confirm":
		number := phone(a[0], w.wallets[a[0]])
		_, err = w.admin.ConfirmPayee(ctx, &payoutsv1.ConfirmPayeeRequest{
			Tenant: tenant, PayeeId: payee(a[0]), Reason: "called", PhoneEnds: number[len(number)-6:], RequestId: uuid.NewString(),
		})
	}
	w.said(act, err)
}

// batch does something to the newest batch.
func (w *world) batch(_ []int, act string) {
	w.t.Helper()
	var found uuid.UUID
	err := w.Pool.QueryRow(w.Ctx(), "SELECT batch_id FROM batches ORDER BY created_at DESC, batch_id LIMIT 1").Scan(&found)
	if errors.Is(err, pgx.ErrNoRows) {
		return
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.said(act, w.batchAct(w.As(who(0)), found.String(), act))
	w.work()
}

func (w *world) batchAct(ctx context.Context, id, act string) (err error) {
	switch act {
	case "pause":
		_, err = w.admin.PauseBatch(ctx, &payoutsv1.PauseBatchRequest{Tenant: tenant, Id: id, Reason: "looks odd", RequestId: uuid.NewString()})
	case "resume":
		_, err = w.admin.ResumeBatch(ctx, &payoutsv1.ResumeBatchRequest{Tenant: tenant, Id: id, RequestId: uuid.NewString()})
	case "retry-failed":
		_, err = w.admin.RetryFailed(ctx, &payoutsv1.RetryFailedRequest{Tenant: tenant, Id: id, Reason: "again", RequestId: uuid.NewString()})
	case "approve":
		_, err = w.admin.ApproveBatch(ctx, &payoutsv1.ApproveBatchRequest{Tenant: tenant, Id: id, Reason: "seen", RequestId: uuid.NewString()})
	case "reject":
		_, err = w.admin.RejectBatch(ctx, &payoutsv1.RejectBatchRequest{Tenant: tenant, Id: id, Reason: "seen", RequestId: uuid.NewString()})
	}
	return err
}

// run does something to the newest run of payouts, or the one before.
func (w *world) run(a []int, act string) {
	w.t.Helper()
	var id uuid.UUID
	err := w.Pool.QueryRow(w.Ctx(), "SELECT run_id FROM runs WHERE job = $1 ORDER BY nominal_time DESC OFFSET $2 LIMIT 1", runs.JobDaily, a[0]).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return
	}
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, request := w.As(who(0)), uuid.NewString()
	for range 2 { // the answer got lost on its way to the person
		if act == "cancel" {
			_, err = w.admin.CancelRun(ctx, &payoutsv1.CancelRunRequest{Tenant: tenant, Id: id.String(), Reason: "the wrong file", RequestId: request})
		} else {
			_, err = w.admin.RetryRun(ctx, &payoutsv1.RetryRunRequest{Tenant: tenant, Id: id.String(), Reason: "the file is mended", RequestId: request})
		}
		w.said(act, err)
	}
	w.work()
}
