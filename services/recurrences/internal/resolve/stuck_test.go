package resolve_test

import (
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
)

// A webhook spoke of a closed attempt, and the gateway does not answer what it is asked: the charge cannot be retried before
// it does, which may be never. The run does not wait for that, and neither do those behind it.
func TestARunDoesNotWaitForALookupThatIsNotAnswered(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.Soft)
	e.Agree("rec-2", "2025-10-31", "tok_soft_2")
	e.Morning("2025-10-30")
	c := e.Charge("rec-1", "2025-10-30")
	e.Gateway.Finish(c.Reference, provider.Result{Class: provider.Ambiguous, Code: "query_host_down"})
	e.Webhook(c.Reference)
	e.LookUp(time.Second)
	e.Morning("2025-10-31")
	for _, date := range []string{"2025-10-31", "2025-11-01", "2025-11-02", "2025-11-03"} {
		e.Retry(date)
	}
	for range 3 {
		e.LookUp(time.Hour)
		e.Sweep()
	}
	if n := e.Count("SELECT count(*) FROM runs WHERE state IN ('running', 'queued')"); n != 0 {
		t.Errorf("%d runs wait", n)
	}
	if c := e.Charge("rec-2", "2025-10-31"); c.Attempt != 2 {
		t.Errorf("the charge behind it had %d attempts", c.Attempt)
	}
	wakes := e.Count("SELECT count(*) FROM outbox WHERE stream = 'COMMANDS'")
	e.Sweep()
	if n := e.Count("SELECT count(*) FROM outbox WHERE stream = 'COMMANDS'"); n != wakes {
		t.Errorf("%d commands wake what cannot go", n-wakes)
	}
	e.Gateway.Finish(c.Reference, provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopePayment, Code: "insufficient_funds"})
	e.LookUp(24 * time.Hour)
	e.Sweep()
	if c := e.Charge("rec-1", "2025-10-30"); c.Attempt != 2 {
		t.Errorf("answered at last, and not retried: %s, %d attempts", c.State, c.Attempt)
	}
	e.CheckEvents()
	e.CheckBooks()
}
