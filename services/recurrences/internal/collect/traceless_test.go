package collect_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
)

// Promise 1 and 6. Three attempts were refused by the gateway before it made anything of them (here a wrong key that was resumed three times: Cielo's 401),
// a later one was charged. The tables go back to before the morning: the references before it are absent, and it is found behind them.
func TestRefusalsWithoutATraceHideNoChargeAfterARestore(t *testing.T) {
	t.Parallel()
	for name, was := range map[string]struct {
		kind    string
		refused int // times
		paid    int // by which attempt
	}{
		"wrong key": {recurrencestest.WrongKey, 3, 4}, "busy": {recurrencestest.Busy, 3, 4},
		"as often as is looked": {recurrencestest.WrongKey, 4, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			e.Agree("rec-1", "2025-10-30", recurrencestest.OK)
			restore := pgtest.Backup(t, e.Pool)
			e.Gateway.Say(recurrencestest.OK, was.kind)
			e.WhileTimePasses(func() { e.Morning("2025-10-30") })
			again := func() {
				e.InTx(func(tx pgx.Tx) error {
					_, err := e.States.ResumeStopped(e.Ctx(), tx, recurrencestest.Tenant, provider.Reason{Code: "by_person"})
					return err
				})
				e.Clock.Advance(2 * time.Minute)
				e.WhileTimePasses(e.Sweep)
			}
			for i := 0; i < 30 && len(e.Gateway.Sends()) < was.refused; i++ {
				again()
			}
			e.Gateway.Say(recurrencestest.OK, recurrencestest.OK)
			again()
			c := e.Charge("rec-1", "2025-10-30")
			if c.State != charge.Succeeded || c.Attempt != was.paid || len(e.Gateway.Paid()) != 1 {
				t.Fatalf("before the restore: %s with attempt %d, charged %d times", c.State, c.Attempt, len(e.Gateway.Paid()))
			}
			restore()
			restored(e, "2025-11-05")
			e.Morning("2025-10-30")
			prove(t, e)
			prove(t, e)
			if n := len(e.Gateway.Paid()); n != 1 {
				t.Errorf("charged %d times: %s with attempt %d", n, e.Charge("rec-1", "2025-10-30").State, e.Charge("rec-1", "2025-10-30").Attempt)
			}
		})
	}
}

// Attempts that a restore has lost are tries, and the network's: the card is not asked more often than was agreed.
func TestTriesThatARestoreHasLostCount(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.Soft)
	restore := pgtest.Backup(t, e.Pool)
	e.Morning("2025-10-30")
	e.Retry("2025-10-31")
	e.Retry("2025-11-03")
	if c := e.Charge("rec-1", "2025-10-30"); c.Tries != 3 || c.Attempt != 3 {
		t.Fatalf("%d tries, attempt %d", c.Tries, c.Attempt)
	}
	restore()
	restored(e, "2025-11-05")
	e.Morning("2025-10-30")
	prove(t, e)
	c := e.Charge("rec-1", "2025-10-30")
	if n := e.Count("SELECT count(*) FROM card_attempts WHERE declined"); c.Tries != 3 || n != 3 {
		t.Errorf("%d tries, %d declines of the card, want 3: %s with attempt %d", c.Tries, n, c.State, c.Attempt)
	}
	for _, d := range []string{"2025-11-04", "2025-11-05", "2025-11-06", "2025-11-07", "2025-11-10", "2025-11-11", "2025-11-12", "2025-11-13", "2025-11-14", "2025-11-17"} {
		e.Retry(d)
		prove(t, e)
	}
	c = e.Charge("rec-1", "2025-10-30")
	if n := len(e.Gateway.Sends()); n != 4 {
		t.Errorf("the card was asked %d times, agreed were 4 (%s, attempt %d, %d tries)", n, c.State, c.Attempt, c.Tries)
	}
}
