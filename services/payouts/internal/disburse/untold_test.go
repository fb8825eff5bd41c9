package disburse_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/admin"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/resolve"
	"github.com/agogopay/agogo/simulator"
)

// untold was sent before a restore, and its provider says no more of it than how it stands.
func untold(t *testing.T, class provider.Class) (*sending.Env, *sending.Sender) {
	t.Helper()
	e := sending.New(t)
	restore := pgtest.Backup(t, e.Pool)
	if class == provider.RejectedFinal || class == provider.RejectedRetryable {
		e.Cashin(simulator.Failed, 1)
	}
	e.Send(e.Sender(), 1)
	e.NoFaults()
	first := payout.Reference(only(e), 1)
	restore()
	mark(e, 1)
	s := e.Sender(sending.Hooks{Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
		f, err := real.Lookup(ctx, tr)
		if f.Exists && tr.Reference == first {
			f = provider.Found{Exists: true, Result: provider.Result{Class: class, Scope: provider.ScopePayment, Code: "no"}}
		}
		return f, err
	}})
	e.Send(s, 1)
	prove(t, e, s)
	if got := e.One(); got != "manual_review/not_told" {
		t.Fatalf("the payout is %s", got)
	}
	return e, s
}

// only is the only payout.
func only(e *sending.Env) (id uuid.UUID) {
	for key := range e.Payouts() {
		id = uuid.MustParse(key)
	}
	return id
}

// decide is one person's word about the only payout.
func decide(e *sending.Env, s *sending.Sender, who string, r admin.Resolution) (done bool, err error) {
	ctx := auth.WithActor(e.Ctx(), auth.Actor{Name: "user:" + who, Role: auth.Admin, Tenants: []string{"*"}})
	people := &resolve.Resolver{Store: e.Store, Outcomes: s.Outcomes, Clock: e.Clock}
	r.Evidence = "the provider's portal"
	err = pg.InTx(ctx, e.Pool, func(tx pgx.Tx) error {
		said, err := people.Resolve(ctx, tx, payoutstest.Tenant, only(e), r)
		done = said.Agreed
		return err
	})
	return done, err
}

// What a provider refused before a restore, and tells neither amount nor payee of, two people end as not paid, for good or for another attempt.
func TestNotToldAndRefusedIsEndedByTwoPeople(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		class    provider.Class
		again    bool
		want     string
		requests int
	}{
		"for good":                        {provider.RejectedFinal, false, "failed/resolved_not_paid", 1},
		"refused for now, ended for good": {provider.RejectedRetryable, false, "failed/resolved_not_paid", 1},
		"paid by another attempt":         {provider.RejectedFinal, true, "succeeded", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, s := untold(t, c.class)
			r := admin.Resolution{Outcome: "not_paid", PayAgain: c.again}
			if done, err := decide(e, s, "ada", r); done || err != nil {
				t.Fatalf("one person alone: %v, %v", done, err)
			}
			if done, err := decide(e, s, "ben", r); done || err == nil {
				t.Errorf("agreed before the provider was asked: %v, %v", done, err)
			}
			e.Pass(s)
			if done, err := decide(e, s, "ben", r); !done || err != nil {
				t.Errorf("the provider says that it was refused, and so do two people: %v, %v", done, err)
			}
			e.Commands(s)
			prove(t, e, s) // that the other reference was never sent either
			if got := e.One(); got != c.want {
				t.Errorf("the payout is %s", got)
			}
			if n := e.Requests(); n != c.requests {
				t.Errorf("%d requests", n)
			}
			if n := e.Count("SELECT count(*) FROM payout_items WHERE released_at IS NULL"); (n == 0) == c.again {
				t.Errorf("%d payments belong to it", n)
			}
			e.Check()
		})
	}
}

// What was paid, or may be yet, is not ended as not paid, and the refusal names what the provider said.
func TestNotToldIsNotEndedAgainstTheProvidersWord(t *testing.T) {
	t.Parallel()
	for class, word := range map[provider.Class]string{
		provider.Succeeded: "succeeded", provider.Accepted: "pending", provider.Ambiguous: "pending",
	} {
		t.Run(string(class), func(t *testing.T) {
			t.Parallel()
			e, s := untold(t, class)
			r := admin.Resolution{Outcome: "not_paid"}
			if _, err := decide(e, s, "ada", r); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				e.Clock.Advance(48 * time.Hour)
				e.Pass(s)
			}
			if done, err := decide(e, s, "ben", r); done || err == nil || !strings.Contains(err.Error(), `said "`+word+`"`) {
				t.Errorf("the provider says %s: %v, %v", word, done, err)
			}
			if got := e.One(); got != "manual_review/not_told" {
				t.Errorf("the payout is %s", got)
			}
		})
	}
}
