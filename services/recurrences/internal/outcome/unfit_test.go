package outcome_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// A wrong word in the tenants file has the gateway refuse every request of a morning. No card has been asked, so none is
// counted against, nothing is on hold, and all of it is charged once people have mended it.
func TestAWrongRequestSpeaksAgainstNoCard(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	const n = 4 // one fault fewer than have a connector rest
	for i := range n {
		e.Agree(fmt.Sprintf("rec-%d", i), "2025-10-30", recurrencestest.Unfit)
	}
	e.Rules().CardFailureLimit = 2
	run := e.Morning("2025-10-30")
	for i := range n {
		id := fmt.Sprintf("rec-%d", i)
		if c, r := e.Charge(id, "2025-10-30"), e.Standing(id); c.State != charge.Due || c.Tries != 0 || r.State != recurrence.Active {
			t.Errorf("%s: charge %s after %d tries, recurrence %s", id, c.State, c.Tries, r.State)
		}
	}
	if got := e.Count("SELECT count(*) FROM cards WHERE failures > 0 OR state <> $1", store.CardValid); got != 0 {
		t.Error("the card is blamed")
	}
	if got := e.Count("SELECT count(*) FROM card_attempts WHERE declined"); got != 0 {
		t.Errorf("%d attempts count for the card's network", got)
	}
	if got := e.Count("SELECT count(*) FROM runs WHERE run_id = $1 AND state = 'completed'", run); got != 1 {
		t.Error("the run waits for people")
	}
	e.Clock.Advance(time.Hour)
	e.Sweep()
	if sends := len(e.Gateway.Sends()); sends != n {
		t.Errorf("%d sends of %d wrong requests", sends, n)
	}
	e.Gateway.Say(recurrencestest.Unfit, recurrencestest.OK)
	one := e.Charge("rec-0", "2025-10-30").ID
	if err := e.Decide(func(ctx context.Context, tx pgx.Tx) error {
		return e.Resolver.ChargeNow(ctx, tx, recurrencestest.Tenant, one)
	}); err != nil {
		t.Fatal(err)
	}
	if paid := len(e.Gateway.Paid()); paid != 1 {
		t.Errorf("%d charged at once by a person, want 1", paid)
	}
	e.Clock.Advance(24 * time.Hour)
	e.Sweep()
	if paid := len(e.Gateway.Paid()); paid != n {
		t.Errorf("%d of %d charged a day later", paid, n)
	}
	e.CheckEvents()
	e.CheckBooks()
}
