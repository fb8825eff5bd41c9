package resting_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/resolve"
	"github.com/agogopay/agogo/services/payouts/internal/store"
	"github.com/agogopay/agogo/simulator"
)

// refusedBefore has one payout that its provider refused before a restore, for good or so that it is tried again by itself; it rests in held.
func refusedBefore(t *testing.T, code string, class provider.Class) *scene {
	t.Helper()
	e := sending.New(t)
	restore := pgtest.Backup(t, e.Pool)
	e.Cashin(simulator.Failed, 1)
	e.Send(e.Sender(), 1)
	restore()
	e.NoFaults()
	now := e.Clock.Now()
	e.SQL("INSERT INTO restore_marks VALUES (1, $1, $2, $3, 'test', 'user:test')", now, now.Add(-time.Hour), now.AddDate(0, 0, 2))
	s := &scene{Env: e, t: t, s: e.Sender(sending.Hooks{Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
		f, err := real.Lookup(ctx, tr)
		if f.Exists && f.Result.Class == provider.RejectedFinal {
			f.Result.Class = class
		}
		return f, err
	}})}
	s.run = e.Plan(1)
	s.move(payout.Approved, payout.Held, payout.HeldBy(code))
	return s
}

// people does what ada says of the first payout.
func (s *scene) people(do func(*resolve.Resolver) func(context.Context, pgx.Tx, string, uuid.UUID, string) error) error {
	s.t.Helper()
	r := &resolve.Resolver{Store: s.Store, Outcomes: s.s.Outcomes, Clock: s.Clock}
	ctx := auth.WithActor(s.Ctx(), auth.Actor{Name: "user:ada", Role: auth.Admin, Tenants: []string{"*"}})
	return pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error { return do(r)(ctx, tx, payoutstest.Tenant, s.id(), "looked there: not paid") })
}

func release(r *resolve.Resolver) func(context.Context, pgx.Tx, string, uuid.UUID, string) error {
	return r.Release
}

func again(r *resolve.Resolver) func(context.Context, pgx.Tx, string, uuid.UUID, string) error {
	return r.Retry
}

// What a person holds, or no cap lets go, was refused before the restore. Taken over, its first try is what it was; the next one waits for what
// held it, as if nothing had been taken over, and goes when that is gone.
func TestATakeOverKeepsWhatHoldsTheNextTry(t *testing.T) {
	t.Parallel()
	for _, code := range []string{payout.CodeByPerson, payout.CodeDailyCap} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			s := refusedBefore(t, code, provider.RejectedRetryable)
			if code == payout.CodeDailyCap {
				s.Rules().DailyCap = 1
				s.SQL("UPDATE payouts SET cap_date = NULL")
			}
			s.asks(2)
			s.Clock.Advance(20 * time.Minute)
			s.asks(4)
			if n := s.Count("SELECT count(*) FROM attempts WHERE state = 'failed'"); n != 1 {
				t.Fatalf("%d attempts were taken over and found to have failed", n)
			}
			if got, n := s.One(), s.Requests(); got != "held/"+code || n != 1 {
				t.Errorf("tried again it is %s, after %d requests; held for %s", got, n, code)
			}
			if code == payout.CodeDailyCap {
				s.Rules().DailyCap = 0
			} else if err := s.people(release); err != nil {
				t.Fatal(err)
			}
			s.asks(4)
			s.Pass(s.s)
			if got, n := s.One(), s.Requests(); got != "succeeded" || n != 2 {
				t.Errorf("released it is %s, after %d requests", got, n)
			}
		})
	}
}

// shows holds what people are told that held the first payout before it was taken over against what is expected.
func (s *scene) shows(want string) {
	s.t.Helper()
	server, ctx := s.server()
	p, err := server.GetPayout(ctx, &payoutsv1.GetPayoutRequest{Tenant: payoutstest.Tenant, Id: s.id().String()})
	if err != nil || p.GetHeldFor() != want {
		s.t.Errorf("%s, held for %q before, want %q: %v", p.GetState(), p.GetHeldFor(), want, err)
	}
}

// A person who tries again what failed, one or a batch, releases nothing that another person holds.
func TestTryingAgainReleasesNothing(t *testing.T) {
	t.Parallel()
	for name, retry := range map[string]func(*scene) error{
		"one": func(s *scene) error { return s.people(again) },
		"the batch": func(s *scene) error {
			s.InTx(func(tx pgx.Tx) error {
				ctx := auth.WithActor(s.Ctx(), auth.Actor{Name: "user:ada", Role: auth.Admin, Tenants: []string{"*"}})
				done, err := s.Store.RetryFailed(ctx, tx, payoutstest.Tenant, store.BatchID(s.run))
				if done.Retried != 0 || done.Waiting != 1 {
					s.t.Errorf("%+v of one that is held", done)
				}
				return err
			})
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := refusedBefore(t, payout.CodeByPerson, provider.RejectedFinal)
			s.asks(2)
			s.shows(payout.CodeByPerson)
			if err := retry(s); err != nil {
				t.Fatal(err)
			}
			if got := s.One(); got != "held/by_person" {
				t.Errorf("it is %s", got)
			}
			s.shows("") // its reason says so
		})
	}
}

// What was told of elsewhere is of a cancelled run, from wherever it rests and whatever else holds it: soon it is held as restored, a person's
// word releases it, also past the day's cap, and it ends cancelled, its payments free.
func TestWhatWasToldOfElsewhereOfACancelledRunEnds(t *testing.T) {
	t.Parallel()
	for _, at := range []string{payout.CodeProviderStopped, payout.CodePayeePaused, payout.CodeDailyCap, "awaiting_approval", "approved"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			state := at
			if at != "approved" && at != "awaiting_approval" {
				state = "held"
			}
			s := rest(t, 1, state, false)
			if state == "held" {
				s.SQL("UPDATE payouts SET reason_code = $1", at)
			}
			if at == payout.CodeDailyCap {
				s.Rules().DailyCap = 1
			}
			s.SQL("INSERT INTO restore_lost (subject_id, tenant, owner_id, provider, amount, state, epoch, version) VALUES ($1, $2, $3, 'wave', 24000, 'succeeded', 0, 5)",
				s.id(), payoutstest.Tenant, sending.Payee(1))
			s.InTx(func(tx pgx.Tx) error { return s.Store.CancelRun(s.Ctx(), tx, s.run, "the wrong file") })
			s.asks(2)
			if got := s.One(); got != "held/restored" {
				t.Fatalf("of a cancelled run it is %s", got)
			}
			version := "SELECT version FROM payouts"
			before := s.Count(version)
			s.asks(2)
			if n := s.Count(version); n != before {
				t.Errorf("it is held again and again: version %d, then %d", before, n)
			}
			if err := s.people(release); err != nil {
				t.Fatalf("%v: %s", err, next(err))
			}
			s.asks(4)
			if got, free := s.One(), s.free(); !strings.HasPrefix(got, "cancelled") || free != 1 || s.Requests() != 0 {
				t.Errorf("released it is %s, %d payments are free, %d requests", got, free, s.Requests())
			}
		})
	}
}

// What was told of elsewhere and is held for it waits for a person, for days perhaps: no sweep locks it again, and whoever has its row keeps
// nobody waiting.
func TestWhatWaitsForAPersonIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := rest(t, 1, "held", false)
	s.SQL("INSERT INTO restore_lost (subject_id, tenant, owner_id, provider, amount, state, epoch, version) VALUES ($1, $2, $3, 'wave', 24000, 'succeeded', 0, 5)",
		s.id(), payoutstest.Tenant, sending.Payee(1))
	s.InTx(func(tx pgx.Tx) error { return s.Store.CancelRun(s.Ctx(), tx, s.run, "the wrong file") })
	s.asks(2)
	if got := s.One(); got != "held/restored" {
		t.Fatalf("of a cancelled run it is %s", got)
	}
	s.InTx(func(tx pgx.Tx) error {
		ids, _, err := s.Store.Rest(s.Ctx(), tx, store.Rest{}, 500)
		if err != nil || len(ids) != 1 {
			t.Errorf("%d are left of the run: %v", len(ids), err)
			return err
		}
		if _, err := s.Store.CancelRest(s.Ctx(), tx, ids); err != nil {
			return err
		}
		var locks bool
		err = tx.QueryRow(s.Ctx(), "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'payouts'::regclass AND mode = 'RowShareLock')").Scan(&locks)
		if locks {
			t.Error("its row is locked again")
		}
		return err
	})
}
