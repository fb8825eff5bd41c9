package disburse_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/restore"
	"github.com/agogopay/agogo/services/payouts/internal/outcome"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/resolve"
	"github.com/agogopay/agogo/simulator"
)

// mark is the word of people that the tables were restored, now.
func mark(e *sending.Env, epoch int) {
	now := e.Clock.Now()
	e.SQL("INSERT INTO restore_marks VALUES ($1, $2, $3, $4, 'test', 'user:test')", epoch, now, now.Add(-time.Hour), now.AddDate(0, 0, 2))
}

// settled is long after what was sent before a mark can still be on its way.
const settled = 2 * time.Minute

// ask asks the provider about everything that is due, and has done what follows.
func ask(t *testing.T, e *sending.Env, s *sending.Sender) {
	t.Helper()
	if err := s.Prechecks.Pass(e.Ctx()); err != nil {
		t.Fatal(err)
	}
	e.Commands(s)
	e.Pass(s)
}

// prove asks until what was never sent is proven absent, late enough and twice.
func prove(t *testing.T, e *sending.Env, s *sending.Sender) {
	t.Helper()
	for range 3 {
		e.Clock.Advance(settled)
		ask(t, e, s)
	}
}

// paidOnce holds the book against payees 1 to n: one transfer each, over all references.
func paidOnce(t *testing.T, e *sending.Env, n int) {
	t.Helper()
	moved := map[string]int{}
	for _, entry := range e.Book() {
		moved[entry.Peer] += entry.Moved
	}
	if len(moved) < n {
		t.Errorf("%d of %d payees are in the book", len(moved), n)
	}
	for peer, times := range moved {
		if times != 1 {
			t.Errorf("%s was paid %d times", peer, times)
		}
	}
}

// Promise 1, a restore: of an evening half was paid, then the tables go back to before it. What was paid is taken over, the rest is
// paid, and nobody twice.
func TestARestoreTakesOverWhatWasPaid(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	restore := pgtest.Backup(t, e.Pool)
	dying, die := context.WithCancel(t.Context())
	lost := e.Sender(sending.Hooks{Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
		res := real.Submit(ctx, tr)
		if len(e.Book()) >= 5 {
			die()
		}
		return res
	}})
	_ = lost.Dispatch(dying, e.Plan(12), 0)
	before := len(e.Book())
	if before < 5 || before == 12 {
		t.Fatalf("%d of 12 were sent before the restore", before)
	}

	restore()
	mark(e, 1)
	s := e.Sender()
	run := e.Plan(12)
	e.Dispatch(s, run)
	if n := len(e.Book()); n != before {
		t.Fatalf("%d were sent before the provider was asked", n-before)
	}
	ask(t, e, s)
	if got := e.PayoutStates()["succeeded"]; got != int64(before) {
		t.Errorf("%d of %d are taken over at once", got, before)
	}
	if n := len(e.Book()); n != before {
		t.Errorf("%d were sent before their absence was proven", n-before)
	}
	prove(t, e, s)
	if diff := cmp.Diff(map[string]int64{"succeeded": 12}, e.PayoutStates()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	paidOnce(t, e, 12)
	if n := e.Count("SELECT count(*) FROM runs WHERE run_id = $1 AND state = 'completed'", run); n != 1 {
		t.Error("the run is not complete though everything is paid")
	}
	e.Check()
}

// Absent is what the provider denies late enough and twice, for three references in a row.
func TestAbsenceAfterARestoreIsProvenAsAnyOther(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	mark(e, 1)
	asked := map[string]int{}
	s := e.Sender(sending.Hooks{Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
		asked[tr.Reference]++
		return real.Lookup(ctx, tr)
	}})
	e.Send(s, 1)
	for _, step := range []struct {
		after time.Duration
		reads int // of each reference, so far
		sent  int
	}{
		{0, 1, 0},                      // says nothing: what was sent may be on its way
		{time.Second, 1, 0},            // nor is there any use in asking
		{settled, 2, 0},                // one that counts
		{100 * time.Millisecond, 2, 0}, // too close to be another
		{settled, 3, 1},                // proven
		{settled, 3, 1},
	} {
		e.Clock.Advance(step.after)
		ask(t, e, s)
		if len(asked) != attempt.Traceless+1 || len(e.Book()) != step.sent {
			t.Fatalf("%d references were asked about, %d sent, want %d and %d", len(asked), len(e.Book()), attempt.Traceless+1, step.sent)
		}
		for reference, n := range asked {
			if n != step.reads {
				t.Fatalf("after %s reference %s was asked about %d times, want %d", step.after, reference, n, step.reads)
			}
		}
	}
	if got := e.One(); got != "succeeded" {
		t.Error(got)
	}
	e.Check()
}

// What a restore makes up differently is not paid in place of what was paid.
func TestAnotherAmountAfterARestoreIsForPeople(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	restore := pgtest.Backup(t, e.Pool)
	e.Send(e.Sender(), 1)
	restore()
	mark(e, 1)
	if _, refused := e.Import(payoutstest.Header + "pay-more," + sending.Payee(1) + ",Livreur," + sending.Phone(1) + ",10000,XOF,orange_money,completed,2025-01-24T12:00:00Z,\n"); len(refused) > 0 {
		t.Fatal(refused)
	}
	s := e.Sender()
	e.Send(s, 1)
	prove(t, e, s)
	if got := e.One(); got != "manual_review/amount_differs" {
		t.Errorf("the payout is %s", got)
	}
	if n := e.Requests(); n != 1 {
		t.Errorf("%d requests", n)
	}
	paidOnce(t, e, 1)
}

// An answer that does not tell what there is to compare, however it says that it ended, proves nothing of what a restore has lost: it is for people,
// and stays with them while the answers are like that. One that tells decides.
func TestAnAnswerThatTellsTooLittleAfterARestoreIsForPeople(t *testing.T) {
	t.Parallel()
	for name, garble := range map[string]func(*provider.Found){
		"no amount":                func(f *provider.Found) { f.Amount = nil },
		"no payee":                 func(f *provider.Found) { f.Destination = "" },
		"a payee of hidden digits": func(f *provider.Found) { f.Destination = "*****" },
		"nothing, and refused": func(f *provider.Found) {
			*f = provider.Found{Exists: true, Result: provider.Result{Class: provider.RejectedFinal, Code: "no"}}
		},
		"nothing, in words of its own": func(f *provider.Found) {
			*f = provider.Found{Exists: true, Result: provider.Result{Class: provider.Ambiguous}}
		},
		"nothing, and is at work on it": func(f *provider.Found) {
			*f = provider.Found{Exists: true, Result: provider.Result{Class: provider.Accepted}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sending.New(t)
			restore := pgtest.Backup(t, e.Pool)
			e.Send(e.Sender(), 1)
			restore()
			mark(e, 1)
			garbled := true
			s := e.Sender(sending.Hooks{Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
				f, err := real.Lookup(ctx, tr)
				if f.Exists && garbled {
					garble(&f)
				}
				return f, err
			}})
			e.Send(s, 1)
			prove(t, e, s)
			prove(t, e, s)
			if got := e.One(); got != "manual_review/not_told" {
				t.Errorf("the payout is %s", got)
			}
			garbled = false
			e.Clock.Advance(48 * time.Hour)
			e.Pass(s)
			if got := e.One(); got != "succeeded" {
				t.Errorf("when the provider tells it is %s", got)
			}
			if n := e.Requests(); n != 1 {
				t.Errorf("%d requests", n)
			}
			e.Check()
		})
	}
}

// The second attempt was the one that paid: a gap before it does not hide it, and what failed before is not taken for the outcome.
func TestALaterAttemptFromBeforeTheRestoreIsFound(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	restore := pgtest.Backup(t, e.Pool)
	e.Cashin(simulator.Identical, 1)
	lost := e.Sender()
	e.Send(lost, 1)
	for range 4 {
		e.Clock.Advance(10 * time.Minute)
		e.Sweep(lost)
	}
	before := e.Payouts()
	for _, p := range before {
		if p.GetState() != "succeeded" || p.GetAttempt() != 2 {
			t.Fatalf("before the restore: %s after %d attempts", p.GetState(), p.GetAttempt())
		}
	}
	restore()
	mark(e, 1)
	s := e.Sender()
	e.Send(s, 1)
	prove(t, e, s)
	for _, p := range e.Payouts() {
		if p.GetState() != "succeeded" || p.GetAttempt() != 2 {
			t.Errorf("%s with attempt %d, want the second, which paid", p.GetState(), p.GetAttempt())
		}
	}
	if n := e.Count("SELECT count(*) FROM payouts WHERE counted = 1"); n != 1 {
		t.Error("the attempt that had failed before does not count as a try")
	}
	paidOnce(t, e, 1)
	e.Check()
}

// Promise 1. What a provider denied twice while its reading side was blind, and could not go for days, is not sent on the word of then: it is asked
// anew when it may go, and not before. What was paid is taken over, what never was goes.
func TestAnAbsenceAfterARestoreIsNotBelievedForDays(t *testing.T) {
	t.Parallel()
	for name, paid := range map[string]bool{"paid before": true, "never sent": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sending.New(t)
			restore := pgtest.Backup(t, e.Pool)
			if paid {
				e.Send(e.Sender(), 1)
			}
			restore()
			mark(e, 1)
			blind, sends := true, 0
			s := e.Sender(sending.Hooks{Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
				sends++
				return real.Submit(ctx, tr)
			}, Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
				if blind {
					return provider.Found{}, nil
				}
				return real.Lookup(ctx, tr)
			}})
			run := e.Plan(1)
			e.Dispatch(s, run)
			e.SQL("UPDATE batches SET control = 'paused'")
			prove(t, e, s)
			blind = false
			e.Clock.Advance(72 * time.Hour)
			e.Dispatch(s, run)
			if n := e.Count("SELECT count(*) FROM prechecks WHERE state = 'absent'"); n != 1 {
				t.Fatalf("%d are proven absent while the batch is paused", n)
			}
			e.SQL("UPDATE batches SET control = 'open'")
			e.Dispatch(s, run)
			if sends != 0 {
				t.Error("sent on the word of days ago")
			}
			prove(t, e, s)
			if got := e.One(); got != "succeeded" || (sends == 0) != paid {
				t.Errorf("%s after %d sends", got, sends)
			}
			paidOnce(t, e, 1)
			e.Check()
		})
	}
}

// A provider that does not answer proves nothing: nothing is sent, and no run waits for it for ever.
func TestNothingIsSentWhileTheProviderDoesNotAnswer(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	mark(e, 1)
	s := e.Sender(sending.Hooks{Lookup: func(context.Context, provider.Transfer, provider.Lookuper) (provider.Found, error) {
		return provider.Found{}, errors.New("no answer")
	}})
	run := e.Send(s, 3)
	prove(t, e, s)
	e.Sweep(s)
	if n := len(e.Book()); n != 0 {
		t.Errorf("%d were sent", n)
	}
	if n := e.Count("SELECT count(*) FROM runs WHERE run_id = $1 AND state = 'completed'", run); n != 1 {
		t.Error("the run waits for a provider that does not answer")
	}
	well := e.Sender()
	prove(t, e, well)
	prove(t, e, well)
	if diff := cmp.Diff(map[string]int64{"succeeded": 3}, e.PayoutStates()); diff != "" {
		t.Errorf("when it answers again (-want +got)\n%s", diff)
	}
	e.Check()
}

// A second restore makes everything doubtful again that was proven after the first; a day that had not come is not.
func TestWhatIsAskedAbout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		until  string
		epochs int
		asks   bool
	}{
		"a day before the mark":      {"2025-01-26", 1, true},
		"the last day":               {"2025-01-24", 1, true},
		"a later day":                {"2025-01-23", 1, false},
		"after a second restore too": {"2025-01-26", 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sending.New(t)
			s := e.Sender()
			e.SQL("INSERT INTO restore_marks VALUES (1, $1, NULL, $2, 'test', 'user:test')", e.Clock.Now(), c.until)
			run := e.Plan(1)
			if c.epochs == 2 { // proven after the first, and not sent before the second
				e.Dispatch(s, run)
				for range 3 {
					e.Clock.Advance(settled)
					if err := s.Prechecks.Pass(e.Ctx()); err != nil {
						t.Fatal(err)
					}
				}
				if n := e.Count("SELECT count(*) FROM prechecks WHERE state = 'absent'"); n != 1 {
					t.Fatal("not proven after the first restore")
				}
				mark(e, 2)
			}
			e.Dispatch(s, run)
			if sent := len(e.Book()) == 1; sent == c.asks {
				t.Errorf("sent without being asked about: %t", sent)
			}
			prove(t, e, s)
			paidOnce(t, e, 1)
		})
	}
}

// A manual run that nobody repeats paid the payee under an id that does not come again: their next payout waits for a person, and
// nobody else's does.
func TestAPayeeOfALostManualRunIsHeld(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lost uuid.UUID
		net  int64
		held bool
	}{
		"another payout of theirs":     {uuid.New(), 24000, true},
		"this one":                     {payout.ID(payoutstest.Tenant, sending.Payee(1), "2025-01-24", "payouts/daily", 1), 24000, false},
		"this one, over another sum":   {payout.ID(payoutstest.Tenant, sending.Payee(1), "2025-01-24", "payouts/daily", 1), 48000, false}, // its reference tells
		"a part that comes again":      {payout.ID(payoutstest.Tenant, sending.Payee(2), "2025-01-24", "payouts/daily", 1), 24000, false},
		"a part that comes otherwise":  {payout.ID(payoutstest.Tenant, sending.Payee(2), "2025-01-24", "payouts/daily", 1), 25000, true},
		"one that comes to be skipped": {payout.ID(payoutstest.Tenant, sending.Payee(3), "2025-01-24", "payouts/daily", 1), 24, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sending.New(t)
			mark(e, 1)
			e.SQL("INSERT INTO restore_lost (subject_id, tenant, owner_id, provider, amount, state, epoch, version) VALUES ($1, $2, $3, 'orange', $4, 'succeeded', 0, 5)",
				c.lost, payoutstest.Tenant, sending.Payee(1), c.net)
			if _, refused := e.Import(payoutstest.Header + "pay-small," + sending.Payee(3) + ",Livreur," + sending.Phone(3) + ",30,XOF,orange_money,completed,2025-01-24T12:00:00Z,\n"); len(refused) > 0 {
				t.Fatal(refused)
			}
			s := e.Sender()
			e.Send(s, 2)
			prove(t, e, s)
			want := "succeeded"
			if c.held {
				want = "held/" + payout.CodeRestored
			}
			if got := e.Of(1); got != want {
				t.Errorf("the payout is %s, want %s", got, want)
			}
			if got := e.Of(2); got != "succeeded" {
				t.Errorf("that of another payee is %s", got)
			}
			if !c.held {
				return
			}
			var id uuid.UUID
			if err := e.Pool.QueryRow(t.Context(), "SELECT payout_id FROM payouts WHERE payee_id = $1", sending.Payee(1)).Scan(&id); err != nil {
				t.Fatal(err)
			}
			outcomes := outcome.New(outcome.Deps{Store: e.Store, Outbox: e.Outbox, Clock: e.Clock, Tenants: e.Tenants, Connectors: s.Connectors})
			people := &resolve.Resolver{Store: e.Store, Outcomes: outcomes, Clock: e.Clock}
			e.InTx(func(tx pgx.Tx) error { return people.Release(e.Ctx(), tx, payoutstest.Tenant, id, "looked into it") })
			e.Commands(s)
			prove(t, e, s)
			if got := e.Of(1); got != "succeeded" {
				t.Errorf("after a person released it the payout is %s", got)
			}
			if n := e.Count("SELECT count(*) FROM restore_lost WHERE passed_by = 'user:test' AND settled_at IS NULL"); n != 1 {
				t.Error("nobody answers for the release")
			}
		})
	}
}

// What was told of through another provider comes again after a person has spoken of what else its payee was sent: that word says nothing of it, and
// it is held. Their word about it keeps it held, so that it can be ended, and a second one lets it go.
func TestAWordAboutAnotherPayoutLetsNothingGo(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	mark(e, 1)
	id := payout.ID(payoutstest.Tenant, sending.Payee(1), "2025-01-24", "payouts/daily", 1)
	e.SQL("INSERT INTO restore_lost (subject_id, tenant, owner_id, provider, amount, state, epoch, version) VALUES ($1, $2, $3, 'wave', 24000, 'succeeded', 0, 5)",
		id, payoutstest.Tenant, sending.Payee(1))
	e.InTx(func(tx pgx.Tx) error {
		return restore.PassLost(e.Ctx(), tx, payoutstest.Tenant, sending.Payee(1), "user:ada", e.Clock.Now())
	})
	s := e.Sender()
	e.Send(s, 1)
	prove(t, e, s)
	people := &resolve.Resolver{Store: e.Store, Outcomes: s.Outcomes, Clock: e.Clock}
	for _, want := range []string{"held/" + payout.CodeRestored, "held/" + payout.CodeByPerson, "succeeded"} {
		if got := e.Of(1); got != want {
			t.Fatalf("it is %s, want %s", got, want)
		}
		if want == "succeeded" {
			break
		}
		e.InTx(func(tx pgx.Tx) error {
			return people.Release(e.Ctx(), tx, payoutstest.Tenant, id, "looked there: not paid")
		})
		e.Commands(s)
		prove(t, e, s)
	}
	if n := e.Count("SELECT count(*) FROM restore_lost WHERE settled_by = 'user:test' AND passed_by = 'user:ada'"); n != 1 {
		t.Error("nobody answers for each word")
	}
}
