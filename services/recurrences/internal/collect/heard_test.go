package collect_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/webhook"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
)

// A webhook that came before its reference was asked about waits for its next try, at most an hour. What it says is heard before absence is
// proven: the card is not charged a second time.
func TestAWebhookThatWaitsIsHeardBeforeACharge(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Connector.Namer = nil // its webhooks name references
	e.Agree("rec-paid", "2025-10-30", recurrencestest.OK)
	restore := pgtest.Backup(t, e.Pool)
	e.Morning("2025-10-30")
	sent := e.Gateway.Sends()[0].Reference
	restore()
	restored(e, "2025-11-01")
	hooks := webhook.New("recurrences", nil, webhook.Deps{
		Pool: e.Pool, Clock: e.Clock, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Match: e.Worker.Match,
	})
	matches := func() {
		t.Helper()
		if _, err := hooks.Step(e.Ctx()); err != nil {
			t.Fatal(err)
		}
	}
	e.SQL("INSERT INTO webhooks (tenant, provider, digest, body, refs, received_at) VALUES ($1, 'cielo', '', '', ARRAY[$2], $3)",
		recurrencestest.Tenant, sent, e.Clock.Now().Add(-50*time.Minute))
	e.SQL("INSERT INTO webhook_queue (webhook_id, next_try_at) SELECT id, received_at FROM webhooks")
	matches()
	e.Gateway.Blind = true
	e.Morning("2025-10-30")
	prove(t, e)
	if n := len(e.Gateway.Sends()); n != 1 {
		t.Errorf("charged %d times, though a webhook that speaks of it is stored", n)
	}
	e.Gateway.Blind = false
	matches()
	prove(t, e)
	if c := e.Charge("rec-paid", "2025-10-30"); c.State != charge.Succeeded || len(e.Gateway.Sends()) != 1 {
		t.Errorf("%s after %d sends", c.State, len(e.Gateway.Sends()))
	}
	e.CheckEvents()
	e.CheckBooks()
}
