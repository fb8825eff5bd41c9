package resolve_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/stream"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/admin"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/store"
	"github.com/agogopay/agogo/simulator"
)

// refusedDesk has n payouts that were planned and are held as refused often.
func refusedDesk(t *testing.T, n int) (*desk, uuid.UUID) {
	e := sending.New(t)
	d := &desk{Env: e, t: t, sender: e.Sender()}
	run := e.Plan(n)
	d.InTx(func(tx pgx.Tx) error {
		var changes []store.Change
		for _, id := range d.payouts("SELECT payout_id FROM payouts") {
			changes = append(changes, store.Change{PayoutID: id, From: []payout.State{payout.Approved}, To: payout.Held, Reason: payout.HeldBy(payout.CodeRefusedOften)})
		}
		_, err := e.Store.Apply(d.Ctx(), tx, changes)
		return err
	})
	return d, run
}

func (d *desk) office() *admin.Server {
	return admin.New(admin.Deps{Pool: d.Pool, Store: d.Env.Store, Outbox: d.Outbox, Clock: d.Env.Clock, Tenants: d.Tenants, Operate: d.Resolver})
}

func (d *desk) releaseRefused(run uuid.UUID, change ...func(*payoutsv1.ReleaseRefusedRequest)) (*payoutsv1.ReleaseRefusedResponse, error) {
	r := &payoutsv1.ReleaseRefusedRequest{Tenant: payoutstest.Tenant, Id: store.BatchID(run).String(), Reason: "the float is there"}
	for _, c := range change {
		c(r)
	}
	return d.office().ReleaseRefused(d.as("op"), r)
}

func dryRun(r *payoutsv1.ReleaseRefusedRequest) { r.DryRun = true }

// One word lets all of them go that an empty float has refused too often: each once, under the reference that was refused. A dry run says so before, and
// changes nothing.
func TestAllThatWasRefusedOftenGoesOnOneWord(t *testing.T) {
	t.Parallel()
	e := sending.NewOf(t, sending.MTN())
	d := &desk{Env: e, t: t, sender: e.Sender()}
	e.Cashin(simulator.Failed, 1000, func(r *simulator.Rule) { r.Status, r.Message = 500, "NOT_ENOUGH_FUNDS" })
	run := e.Send(d.sender, 2)
	for d.Count("SELECT count(*) FROM payouts WHERE reason_code = 'refused_often'") < 2 {
		if d.Env.Clock.Now().Sub(payoutstest.At(sending.Evening)).Hours() > 24 {
			t.Fatalf("they are %v", d.PayoutStates())
		}
		d.later(1)
	}
	trail, told := len(d.Messages(stream.Audit)), len(d.Messages(stream.Events))
	r, err := d.releaseRefused(run, dryRun)
	if err != nil || r.GetReleased() != 2 || r.GetBatch().GetCounts()["held"] != 2 {
		t.Fatalf("%v, %v", r, err)
	}
	if len(d.Messages(stream.Audit)) != trail || len(d.Messages(stream.Events)) != told || d.PayoutStates()["held"] != 2 {
		t.Error("a dry run changes something")
	}
	d.NoFaults()
	if r, err = d.releaseRefused(run); err != nil || r.GetReleased() != 2 || r.GetBatch().GetCounts()["approved"] != 2 {
		t.Fatalf("%v, %v", r, err)
	}
	if r, err = d.releaseRefused(run); err != nil || r.GetReleased() != 0 {
		t.Errorf("once more: %v, %v", r, err)
	}
	lines := d.Messages(stream.Audit)[trail:]
	if len(lines) != 2 || !strings.Contains(string(lines[0].Payload), "2 released: the float is there") {
		t.Errorf("the trail has %d lines: %s", len(lines), lines[0].Payload)
	}
	d.Commands(d.sender)
	d.later(15)
	if got := d.PayoutStates(); got["succeeded"] != 2 {
		t.Errorf("they are %v", got)
	}
	if n := d.Count("SELECT count(*) FROM attempts WHERE number = $1 AND sends = 2", attempt.Traceless+1); n != 2 {
		t.Errorf("%d went once more under the reference that was refused", n)
	}
	d.Check()
}

// A word about many keeps to what a word about each would keep to.
func TestAWordAboutManyIsOneAboutEach(t *testing.T) {
	t.Parallel()
	d, run := refusedDesk(t, 9)
	ids := map[string]uuid.UUID{}
	for i := range 9 {
		ids[sending.Payee(i+1)] = d.payouts("SELECT payout_id FROM payouts WHERE payee_id = '" + sending.Payee(i+1) + "'")[0]
	}
	d.SQL("UPDATE payouts SET contradicted = true WHERE payee_id = $1", sending.Payee(1))
	d.SQL("UPDATE payouts SET reason_code = 'by_person' WHERE payee_id = $1", sending.Payee(2))
	d.SQL("UPDATE payees SET state = 'paused' WHERE payee_id = $1", sending.Payee(3))
	d.SQL("UPDATE payees SET unconfirmed = true WHERE payee_id = $1", sending.Payee(4))
	d.SQL("INSERT INTO restore_lost (subject_id, tenant, owner_id, provider, amount, state, epoch, version) VALUES ($1, $2, $3, 'wave', 24000, 'succeeded', 0, 5)",
		ids[sending.Payee(5)], payoutstest.Tenant, sending.Payee(5))
	d.SQL("UPDATE payouts SET net = 25000, gross = 31000, commission = 6000 WHERE payee_id = $1", sending.Payee(6))
	d.Rules().Approval.Tiers = []config.Tier{{Above: 25_000, Approvals: 1}}
	d.SQL("UPDATE payouts SET provider = 'wave' WHERE payee_id = $1", sending.Payee(7))
	d.Rules().PayeeDailyCap = 25_000
	d.SQL("UPDATE payouts SET net = 26000, gross = 32000, commission = 6000 WHERE payee_id = $1", sending.Payee(8))

	r, err := d.releaseRefused(run, func(r *payoutsv1.ReleaseRefusedRequest) { r.Provider = "orange" })
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]string{}
	for _, l := range r.GetLeft() {
		left[l.GetPayeeId()] = l.GetCode()
	}
	if want := map[string]string{sending.Payee(1): "contradicted", sending.Payee(8): "payee_daily_cap"}; !maps.Equal(left, want) || r.GetReleased() != 4 || r.GetWaiting() != 1 || r.GetContradicted() != 1 || r.GetOverCap() != 1 {
		t.Errorf("got %v", r)
	}
	if n := d.Count("SELECT count(*) FROM approvals WHERE actor = 'user:op' AND word = 'asked' AND subject_id = $1", ids[sending.Payee(6)]); n != 1 {
		t.Error("who asked for what waits for approval is not noted, and may approve it")
	}
	d.Commands(d.sender)
	var got []string
	for i := range 9 {
		got = append(got, d.Of(i+1))
	}
	want := []string{
		"held/refused_often", "held/by_person", "held/payee_paused", "held/destination_changed", "held/restored", "awaiting_approval/above_tier", "held/refused_often", "held/refused_often", "succeeded",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOfACancelledBatchNothingIsReleased(t *testing.T) {
	t.Parallel()
	d, run := refusedDesk(t, 2)
	cancelled(d)
	for _, how := range [][]func(*payoutsv1.ReleaseRefusedRequest){nil, {dryRun}} {
		_, err := d.releaseRefused(run, how...)
		d.mustRefuse(err, "run_cancelled")
	}
	if got := d.PayoutStates(); got["held"] != 2 {
		t.Errorf("they are %v", slices.Collect(maps.Keys(got)))
	}
}
