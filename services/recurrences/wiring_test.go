package recurrences

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/telemetry"
	"github.com/agogopay/agogo/services/recurrences/internal/outcome"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/services/recurrences/internal/resolve"
)

// TestContradictionsAreCounted: what finds them is given the registry that the service serves.
func TestContradictionsAreCounted(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	s := &Service{
		cfg: Config{File: recurrencestest.Wallclub(t)}, connectors: &connector.Set{}, log: slog.New(slog.DiscardHandler),
		deps: Deps{Clock: clock.NewVirtual(time.Unix(0, 0)), Telemetry: &telemetry.Telemetry{Registry: registry}},
	}
	p, err := s.assemble(nil)
	if err != nil {
		t.Fatal(err)
	}
	outcomes, ok := p.reconcile.Book.(*outcome.Outcomes)
	if !ok || outcomes.Findings.Registry != prometheus.Registerer(registry) {
		t.Error("contradictions are counted for nobody")
	}
}

// TestPeopleHaveADesk: what they decide about suspense is taken, and what may have been sent before a restore is asked about before it is cancelled.
func TestPeopleHaveADesk(t *testing.T) {
	t.Parallel()
	s := &Service{
		cfg: Config{File: recurrencestest.Wallclub(t)}, connectors: &connector.Set{}, log: slog.New(slog.DiscardHandler),
		deps: Deps{Clock: clock.NewVirtual(time.Unix(0, 0)), Telemetry: &telemetry.Telemetry{Registry: prometheus.NewRegistry()}},
	}
	p, err := s.assemble(nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.admin.Suspense == nil || p.admin.Suspense.Store != p.admin.Store {
		t.Error("nobody takes decisions about suspense")
	}
	if r, ok := p.admin.Operate.(*resolve.Resolver); !ok || r.Gate == nil {
		t.Error("nobody asks about what may have been sent before a restore")
	}
}

// TestAWebhookReadsNoTable: Cielo's names a sale by Cielo's id, and attempts are kept for ever.
func TestAWebhookReadsNoTable(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	for _, do := range []string{
		`INSERT INTO attempts (subject_id, number, tenant, provider, reference, amount, currency, destination, state, provider_id, submitted_at, closed_at)
		 SELECT gen_random_uuid(), 1, 'wallclub', 'cielo', 'r' || i, 100, 'BRL', 'visa/x', 'succeeded', gen_random_uuid()::text, now(), now()
		 FROM generate_series(1, 20000) i`,
		"ANALYZE attempts",
	} {
		if _, err := e.Pool.Exec(t.Context(), do); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := e.Pool.Query(t.Context(), `EXPLAIN SELECT a.provider_id, a.reference FROM attempts a
		WHERE a.tenant = 'wallclub' AND a.provider = 'cielo' AND a.provider_id = ANY(ARRAY['6b9f0b3c-1f6d-4c2a-8000-000000000000'])
		  AND a.provider_id <> ''`)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(plan, "\n"); !strings.Contains(got, "attempts_by_provider_id") {
		t.Error(got)
	}
}
