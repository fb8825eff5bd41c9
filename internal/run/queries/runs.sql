-- name: InsertRun :execrows
INSERT INTO runs (run_id, tick_id, tenant, schedule, job, nominal_time, local_date, window_start, window_end, timezone,
                  trigger, requester, correlation, causation, state, created_at)
VALUES (@run_id, @tick_id, @tenant, @schedule, @job, @nominal_time, (@local_date::text)::date, @window_start, @window_end, @timezone,
        @trigger, @requester, @correlation, @causation, 'queued', @now)
ON CONFLICT DO NOTHING;

-- name: LockSchedule :exec
-- Starting and finishing runs of a schedule must see each other's result; the lock ends with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/' || @tenant::text || '/' || @schedule::text, 7101));

-- name: StartNextRun :many
-- Who cancels the earliest holds it and wants the schedule, which is ours: it is not waited for, and no later one takes its place. The
-- cancelling starts the next one, and the sweeper this one, should it not be cancelled after all.
UPDATE runs SET state = 'running', version = version + 1, started_at = @now::timestamptz, moved_at = @now::timestamptz
WHERE run_id = (
    SELECT n.run_id FROM runs n WHERE n.state = 'queued' AND n.run_id = (
        SELECT r.run_id FROM runs r WHERE r.tenant = @tenant AND r.schedule = @schedule AND r.state = 'queued'
          AND NOT EXISTS (SELECT 1 FROM runs o WHERE o.tenant = @tenant AND o.schedule = @schedule AND o.state = 'running')
        ORDER BY r.nominal_time, r.run_id LIMIT 1
    ) FOR NO KEY UPDATE SKIP LOCKED
)
RETURNING run_id, tick_id, tenant, schedule, job, nominal_time, local_date::text AS local_date, window_start, window_end,
          timezone, trigger, requester, correlation, causation, state, reason, cursor, page, planned, done, version, started_at, moved_at, finished_at;

-- name: GetRun :one
SELECT run_id, tick_id, tenant, schedule, job, nominal_time, local_date::text AS local_date, window_start, window_end,
       timezone, trigger, requester, correlation, causation, state, reason, cursor, page, planned, done, version, started_at, moved_at, finished_at
FROM runs WHERE run_id = @run_id;

-- name: LockRun :one
-- Not FOR UPDATE: rows that refer to a run are written while its planner works on a page, and need its key only.
SELECT run_id, tick_id, tenant, schedule, job, nominal_time, local_date::text AS local_date, window_start, window_end,
       timezone, trigger, requester, correlation, causation, state, reason, cursor, page, planned, done, version, started_at, moved_at, finished_at
FROM runs WHERE run_id = @run_id FOR NO KEY UPDATE;

-- name: FindRun :one
SELECT run_id, tick_id, tenant, schedule, job, nominal_time, local_date::text AS local_date, window_start, window_end,
       timezone, trigger, requester, correlation, causation, state, reason, cursor, page, planned, done, version, started_at, moved_at, finished_at
FROM runs WHERE tenant = @tenant AND (run_id = @run_id OR tick_id = @tick_id);

-- name: ListRuns :many
SELECT run_id, tick_id, tenant, schedule, job, nominal_time, local_date::text AS local_date, window_start, window_end,
       timezone, trigger, requester, correlation, causation, state, reason, cursor, page, planned, done, version, started_at, moved_at, finished_at
FROM runs WHERE tenant = @tenant AND (nominal_time < @before::timestamptz OR (nominal_time = @before AND run_id > @after))
ORDER BY nominal_time DESC, run_id LIMIT @page_limit;

-- name: AdvanceRun :exec
UPDATE runs SET cursor = @cursor, page = page + 1, planned = @planned, done = done + @done, moved_at = @now::timestamptz
WHERE run_id = @run_id;

-- name: FinishRun :execrows
UPDATE runs SET state = @state, reason = @reason, version = version + 1, finished_at = @now::timestamptz
WHERE run_id = @run_id AND state = @from_state;

-- name: StandingRuns :many
SELECT run_id, moved_at::timestamptz AS moved_at FROM runs
WHERE state = 'running' AND NOT planned AND moved_at <= @moved_before::timestamptz AND (moved_at, run_id) > (@after_moved::timestamptz, @after_id::uuid)
ORDER BY moved_at, run_id LIMIT @page_limit;

-- name: TouchStandingRuns :many
-- Touching them makes the next look a whole patience away. Whoever has one locked moves it.
UPDATE runs SET moved_at = @now::timestamptz WHERE run_id IN (
    SELECT r.run_id FROM runs r WHERE r.run_id = ANY(@ids::uuid[]) AND r.state = 'running' AND NOT r.planned AND r.moved_at <= @moved_before::timestamptz
    ORDER BY r.run_id FOR UPDATE SKIP LOCKED)
RETURNING run_id, tenant, page;

-- name: TenantsOfRuns :many
SELECT run_id, tenant FROM runs WHERE run_id = ANY(@ids::uuid[]);

-- name: PlannedRuns :many
-- As many at most as there are schedules, since the runs of one follow each other.
SELECT run_id FROM runs WHERE state = 'running' AND planned AND run_id > @after::uuid ORDER BY run_id LIMIT @page_limit;

-- name: QueuedSchedules :many
-- Schedules with a queued run and none running: their start was lost.
SELECT DISTINCT q.tenant, q.schedule FROM runs q WHERE q.state = 'queued' AND (q.tenant, q.schedule) > (@after_tenant::text, @after_schedule::text)
  AND NOT EXISTS (SELECT 1 FROM runs o WHERE o.tenant = q.tenant AND o.schedule = q.schedule AND o.state = 'running')
ORDER BY q.tenant, q.schedule LIMIT @page_limit;

-- name: TakeTurn :one
-- Advisory locks belong to the database; the schema keeps installations that share one apart. Whoever has the turn waits for other locks no longer
-- than it says.
SELECT pg_try_advisory_xact_lock(hashtextextended(current_schema(), @key::bigint))::boolean AS mine,
       set_config('lock_timeout', @lock_wait::text, true)::text AS lock_wait;

-- name: OtherRunning :many
SELECT run_id FROM runs WHERE tenant = @tenant AND schedule = @schedule AND state = 'running' AND run_id <> @run_id;

-- name: ResumeRun :execrows
UPDATE runs SET state = 'running', reason = '', planned = false, finished_at = NULL, moved_at = @now::timestamptz, version = version + 1
WHERE run_id = @run_id AND state = 'failed';

-- name: StopPlanning :exec
UPDATE runs SET planned = true, reason = @reason WHERE run_id = @run_id AND state = 'running';
