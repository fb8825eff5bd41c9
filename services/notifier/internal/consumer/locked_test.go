package consumer_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// Somebody holds the row of one alert, a replica that hangs in its transaction say: the events that count in it wait, however many, and nobody else does.
func TestALockedAlertKeepsNobodyElseFromBeingTold(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.must(message(t, "payout.outcome_unknown", "U0", 4, 0, payout(900, nil)))
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if tag, err := tx.Exec(t.Context(), "SELECT * FROM alerts FOR UPDATE"); err != nil || tag.RowsAffected() == 0 {
		t.Fatalf("%v, %d alerts", err, tag.RowsAffected())
	}
	var untold atomic.Int32
	var wg sync.WaitGroup
	for n := range 30 {
		wg.Go(func() {
			if b.handle(message(t, "payout.outcome_unknown", fmt.Sprintf("V%d", n), 4, 0, payout(901+n, nil))) == nil {
				t.Error("an event of the locked alert was told")
			}
		})
	}
	for n := range 50 {
		wg.Go(func() {
			if err := b.handle(message(t, "payout.succeeded", fmt.Sprintf("P%d", n), 4, 0, payout(1+n, nil))); err != nil {
				untold.Add(1)
			}
		})
	}
	wg.Wait()
	if n := untold.Load(); n > 0 {
		t.Errorf("%d others were not told because of one locked alert", n)
	}
}
