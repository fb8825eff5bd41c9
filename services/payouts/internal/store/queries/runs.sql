-- name: InsertRun :execrows
INSERT INTO runs (run_id, tick_id, tenant, schedule, job, nominal_time, local_date, window_start, window_end, timezone,
                  trigger, correlation, causation, state, created_at)
VALUES (@run_id, @tick_id, @tenant, @schedule, @job, @nominal_time, (@local_date::text)::date, @window_start, @window_end, @timezone,
        @trigger, @correlation, @causation, 'queued', @now)
ON CONFLICT DO NOTHING;

-- name: LockSchedule :exec
-- Starting and finishing runs of a schedule must see each other's result; the lock ends with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/' || @tenant::text || '/' || @schedule::text, 7101));

-- name: StartNextRun :many
UPDATE runs SET state = 'running', version = version + 1, started_at = @now::timestamptz, moved_at = @now::timestamptz
WHERE run_id = (
    SELECT r.run_id FROM runs r WHERE r.tenant = @tenant AND r.schedule = @schedule AND r.state = 'queued'
      AND NOT EXISTS (SELECT 1 FROM runs o WHERE o.tenant = @tenant AND o.schedule = @schedule AND o.state = 'running')
    ORDER BY r.nominal_time, r.run_id LIMIT 1
)
RETURNING run_id, tick_id, tenant, schedule, job, nominal_time, local_date::text AS local_date, window_start, window_end,
          timezone, trigger, correlation, causation, state, reason, cursor, page, planned, asked, version, moved_at;

-- name: GetRun :one
SELECT run_id, tick_id, tenant, schedule, job, nominal_time, local_date::text AS local_date, window_start, window_end,
       timezone, trigger, correlation, causation, state, reason, cursor, page, planned, asked, version, moved_at
FROM runs WHERE run_id = @run_id;

-- name: LockRun :one
SELECT run_id, tick_id, tenant, schedule, job, nominal_time, local_date::text AS local_date, window_start, window_end,
       timezone, trigger, correlation, causation, state, reason, cursor, page, planned, asked, version, moved_at
FROM runs WHERE run_id = @run_id FOR UPDATE;

-- name: AdvanceRun :exec
UPDATE runs SET cursor = @cursor, page = page + 1, planned = @planned, asked = asked + @asked, moved_at = @now::timestamptz
WHERE run_id = @run_id;

-- name: SettleableRuns :many
-- Those of the runs of which nothing is being sent or planned: until then neither they nor their batches can be done. Asked
-- after every batch of outcomes, it nearly always ends at the first row of a small index.
SELECT r.run_id FROM runs r
WHERE r.run_id = ANY(@ids::uuid[]) AND (r.planned OR r.state <> 'running') AND (r.state <> 'running' OR
  (SELECT true FROM payouts p WHERE p.run_id = r.run_id AND p.state IN ('created', 'submitting') LIMIT 1) IS NULL);

-- name: FinishableRuns :many
-- Planned, and nothing of it is created, submitting, or approved with nothing in its way. Each question ends at the first
-- payout it meets in a small index (LIMIT keeps the planner from reading all of it into a hash), so asking after every batch
-- of outcomes stays cheap.
SELECT r.run_id FROM runs r
LEFT JOIN batches b ON b.run_id = r.run_id
LEFT JOIN outflows o ON o.tenant = r.tenant
WHERE r.run_id = ANY(@ids::uuid[]) AND r.state = 'running' AND r.planned
  AND (SELECT true FROM payouts p WHERE p.run_id = r.run_id AND p.state IN ('created', 'submitting') LIMIT 1) IS NULL
  AND (b.control <> 'open' OR o.stopped OR (
    SELECT true FROM payouts p WHERE p.run_id = r.run_id AND p.state = 'approved'
      AND (p.retry_at IS NULL OR p.retry_at <= @now::timestamptz) AND NOT (p.tenant || '/' || p.provider = ANY(@stopped::text[]))
    LIMIT 1) IS NULL)
ORDER BY r.run_id;

-- name: FinishRun :execrows
UPDATE runs SET state = @state, reason = @reason, version = version + 1, finished_at = @now::timestamptz
WHERE run_id = @run_id AND state = @from_state;

-- name: RunCounts :many
SELECT state, currency, count(*)::bigint AS count, sum(net)::bigint AS net FROM payouts WHERE run_id = @run_id
GROUP BY state, currency ORDER BY state, currency;

-- name: TouchStandingRuns :many
-- Touching them makes the next look a whole patience away.
UPDATE runs SET moved_at = @now::timestamptz WHERE run_id IN (
    SELECT r.run_id FROM runs r WHERE r.state = 'running' AND NOT r.planned AND r.moved_at <= @moved_before::timestamptz
    ORDER BY r.moved_at, r.run_id LIMIT @page_limit FOR UPDATE SKIP LOCKED)
RETURNING run_id, page;

-- name: PlannedRuns :many
-- As many at most as there are schedules, since the runs of one follow each other.
SELECT run_id FROM runs WHERE state = 'running' AND planned ORDER BY run_id;

-- name: OpenBatchRuns :many
-- Runs that are complete while their batch is not closed: something of it is held, unknown or in review.
SELECT b.run_id, b.batch_id FROM batches b JOIN runs r ON r.run_id = b.run_id
WHERE b.state IN ('created', 'approved') AND r.state <> 'running' AND b.batch_id > @after::uuid
ORDER BY b.batch_id LIMIT @page_limit;

-- name: TryLock :one
-- Advisory locks belong to the database; the schema keeps installations that share one apart.
SELECT pg_try_advisory_xact_lock(hashtextextended(current_schema(), @key::bigint))::boolean AS mine;

-- name: QueuedSchedules :many
-- Schedules with a queued run and none running: their start was lost.
SELECT DISTINCT q.tenant, q.schedule FROM runs q WHERE q.state = 'queued'
  AND NOT EXISTS (SELECT 1 FROM runs o WHERE o.tenant = q.tenant AND o.schedule = q.schedule AND o.state = 'running');

-- name: PlanAnew :exec
-- A plan made for an empty table must not be kept while it fills: until the next analyze it would read all of it each time.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true);
