package disburse_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/outcome"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/resolve"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// cancelOne cancels the only payout as a person does.
func cancelOne(t *testing.T, e *sending.Env, s *sending.Sender) error {
	t.Helper()
	var id uuid.UUID
	if err := e.Pool.QueryRow(t.Context(), "SELECT payout_id FROM payouts").Scan(&id); err != nil {
		t.Fatal(err)
	}
	outcomes := outcome.New(outcome.Deps{Store: e.Store, Outbox: e.Outbox, Clock: e.Clock, Tenants: e.Tenants, Connectors: s.Connectors})
	people := &resolve.Resolver{Store: e.Store, Outcomes: outcomes, Clock: e.Clock}
	return pgx.BeginFunc(e.Ctx(), e.Pool, func(tx pgx.Tx) error { return people.Cancel(e.Ctx(), tx, payoutstest.Tenant, id, "x") })
}

// Promise 1, a restore and a person who cancels: while it is not proven that nothing was sent before, nothing is freed, whichever way it is
// ended and however far the provider was asked; what was paid is taken over, though its batch is cancelled.
func TestNothingIsFreedThatMayHaveBeenSentBeforeARestore(t *testing.T) {
	t.Parallel()
	for name, answered := range map[string]bool{"the provider is being asked": false, "it has told of it": true} {
		for _, way := range []string{"run", "batch", "payout"} {
			t.Run(name+", by "+way, func(t *testing.T) {
				t.Parallel()
				e := sending.New(t)
				restore := pgtest.Backup(t, e.Pool)
				e.Send(e.Sender(), 1)
				restore()
				mark(e, 1)
				s := e.Sender()
				run := e.Plan(1)
				e.Dispatch(s, run)
				if answered {
					if err := s.Prechecks.Pass(e.Ctx()); err != nil {
						t.Fatal(err)
					}
				}
				switch way {
				case "run":
					if err := cancelRun(e, run); err != nil {
						t.Fatal(err)
					}
				case "batch":
					e.SQL("UPDATE batches SET state = 'awaiting_approval', approvals_needed = 1")
					e.InTx(func(tx pgx.Tx) error {
						return e.Store.RejectBatch(e.Ctx(), tx, store.BatchID(run), "user:ben", "the wrong file")
					})
				default:
					if err := cancelOne(t, e, s); err == nil || !strings.Contains(err.Error(), "before the restore") {
						t.Errorf("cancelled: %v", err)
					}
				}
				e.SweepOnly()
				if n := e.Count("SELECT count(*) FROM payments WHERE payout_id IS NULL"); n != 0 {
					t.Fatalf("%d payments are free: %v", n, e.PayoutStates())
				}
				e.Dispatch(s, run)
				prove(t, e, s)
				e.SweepOnly()
				if got := e.One(); got != "succeeded" {
					t.Errorf("what was paid is %s", got)
				}
				next := e.Run(payoutstest.Daily("2025-01-25T23:59:00Z"))
				e.Dispatch(s, next)
				prove(t, e, s)
				paidOnce(t, e, 1)
			})
		}
	}
}

// What was never sent before the restore is asked about though its run was cancelled before that, and freed when it is proven.
func TestACancelledRunIsAskedAboutAfterARestore(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	mark(e, 1)
	s := e.Sender()
	run := e.Plan(3)
	if err := cancelRun(e, run); err != nil {
		t.Fatal(err)
	}
	e.SweepOnly()
	if diff := cmp.Diff(map[string]int64{"approved": 3}, e.PayoutStates()); diff != "" {
		t.Fatalf("before the provider was asked (-want +got):\n%s", diff)
	}
	e.Clock.Advance(time.Hour)
	e.SweepOnly() // which wakes what has stood still
	e.Commands(s)
	if n := e.Count("SELECT count(*) FROM prechecks WHERE state = 'asking'"); n != 3 {
		t.Errorf("%d are asked about", n)
	}
	prove(t, e, s)
	e.SweepOnly()
	if diff := cmp.Diff(map[string]int64{"cancelled": 3}, e.PayoutStates()); diff != "" {
		t.Errorf("when it is proven (-want +got):\n%s", diff)
	}
	if n := len(e.Book()); n != 0 {
		t.Errorf("%d of a cancelled run were sent", n)
	}
	if n := e.Count("SELECT count(*) FROM payments WHERE payout_id IS NULL"); n != 3 {
		t.Errorf("%d payments are free", n)
	}
	e.Check()
}

// Promise 1, a provider that denies what it paid: of a cancelled run that is no proof, for nothing goes again under the same reference.
func TestWhatAProviderDeniesOfACancelledRunIsForPeople(t *testing.T) {
	t.Parallel()
	for name, cancelled := range map[string]bool{"cancelled while it is sent": true, "cancelled by itself, when denied": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sending.New(t)
			e.Config.Deduplicates = true
			under, goOn := make(chan struct{}, 8), make(chan struct{})
			s := e.Sender(sending.Hooks{Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
				under <- struct{}{}
				<-goOn
				real.Submit(ctx, tr)
				return provider.Result{Class: provider.Ambiguous, Code: "timeout"}
			}, Lookup: func(context.Context, provider.Transfer, provider.Lookuper) (provider.Found, error) {
				return provider.Found{}, nil // its reading side lags
			}})
			run := e.Plan(1)
			done := make(chan struct{})
			go func() { defer close(done); e.DispatchMoving(s, run) }()
			<-under
			if cancelled {
				if err := cancelRun(e, run); err != nil {
					t.Fatal(err)
				}
			}
			close(goOn)
			<-done
			if !cancelled {
				e.SQL("UPDATE batches SET control = 'paused'") // or it would go again at once
			}
			for range 6 {
				e.Clock.Advance(2 * time.Minute)
				e.Pass(s)
				e.SweepOnly()
			}
			want := "manual_review/not_resendable"
			if !cancelled {
				want = "approved/proven_never_created"
				if err := cancelOne(t, e, s); err == nil || !strings.Contains(err.Error(), "knows nothing of it") {
					t.Errorf("cancelled: %v", err)
				}
			}
			if got := e.One(); got != want {
				t.Errorf("the payout is %s, want %s", got, want)
			}
			next := e.Run(payoutstest.Daily("2025-01-25T23:59:00Z"))
			e.Dispatch(e.Sender(), next)
			paidOnce(t, e, 1)
		})
	}
}

// What may be ended of a cancelled run, and what may not, one reason at a time: each of them is all that stands in the way.
func TestWhatEndsOfACancelledRun(t *testing.T) {
	t.Parallel()
	const justNow, longAgo = "2025-01-24T23:00:00Z", "2025-01-24T22:59:00Z" // within the hour that it is believed, at 23:59:05, and not any more
	precheck := `INSERT INTO prechecks (subject_id, epoch, tenant, provider, number, amount, currency, destination, run_id, page, sent_until, state, proven_at, next_at)
		SELECT payout_id, %d, tenant, '%s', 1, net, currency, destination, run_id, page, now(), 'absent', timestamptz '%s', now() FROM payouts`
	attempt := `INSERT INTO attempts (subject_id, number, tenant, provider, reference, amount, currency, destination, state, code, sends, submitted_at, opened_at, closed_at)
		SELECT payout_id, 1, tenant, provider, 'r-1', net, currency, destination, 'not_sent', '%s', %d, now(), %s, now() FROM payouts`
	for name, c := range map[string]struct {
		epochs int
		until  string
		sql    string
		want   string
	}{
		"nothing was ever sent":                    {want: "cancelled/run_cancelled"},
		"contradicted":                             {sql: "UPDATE payouts SET contradicted = true", want: "approved"},
		"restored, and not asked about":            {epochs: 1, until: "2025-01-26", want: "approved"},
		"restored, and asked":                      {epochs: 1, until: "2025-01-26", sql: fmt.Sprintf(precheck, 1, "orange", justNow), want: "cancelled/run_cancelled"},
		"restored, and asked too long ago":         {epochs: 1, until: "2025-01-26", sql: fmt.Sprintf(precheck, 1, "orange", longAgo), want: "approved"},
		"restored, and asked before another":       {epochs: 2, until: "2025-01-26", sql: fmt.Sprintf(precheck, 1, "orange", justNow), want: "approved"},
		"restored, and another provider was asked": {epochs: 1, until: "2025-01-26", sql: fmt.Sprintf(precheck, 1, "wave", justNow), want: "approved"},
		"of a day that came after the restore":     {epochs: 1, until: "2025-01-23", want: "cancelled/run_cancelled"},
		"never reached the provider, twice":        {sql: fmt.Sprintf(attempt, "connection_refused", 2, "NULL"), want: "cancelled/run_cancelled"},
		"denied":                                   {sql: fmt.Sprintf(attempt, "proven_never_created", 1, "now()"), want: "unknown/run_cancelled"},
		"denied, and not sent the second time":     {sql: fmt.Sprintf(attempt, "connection_refused", 2, "now()"), want: "unknown/run_cancelled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sending.New(t)
			run := e.Plan(1)
			for n := range c.epochs {
				e.SQL("INSERT INTO restore_marks VALUES ($1, $2, NULL, $3, 'test', 'user:test')", n+1, e.Clock.Now(), c.until)
			}
			if c.sql != "" {
				e.SQL(c.sql)
				e.SQL("UPDATE payouts SET attempt = (SELECT count(*) FROM attempts)")
			}
			if err := cancelRun(e, run); err != nil {
				t.Fatal(err)
			}
			e.SweepOnly()
			if got := e.One(); got != c.want {
				t.Errorf("the payout is %s, want %s", got, c.want)
			}
			free := int64(0)
			if strings.HasPrefix(c.want, "cancelled") {
				free = 1
			}
			if n := e.Count("SELECT count(*) FROM payments WHERE payout_id IS NULL"); n != free {
				t.Errorf("%d payments are free, want %d", n, free)
			}
		})
	}
}
