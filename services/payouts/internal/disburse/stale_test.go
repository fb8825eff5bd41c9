package disburse_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
)

// While a claim is on its way to a payout's row another replica begins the payout, finds that it cannot reach the provider, and says so. The
// claim has not seen that attempt, and sends under its reference all the same.
func TestAnAttemptThatAClaimHasNotSeenKeepsItsReference(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	var mu sync.Mutex
	var refs []string
	heard := func(_ context.Context, tr provider.Transfer) {
		mu.Lock()
		defer mu.Unlock()
		refs = append(refs, tr.Reference)
	}
	slow := e.Sender(sending.Hooks{Before: heard})
	quick := e.Sender(sending.Hooks{Before: heard, Submit: func(context.Context, provider.Transfer, provider.Submitter) provider.Result {
		return provider.Result{Class: provider.NotSent, Scope: provider.ScopeProvider, Code: "dns_failed"}
	}})
	run := e.Plan(1)
	// The first statement that reads payees waits for the lock, having its snapshot and no row yet.
	const key = "hashtextextended(current_schema(), 4711)"
	e.SQL("CREATE SEQUENCE looks")
	e.SQL(`CREATE FUNCTION waits() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$ BEGIN
		IF nextval('looks') = 1 THEN PERFORM pg_advisory_xact_lock_shared(` + key + `); END IF; RETURN true; END $$`)
	e.SQL("ALTER TABLE payees RENAME TO payees_there")
	e.SQL("CREATE VIEW payees AS SELECT * FROM payees_there WHERE waits()")
	gate, err := e.Pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Release()
	if _, err := gate.Exec(t.Context(), "SELECT pg_advisory_lock("+key+")"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(e.Ctx())
	defer cancel()
	var working sync.WaitGroup
	working.Go(func() {
		if err := slow.Dispatch(ctx, run, 0); err != nil {
			t.Error(err)
		}
	})
	until := func(sql string) {
		for e.Count(sql) == 0 && t.Context().Err() == nil {
			<-time.After(time.Millisecond)
		}
	}
	until("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND query LIKE '%name: Claim :many%' AND pid IN (SELECT pid FROM pg_locks WHERE relation = 'payees_there'::regclass)")
	aside, stop := context.WithCancel(e.Ctx())
	working.Go(func() { _ = quick.Dispatch(aside, run, 0) }) // it rests for a second that does not pass
	until("SELECT count(*) FROM attempts WHERE state = 'not_sent'")
	if _, err := gate.Exec(t.Context(), "SELECT pg_advisory_unlock("+key+")"); err != nil {
		t.Fatal(err)
	}
	until("SELECT count(*) FROM payouts WHERE state = 'succeeded'")
	stop()
	working.Wait()
	if len(refs) != 2 || refs[0] != refs[1] || e.Count("SELECT count(*) FROM attempts") != 1 {
		t.Errorf("sent as %v", refs)
	}
	e.SQL("DROP VIEW payees")
	e.SQL("ALTER TABLE payees_there RENAME TO payees")
	e.Check()
}
