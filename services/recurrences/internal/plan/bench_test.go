package plan_test

import (
	"flag"
	"testing"
	"time"

	"github.com/agogopay/agogo/services/recurrences/internal/plan"
)

// recurrences is how many the benchmarks plan: -recurrences=1000000 for the figure of the design.
var recurrences = flag.Int("recurrences", 20_000, "recurrences that the benchmarks plan")

// fill brings n recurrences that are due, with a year's charges behind each of them.
func (e *env) fill(n, behind int) {
	e.t.Helper()
	e.SQL(`INSERT INTO cards (card_id, tenant, token, brand, state, created_at, updated_at)
		SELECT md5('card' || n)::uuid, 'wallclub', 'tok_ok_' || n, 'visa', 'valid', now(), now() FROM generate_series(1, $1::int) n`, n)
	e.SQL(`INSERT INTO recurrences (tenant, recurrence_id, customer_id, seller_id, currency, amount, period, anchor_day, next_cycle,
			next_charge_date, card_id, state, imported, version, created_at, updated_at)
		SELECT 'wallclub', 'rec-' || to_char(n, 'FM0000000'), 'cus-' || n, 'seller-' || n % 100, 'BRL', 4990, 'monthly', 30, '2025-10-30',
			'2025-10-30', md5('card' || n)::uuid, 'active', '{}', 1, now(), now() FROM generate_series(1, $1::int) n`, n)
	r := e.tick(plan.JobChargeDue, "2024-10-30T11:00:00Z")
	const part = 5000 // a statement has a minute
	for from := 1; from <= n; from += part {
		e.SQL(`INSERT INTO charges (charge_id, tenant, recurrence_id, cycle, charge_date, customer_id, seller_id, card_id, gateway, currency,
				amount, state, attempt, tries, first_attempt_date, last_attempt_date, run_id, nominal_time, version, created_at, updated_at)
			SELECT md5('charge' || n || ' ' || m)::uuid, 'wallclub', 'rec-' || to_char(n, 'FM0000000'), d, d, 'cus-' || n, 'seller-' || n % 100,
				md5('card' || n)::uuid, 'cielo', 'BRL', 4990, 'succeeded', 1, 0, d, d, $4, now(), 4, now(), now()
			FROM generate_series($1::int, $2::int) n, generate_series(1, $3::int) m,
				LATERAL (SELECT ('2025-10-30'::date - m * interval '1 month')::date AS d) at`, from, min(from+part-1, n), behind, r.ID)
	}
	e.SQL("ANALYZE")
}

// TestTwentyThousandRecurrencesAreDoneInTime: a morning, a retry and a clean-up of many, in the time that a heavily loaded machine needs
// for it. A query per row, or one that reads the whole table for each page, takes many times as long.
func TestTwentyThousandRecurrencesAreDoneInTime(t *testing.T) {
	t.Parallel()
	const n, most = 20_000, 2 * time.Minute
	e := newEnv(t)
	e.fill(n, 3)
	started := time.Now()
	if _, pages := e.pages(e.tick(plan.JobChargeDue, "2025-10-30T11:00:00Z")); pages != n/plan.PageSize+1 {
		t.Errorf("%d pages", pages)
	}
	if due := e.Count("SELECT count(*) FROM charges WHERE state = 'due'"); due != n {
		t.Errorf("%d charges are due", due)
	}
	e.SQL("UPDATE charges SET state = 'failed_soft', tries = 1, retry_on = '2025-10-31', first_attempt_date = '2025-10-30', last_attempt_date = '2025-10-30', send_run = NULL WHERE state = 'due'")
	e.SQL("UPDATE recurrences SET state = 'past_due'")
	e.pages(e.tick(plan.JobRetryFailed, "2025-10-31T13:00:00Z"))
	if wanted := e.Count("SELECT count(*) FROM charges WHERE send_date = '2025-10-31'"); wanted != n {
		t.Errorf("%d retries", wanted)
	}
	e.SQL("UPDATE charges SET state = 'failed_hard', send_run = NULL WHERE state = 'failed_soft'")
	if done := e.run(plan.JobCleanup, "2026-11-01T05:00:00Z"); done != n {
		t.Errorf("%d were cleaned up", done)
	}
	if took := time.Since(started); took > most {
		t.Errorf("it took %s", took)
	}
}

// BenchmarkChargeDue plans a morning on which everything is due.
func BenchmarkChargeDue(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		e := newEnv(b)
		e.fill(*recurrences, 12)
		r := e.tick(plan.JobChargeDue, "2025-10-30T11:00:00Z")
		b.StartTimer()
		e.pages(r)
		b.StopTimer()
		if n := e.Count("SELECT count(*) FROM charges WHERE state = 'due'"); n != int64(*recurrences) {
			b.Fatalf("%d charges", n)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(*recurrences)*float64(b.N)/b.Elapsed().Seconds(), "recurrences/s")
}

// BenchmarkQuietDay plans a morning on which nothing is due, as most are.
func BenchmarkQuietDay(b *testing.B) {
	e := newEnv(b)
	e.fill(*recurrences, 12)
	r := e.tick(plan.JobChargeDue, "2025-10-20T11:00:00Z")
	for b.Loop() {
		e.pages(r)
	}
}
