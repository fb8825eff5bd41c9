package resting_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/precheck"
	"github.com/agogopay/agogo/internal/provider"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	restorev1 "github.com/agogopay/agogo/proto/gen/go/agogo/restore/v1"
	"github.com/agogopay/agogo/services/payouts/internal/admin"
	"github.com/agogopay/agogo/services/payouts/internal/approve"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/resolve"
	"github.com/agogopay/agogo/services/payouts/internal/resting"
	"github.com/agogopay/agogo/services/payouts/internal/store"
	"github.com/agogopay/agogo/simulator"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// settled is long after what was sent before a mark can still be on its way.
const settled = 2 * time.Minute

// where are the places from which nothing is sent.
var where = []string{"held", "awaiting_approval", "approved"}

// scene is an evening after a restore, of which nothing is about to be sent.
type scene struct {
	*sending.Env
	s     *sending.Sender
	t     *testing.T
	asker *resting.Asker
	run   uuid.UUID
}

// rest plans n payouts after a restore and has them rest in a state; paid says that they were sent before it.
func rest(t *testing.T, n int, state string, paid bool, hooks ...sending.Hooks) *scene {
	t.Helper()
	e := sending.New(t)
	restore := pgtest.Backup(t, e.Pool)
	if paid {
		e.Send(e.Sender(), n)
	}
	restore()
	now := e.Clock.Now()
	e.SQL("INSERT INTO restore_marks VALUES (1, $1, $2, $3, 'test', 'user:test')", now, now.Add(-time.Hour), now.AddDate(0, 0, 2))
	s := &scene{Env: e, s: e.Sender(hooks...), t: t}
	s.asker = &resting.Asker{Store: e.Store, Outcomes: s.s.Outcomes, Gate: s.s.Prechecks.Gate}
	s.run = e.Plan(n)
	if state == "approved" {
		e.InTx(func(tx pgx.Tx) error {
			_, err := e.Store.PauseBatchBy(e.Ctx(), tx, store.BatchID(s.run), "look first")
			return err
		})
		return s
	}
	s.move(payout.Approved, payout.Held, payout.HeldBy(payout.CodeByPerson))
	if state == "awaiting_approval" {
		s.move(payout.Held, payout.AwaitingApproval, payout.HeldBy(payout.CodeAboveTier))
	}
	return s
}

func (s *scene) move(from, to payout.State, why payout.Reason) {
	s.t.Helper()
	var changes []store.Change
	for id := range s.Payouts() {
		changes = append(changes, store.Change{PayoutID: uuid.MustParse(id), From: []payout.State{from}, To: to, Reason: why})
	}
	s.InTx(func(tx pgx.Tx) error { _, err := s.Store.Apply(s.Ctx(), tx, changes); return err })
}

// id is the payout of the first payee.
func (s *scene) id() (id uuid.UUID) {
	s.t.Helper()
	if err := s.Pool.QueryRow(s.t.Context(), "SELECT payout_id FROM payouts WHERE payee_id = $1", sending.Payee(1)).Scan(&id); err != nil {
		s.t.Fatal(err)
	}
	return id
}

// end ends the first payout as a person does: rejects what waits for approval, cancels the rest.
func (s *scene) end() error {
	s.t.Helper()
	id := s.id()
	ctx := auth.WithActor(s.Ctx(), auth.Actor{Name: "user:ada", Role: auth.Approver})
	return pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		if strings.HasPrefix(s.One(), "awaiting_approval") {
			return (&approve.Approver{Store: s.Store, Clock: s.Clock}).RejectPayout(ctx, tx, payoutstest.Tenant, id, "wrong")
		}
		people := &resolve.Resolver{Store: s.Store, Outcomes: s.s.Outcomes, Clock: s.Clock}
		return people.Cancel(ctx, tx, payoutstest.Tenant, id, "wrong")
	})
}

// next is what a refusal says helps.
func next(err error) string {
	for _, d := range status.Convert(err).Details() {
		if f, ok := d.(*errdetails.PreconditionFailure); ok && len(f.GetViolations()) == 1 {
			return f.GetViolations()[0].GetDescription()
		}
	}
	return ""
}

// asks lets some time pass in which the sweeper sweeps, and providers are asked.
func (s *scene) asks(times int) {
	s.t.Helper()
	for range times {
		s.SweepOnly()
		if err := s.s.Prechecks.Pass(s.Ctx()); err != nil {
			s.t.Fatal(err)
		}
		s.Clock.Advance(settled)
		s.Sweep(s.s)
		s.Pass(s.s)
	}
}

func (s *scene) free() int64 { return s.Count("SELECT count(*) FROM payments WHERE payout_id IS NULL") }

// look looks at one page.
func (s *scene) look(tx pgx.Tx, at resting.Place, limit int) (resting.Place, error) {
	ids, next, err := s.asker.List(s.Ctx(), tx, at, limit)
	if err != nil || len(ids) == 0 {
		return next, err
	}
	return next, s.asker.Ask(s.Ctx(), tx, ids)
}

// page looks at all that rests, once.
func (s *scene) page(limit int) {
	s.t.Helper()
	for at, first := (resting.Place{}), true; first || at != (resting.Place{}); first = false {
		s.InTx(func(tx pgx.Tx) (err error) { at, err = s.look(tx, at, limit); return err })
	}
}

// What was never sent before a restore is asked about wherever it rests, and people can end it when that is proven; until then they are told
// what they wait for, and it is so.
func TestWhatRestsAfterARestoreCanBeEnded(t *testing.T) {
	t.Parallel()
	for _, state := range where {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			s := rest(t, 1, state, false)
			if err := s.end(); !strings.Contains(next(err), "is being asked") {
				t.Errorf("before the provider was asked: %v", err)
			}
			s.SweepOnly()
			if n := s.Count("SELECT count(*) FROM prechecks WHERE state = 'asking'"); n != 1 {
				t.Fatalf("%d are being asked about", n)
			}
			s.asks(3)
			if err := s.end(); err != nil {
				t.Errorf("when it is proven: %v", err)
			}
			if n := s.free(); n != 1 || s.Requests() != 0 {
				t.Errorf("%d payments are free, %d requests, want 1 and 0: %s", n, s.Requests(), s.One())
			}
			s.Check()
		})
	}
}

// Of a cancelled run nobody has to give another command: it is asked about and ends, wherever it rested.
func TestWhatRestsOfACancelledRunEnds(t *testing.T) {
	t.Parallel()
	for _, state := range where {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			s := rest(t, 3, state, false)
			s.InTx(func(tx pgx.Tx) error { return s.Store.CancelRun(s.Ctx(), tx, s.run, "the wrong file") })
			s.asks(3)
			if diff := cmp.Diff(map[string]int64{"cancelled": 3}, s.PayoutStates()); diff != "" || s.free() != 3 || s.Requests() != 0 {
				t.Errorf("%d are free, %d requests (-want +got):\n%s", s.free(), s.Requests(), diff)
			}
			s.Check()
		})
	}
}

// Promise 1. What was paid before a restore is taken over from wherever it rests, with what the provider says of it; nobody ends it, and no
// later run pays it.
func TestWhatRestsAndWasPaidIsTakenOver(t *testing.T) {
	t.Parallel()
	for _, state := range where {
		for name, cancelled := range map[string]bool{"open": false, "cancelled": true} {
			t.Run(state+", its run "+name, func(t *testing.T) {
				t.Parallel()
				s := rest(t, 2, state, true)
				if cancelled {
					s.InTx(func(tx pgx.Tx) error { return s.Store.CancelRun(s.Ctx(), tx, s.run, "the wrong file") })
				}
				s.asks(2)
				if err := s.end(); err == nil {
					t.Error("ended")
				}
				if diff := cmp.Diff(map[string]int64{"succeeded": 2}, s.PayoutStates()); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				s.Dispatch(s.s, s.Run(payoutstest.Daily("2025-01-25T23:59:00Z")))
				s.asks(2)
				for reference, entry := range s.Book() {
					if entry.Moved != 1 || entry.Requests != 1 {
						t.Errorf("%s was asked for %d times and moved %d times", reference, entry.Requests, entry.Moved)
					}
				}
				if n := len(s.Book()); n != 2 {
					t.Errorf("%d references in the book", n)
				}
				s.Check()
			})
		}
	}
}

// What failed there before a restore fails here, with its refusal; what is another sum there is for people.
func TestWhatRestsIsTakenOverAsItIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		there func(s *sending.Env)
		after string // what happens after the restore
		want  string
	}{
		"failed":         {there: func(e *sending.Env) { e.Cashin(simulator.Failed, 1) }, want: "failed/"},
		"of another sum": {after: "UPDATE payouts SET net = net + 1, commission = commission - 1", want: "manual_review/amount_differs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sending.New(t)
			e.Config.RetryAfter = []time.Duration{}
			restore := pgtest.Backup(t, e.Pool)
			if c.there != nil {
				c.there(e)
			}
			e.Send(e.Sender(), 1)
			restore()
			e.NoFaults()
			now := e.Clock.Now()
			e.SQL("INSERT INTO restore_marks VALUES (1, $1, $2, $3, 'test', 'user:test')", now, now.Add(-time.Hour), now.AddDate(0, 0, 2))
			s := &scene{Env: e, s: e.Sender(), t: t}
			s.run = e.Plan(1)
			if c.after != "" {
				e.SQL(c.after)
			}
			s.move(payout.Approved, payout.Held, payout.HeldBy(payout.CodeByPerson))
			s.asks(1)
			if got := s.One(); !strings.HasPrefix(got, c.want) {
				t.Errorf("it is %s, want %s", got, c.want)
			}
			if n := s.Requests(); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// Promise 1. What a provider denied after a restore, while its reading side was blind, ends nothing when more than an hour has passed: who wants to
// end it is refused, and the provider asked anew, not each hour, but then. What was paid is taken over, what never was ends.
func TestAnOldAbsenceEndsNothing(t *testing.T) {
	t.Parallel()
	for _, state := range where {
		for name, paid := range map[string]bool{"paid": true, "never sent": false} {
			t.Run(state+", "+name, func(t *testing.T) {
				t.Parallel()
				blind := &atomic.Bool{}
				blind.Store(true)
				s := rest(t, 1, state, paid, sending.Hooks{Lookup: sees(blind)})
				s.asks(3)
				blind.Store(false)
				s.Clock.Advance(time.Hour + time.Second)
				s.asks(3)
				if n := s.Count("SELECT count(*) FROM prechecks WHERE state = 'absent'"); n != 1 {
					t.Fatalf("%d absences are left as they were while nobody wants to end it", n)
				}
				s.refusedToEnd()
				s.asks(3)
				if paid {
					s.wants("succeeded", 0)
					return
				}
				if err := s.end(); err != nil {
					t.Errorf("when it is proven anew: %v", err)
				}
				s.wants(map[bool]string{true: "rejected", false: "cancelled"}[state == "awaiting_approval"], 1)
			})
		}
	}
}

// The same of a run that is cancelled long after its provider was asked: nobody has to want it once more.
func TestAnOldAbsenceEndsNothingOfACancelledRun(t *testing.T) {
	t.Parallel()
	for _, state := range where {
		for name, paid := range map[string]bool{"paid": true, "never sent": false} {
			t.Run(state+", "+name, func(t *testing.T) {
				t.Parallel()
				blind := &atomic.Bool{}
				blind.Store(true)
				s := rest(t, 1, state, paid, sending.Hooks{Lookup: sees(blind)})
				s.asks(3)
				blind.Store(false)
				s.Clock.Advance(2 * time.Hour)
				s.InTx(func(tx pgx.Tx) error { return s.Store.CancelRun(s.Ctx(), tx, s.run, "the wrong file") })
				s.SweepOnly()
				if n := s.free(); n != 0 {
					t.Fatalf("%d payments are free on a word of hours ago", n)
				}
				s.asks(3)
				if paid {
					s.wants("succeeded", 0)
				} else {
					s.wants("cancelled", 1)
				}
			})
		}
	}
}

// A cancelled run does not wait, and with it its schedule, for a provider that may never be asked anew, be it gone; for what can be cancelled it does.
func TestARunDoesNotWaitForWhatIsBelievedNoMore(t *testing.T) {
	t.Parallel()
	for age, want := range map[time.Duration]string{time.Minute: "running", 2 * time.Hour: "completed"} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			s := rest(t, 1, "held", false)
			s.SQL(`INSERT INTO prechecks (subject_id, epoch, tenant, provider, number, amount, currency, destination, run_id, page, sent_until, state, proven_at, next_at)
				SELECT payout_id, 1, tenant, provider, 1, net, currency, destination, run_id, page, $1, 'absent', $1, $1 FROM payouts`, s.Clock.Now().Add(-age))
			s.InTx(func(tx pgx.Tx) error { return s.Store.CancelRun(s.Ctx(), tx, s.run, "the wrong file") })
			s.InTx(func(tx pgx.Tx) error { return s.Store.Settle(s.Ctx(), tx, s.run) })
			if n := s.Count("SELECT count(*) FROM runs WHERE run_id = $1 AND state = $2", s.run, want); n != 1 {
				t.Errorf("it is not %s", want)
			}
		})
	}
}

// sees has lookups find nothing while the provider is blind.
func sees(blind *atomic.Bool) func(context.Context, provider.Transfer, provider.Lookuper) (provider.Found, error) {
	return func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
		if blind.Load() {
			return provider.Found{}, nil
		}
		return real.Lookup(ctx, tr)
	}
}

// refusedToEnd has a person try to end the payout in vain, by the service.
func (s *scene) refusedToEnd() {
	s.t.Helper()
	server, ctx := s.server()
	var err error
	if strings.HasPrefix(s.One(), "awaiting_approval") {
		_, err = server.RejectPayout(ctx, &payoutsv1.RejectPayoutRequest{Tenant: payoutstest.Tenant, Id: s.id().String(), Reason: "wrong"})
	} else {
		_, err = server.CancelPayout(ctx, &payoutsv1.CancelPayoutRequest{Tenant: payoutstest.Tenant, Id: s.id().String(), Reason: "wrong"})
	}
	if !strings.Contains(next(err), "is being asked") {
		s.t.Errorf("on a word of more than an hour ago: %v", err)
	}
}

// server is the service as a person meets it.
func (s *scene) server() (*admin.Server, context.Context) {
	people := &resolve.Resolver{Store: s.Store, Outcomes: s.s.Outcomes, Clock: s.Clock}
	return admin.New(admin.Deps{
		Pool: s.Pool, Store: s.Store, Outbox: s.Outbox, Clock: s.Clock, Logger: slog.New(slog.DiscardHandler), Tenants: s.Tenants, Operate: people, Approve: &approve.Approver{Store: s.Store, Clock: s.Clock},
	}), auth.WithActor(s.Ctx(), auth.Actor{Name: "user:ada", Role: auth.Admin, Tenants: []string{"*"}})
}

// wants holds the only payout, what is free and what was paid against what is expected.
func (s *scene) wants(state string, free int64) {
	s.t.Helper()
	if got := s.One(); !strings.HasPrefix(got, state) || s.free() != free {
		s.t.Errorf("it is %s, %d payments are free, want %s and %d", got, s.free(), state, free)
	}
	if n := s.Requests(); n != 1-int(free) {
		s.t.Errorf("%d requests", n)
	}
	s.Check()
}

// All that waits of a batch is asked about anew with one command; of another tenant, or what is not wanted, nothing is.
func TestABatchThatIsRejectedIsAskedAboutAnew(t *testing.T) {
	t.Parallel()
	s := rest(t, 3, "awaiting_approval", false)
	s.asks(3)
	s.SQL("UPDATE prechecks SET proven_at = $1 WHERE subject_id <> $2", s.Clock.Now().Add(-time.Hour-time.Second), s.id())
	wanted := func(tenant string, id uuid.UUID) int64 {
		s.InTx(func(tx pgx.Tx) error { return s.Store.AskAnew(s.Ctx(), tx, tenant, id) })
		return s.Count("SELECT count(*) FROM prechecks WHERE wanted")
	}
	if n := wanted("another", store.BatchID(s.run)); n != 0 {
		t.Errorf("%d of another tenant's", n)
	}
	if n := wanted(payoutstest.Tenant, s.id()); n != 0 {
		t.Errorf("%d of what was proven a moment ago", n)
	}
	server, ctx := s.server()
	out, err := server.RejectBatch(ctx, &payoutsv1.RejectBatchRequest{Tenant: payoutstest.Tenant, Id: store.BatchID(s.run).String(), Reason: "wrong"})
	if err != nil || out.GetRejected() != 1 || out.GetLeftInDoubt() != 2 {
		t.Errorf("%d rejected, %d left, want 1 and the two old ones: %v", out.GetRejected(), out.GetLeftInDoubt(), err)
	}
	told := &restorev1.Restore{Epoch: 1}
	if err := precheck.Count(s.Ctx(), s.Pool, told); err != nil || told.GetAsking() != 2 || told.GetAbsent() != 1 {
		t.Errorf("people are told of %d that are asked about and %d that are absent, want 2 and 1: %v", told.GetAsking(), told.GetAbsent(), err)
	}
	s.page(500)
	if n := s.Count("SELECT count(*) FROM prechecks WHERE state = 'asking' AND NOT wanted"); n != 2 {
		t.Errorf("%d are asked about", n)
	}
}

// What was rejected is rejected, and what was refused is refused, also when nobody can be asked about the rest: only the second is told as a failure.
func TestWhatWasRejectedStaysSoWhenNobodyCanBeAskedAnew(t *testing.T) {
	t.Parallel()
	s := rest(t, 3, "awaiting_approval", false)
	s.asks(3)
	s.SQL("UPDATE prechecks SET proven_at = $1 WHERE subject_id <> $2", s.Clock.Now().Add(-time.Hour-time.Second), s.id())
	s.SQL("ALTER TABLE prechecks ADD CONSTRAINT broken CHECK (NOT wanted)")
	server, ctx := s.server()
	out, err := server.RejectBatch(ctx, &payoutsv1.RejectBatchRequest{Tenant: payoutstest.Tenant, Id: store.BatchID(s.run).String(), Reason: "wrong"})
	if err != nil || out.GetRejected() != 1 || out.GetLeftInDoubt() != 2 {
		t.Errorf("%d rejected, %d left, want 1 and 2: %v", out.GetRejected(), out.GetLeftInDoubt(), err)
	}
	var left string
	if err := s.Pool.QueryRow(ctx, "SELECT payout_id FROM payouts WHERE state = 'awaiting_approval' LIMIT 1").Scan(&left); err != nil {
		t.Fatal(err)
	}
	_, err = server.RejectPayout(ctx, &payoutsv1.RejectPayoutRequest{Tenant: payoutstest.Tenant, Id: left, Reason: "wrong"})
	if err == nil || status.Code(err) == codes.FailedPrecondition {
		t.Errorf("people are told that it is being asked about: %v", err)
	}
}

// Two replicas find the same answer at once, and the second one waits for the first: it is taken over once.
func TestTwoReplicasTakeOverOnce(t *testing.T) {
	t.Parallel()
	s := rest(t, 1, "held", true)
	s.page(500)
	if err := s.s.Prechecks.Pass(s.Ctx()); err != nil {
		t.Fatal(err)
	}
	first, err := s.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.look(first, s.at(first), 500); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- pgx.BeginFunc(s.Ctx(), s.Pool, func(tx pgx.Tx) error {
			_, err := s.look(tx, s.at(tx), 500)
			return err
		})
	}()
	for s.Count("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_locks WHERE relation = 'payouts'::regclass)") == 0 {
		runtime.Gosched()
	}
	if err := first.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if attempts, adopted := s.Count("SELECT count(*) FROM attempts"), s.Count("SELECT count(*) FROM prechecks WHERE state = 'adopted'"); attempts != 1 || adopted != 1 {
		t.Errorf("%d attempts, and %d questions that led to one", attempts, adopted)
	}
	s.Pass(s.s)
	if got := s.One(); got != "succeeded" {
		t.Error(got)
	}
	s.Check()
}

// at is the place before what is held.
func (s *scene) at(tx pgx.Tx) (at resting.Place) {
	s.t.Helper()
	for range 2 { // the states before it, of which there is nothing
		var err error
		if at, err = s.look(tx, at, 500); err != nil {
			s.t.Error(err)
		}
	}
	return at
}

// One that cannot be taken over costs itself: the others of its page are.
func TestOneThatCannotBeTakenOverCostsItself(t *testing.T) {
	t.Parallel()
	s := rest(t, 5, "held", true)
	s.SQL("ALTER TABLE payouts ADD CONSTRAINT defect CHECK (payee_id <> 'drv-00002' OR state <> 'processing')")
	s.asks(2)
	if diff := cmp.Diff(map[string]int64{"held": 1, "succeeded": 4}, s.PayoutStates()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.SQL("ALTER TABLE payouts DROP CONSTRAINT defect")
	s.asks(1)
	if diff := cmp.Diff(map[string]int64{"succeeded": 5}, s.PayoutStates()); diff != "" {
		t.Errorf("when it is mended (-want +got):\n%s", diff)
	}
	s.Check()
}

// A provider that does not answer is asked on, frees nothing, and has its payouts ended when it answers again.
func TestWhatRestsWaitsForAProviderThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	silent := true
	s := rest(t, 1, "held", false, sending.Hooks{Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
		if silent {
			return provider.Found{}, errors.New("no answer")
		}
		return real.Lookup(ctx, tr)
	}})
	s.asks(3)
	if err := s.end(); err == nil || s.free() != 0 {
		t.Errorf("ended though the provider is silent: %v", err)
	}
	silent = false
	s.asks(3)
	if err := s.end(); err != nil || s.free() != 1 {
		t.Errorf("when it answers: %v", err)
	}
}

// Of what EVENTS knows through another provider the one that the row names proves nothing: it is not asked, nobody ends it, and a person's word
// that it was not paid there is what frees it.
func TestWhatWasToldOfElsewhereIsNotProvenHere(t *testing.T) {
	t.Parallel()
	s := rest(t, 1, "held", false)
	s.SQL("INSERT INTO restore_lost (subject_id, tenant, owner_id, provider, amount, state, epoch, version) VALUES ($1, $2, $3, 'wave', 24000, 'succeeded', 0, 5)",
		s.id(), payoutstest.Tenant, sending.Payee(1))
	s.asks(2)
	if n, locked := s.Count("SELECT count(*) FROM prechecks"), s.locked(); n != 0 || locked != 0 {
		t.Errorf("%d are asked about, %d locked for it", n, locked)
	}
	s.SQL(`INSERT INTO prechecks (subject_id, epoch, tenant, provider, number, amount, currency, destination, run_id, page, sent_until, state, proven_at, next_at)
		SELECT payout_id, 1, tenant, provider, 1, net, currency, destination, run_id, page, $1, 'absent', $1, $1 FROM payouts`, s.Clock.Now())
	err := s.end()
	if err == nil || !strings.Contains(err.Error(), "another provider") {
		t.Errorf("ended: %v", err)
	}
	s.SQL("DELETE FROM prechecks")
	s.SQL("UPDATE restore_lost SET settled_at = $1, settled_by = 'user:ada'", s.Clock.Now())
	s.asks(3)
	if err := s.end(); err != nil {
		t.Errorf("when a person has said so: %v", err)
	}
}

// clone makes 1,500 held payouts like the first one.
const clone = `INSERT INTO payouts (payout_id, tenant, payee_id, run_id, batch_id, page, period_date, kind, seq, state, currency, gross, commission, net,
		item_count, provider, destination, nominal_time, version, created_at, updated_at)
	SELECT gen_random_uuid(), p.tenant, 'clone-' || i, p.run_id, p.batch_id, 1 + i / 500, p.period_date, p.kind, p.seq, p.state, p.currency, p.gross,
		p.commission, p.net, 0, p.provider, p.destination, p.nominal_time, p.version, p.created_at, p.updated_at
	FROM payouts p, generate_series(1, 1499) i`

// Of many that rest, a round asks about as many as there is room for, so that what is about to be sent waits behind no more than these; rounds
// without answers ask nothing more and lock nothing, and each one with answers goes on, until all were asked about once.
func TestWhatRestsIsAskedAboutInBoundedSteps(t *testing.T) {
	t.Parallel()
	const room = 512
	s := rest(t, 1, "held", false)
	s.SQL(clone)
	for asked := int64(0); asked < 1500; {
		s.page(500)
		want := min(asked+room, 1500)
		if asked = s.Count("SELECT count(*) FROM prechecks"); asked != want {
			t.Fatalf("%d were asked about so far, want %d", asked, want)
		}
		if n := s.locked(); n != 0 {
			t.Errorf("%d were locked for nothing", n)
		}
		s.SQL("UPDATE prechecks SET state = 'absent', proven_at = $1 WHERE state = 'asking'", s.Clock.Now())
	}
	s.page(500)
	if n := s.Count("SELECT count(*) FROM prechecks WHERE state = 'asking'"); n != 0 {
		t.Errorf("%d are asked about again", n)
	}
}

// locked is how many payouts a round locks.
func (s *scene) locked() (n int64) {
	s.t.Helper()
	s.InTx(func(tx pgx.Tx) error {
		for at, first := (resting.Place{}), true; first || at != (resting.Place{}); first = false {
			var err error
			if at, err = s.look(tx, at, 500); err != nil {
				return err
			}
		}
		return tx.QueryRow(s.Ctx(), "SELECT count(*) FROM payouts WHERE xmax = pg_current_xact_id()::xid").Scan(&n)
	})
	return n
}

// While no restore was marked nothing of what rests is read.
func TestWithoutARestoreNothingIsRead(t *testing.T) {
	t.Parallel()
	s := rest(t, 1, "held", false)
	s.SQL(clone)
	s.SQL("DELETE FROM restore_marks")
	s.InTx(func(tx pgx.Tx) error {
		before := s.read(tx)
		at, err := s.look(tx, resting.Place{}, 500)
		if err != nil || at != (resting.Place{}) {
			t.Errorf("it goes on at %v: %v", at, err)
		}
		if n := s.read(tx) - before; n != 0 {
			t.Errorf("%d rows were read", n)
		}
		return nil
	})
}

// read is how many rows were read of what can be many, in a transaction or a little before it.
func (s *scene) read(tx pgx.Tx) (n int64) {
	s.t.Helper()
	err := tx.QueryRow(s.Ctx(), `SELECT COALESCE(sum(seq_tup_read + idx_tup_fetch), 0)::bigint FROM pg_stat_xact_user_tables
		WHERE schemaname = current_schema() AND relname IN ('payouts', 'prechecks', 'attempts')`).Scan(&n)
	if err != nil {
		s.t.Error(err)
	}
	return n
}
