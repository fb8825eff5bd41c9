package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/services/recurrences/internal/plan"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
)

// Senders, lookups, the next morning's planning and people, all about the same recurrences and cards: rows are locked in one
// order, so nobody ever waits for another in a circle, and every promise holds.
func TestEverybodyAtOnce(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	const n = 24
	kinds := []string{recurrencestest.OK, recurrencestest.Soft, recurrencestest.TimeoutPaid, recurrencestest.TimeoutSoft, recurrencestest.Hard, recurrencestest.Lost}
	for i := range n {
		e.Agree(fmt.Sprintf("rec-%02d", i), "2025-10-30", fmt.Sprintf("%s_%d", kinds[i%len(kinds)], i%12)) // two share a card
	}
	send := e.Exec.Dispatch
	e.Exec.Dispatch = func(context.Context, uuid.UUID, int) error { return nil }
	run := e.Morning("2025-10-30")
	e.Exec.Dispatch = send

	check := func(what string, err error) {
		var pe *pgconn.PgError
		if errors.As(err, &pe) {
			t.Errorf("%s: %v", what, err)
		}
	}
	var all sync.WaitGroup
	for _, s := range []*recurrencestest.Sender{e.Sender, e.Replica(), e.Replica()} {
		// Leases run by real time: with those of a provider that answers within half a second a busy machine loses some, and what is
		// taken over before it was sent ends in doubt, as it must.
		s.Connector.Policy.Lease, s.Connector.Policy.Margin = time.Minute, 6*time.Second
		all.Go(func() {
			for range 4 {
				check("dispatch", s.Dispatch(e.Ctx(), run, 0))
				_, err := s.Worker.Pass(e.Ctx())
				check("look up", err)
				e.Clock.Advance(2 * time.Second)
			}
		})
	}
	all.Go(func() { check("retry", e.Fire(recurrencestest.Tick(plan.JobRetryFailed, "2025-10-31T13:00:00Z"))) })
	for p := range 4 {
		all.Go(func() {
			for i := range n {
				id := fmt.Sprintf("rec-%02d", (i*7+p*5)%n)
				ctx := e.As(fmt.Sprintf("person-%d", p))
				check("a person", pg.InTx(ctx, e.Pool, func(tx pgx.Tx) error {
					switch (i + p) % 5 {
					case 0:
						return e.Resolver.Pause(ctx, tx, tenant, id, "")
					case 1:
						return e.Resolver.Resume(ctx, tx, tenant, id, "")
					case 2:
						return e.Resolver.SetCard(ctx, tx, tenant, id, fmt.Sprintf("%s_%d", recurrencestest.OK, 100+i%5), "visa")
					case 3:
						return e.Resolver.Reactivate(ctx, tx, tenant, id, "")
					default:
						return e.Resolver.ChargeNow(ctx, tx, tenant, e.Charge(id, "2025-10-30").ID)
					}
				}))
			}
		})
	}
	all.Wait()
	e.Work()
	for range 5 {
		e.Sweep()
		e.LookUp(2 * time.Second)
		e.LookUp(6 * time.Second)
	}
	for range 2 { // who was asked about too early, while the clock ran ahead of its send, is asked about daily from then on
		e.LookUp(25 * time.Hour)
		e.Sweep()
		e.LookUp(2 * time.Second)
		e.LookUp(6 * time.Second)
	}
	e.CheckEvents()
	e.CheckBooks()
	if doubts := e.Count("SELECT count(*) FROM charges WHERE state IN ('submitting', 'processing', 'unknown', 'manual_review')"); doubts != 0 {
		t.Errorf("%d charges are still in doubt", doubts)
	}
}
