-- name: Schedules :many
-- All of them, deleted ones too, locked in one order so that two replicas that start at once follow each other.
SELECT * FROM schedules ORDER BY tenant, service, name FOR UPDATE;

-- name: LockDue :many
-- Paused ones are due as well: their ticks are skipped with an event each. SKIP LOCKED spreads the work over replicas and
-- keeps a slow one from stopping the others.
SELECT * FROM schedules
WHERE state <> 'deleted' AND next_time <= @now AND tenant || '/' || service || '/' || name <> ALL (coalesce(@broken::text[], '{}'))
ORDER BY next_time
LIMIT @max_rows
FOR UPDATE SKIP LOCKED;

-- name: LockSchedule :one
SELECT * FROM schedules WHERE tenant = @tenant AND service = @service AND name = @name FOR UPDATE;

-- name: GetSchedule :one
SELECT * FROM schedules WHERE tenant = @tenant AND service = @service AND name = @name AND state <> 'deleted';

-- name: ListSchedules :many
SELECT * FROM schedules
WHERE state <> 'deleted' AND (@every_tenant::boolean OR tenant = ANY (@tenants::text[]))
  AND (tenant, service, name) > (@after_tenant::text, @after_service::text, @after_name::text)
ORDER BY tenant, service, name
LIMIT @max_rows;

-- name: Advance :exec
-- The cursor never goes back, whatever this replica's clock says.
UPDATE schedules s
SET cursor_at = greatest(s.cursor_at, n.cursor_at),
    next_time = CASE WHEN n.has_next THEN n.next_time END,
    last_tick_id = CASE WHEN n.last_tick_id = '' THEN s.last_tick_id ELSE n.last_tick_id END
FROM (
    SELECT unnest(@tenants::text[]) AS tenant, unnest(@services::text[]) AS service, unnest(@names::text[]) AS name,
           unnest(@cursors::timestamptz[]) AS cursor_at, unnest(@nexts::timestamptz[]) AS next_time,
           unnest(@has_next::boolean[]) AS has_next, unnest(@last_ticks::text[]) AS last_tick_id
) n
WHERE (s.tenant, s.service, s.name) = (n.tenant, n.service, n.name);

-- name: SetLastTick :exec
UPDATE schedules SET last_tick_id = @tick_id WHERE tenant = @tenant AND service = @service AND name = @name;

-- name: PutSchedules :many
-- Writes schedules as they are after a change. A row that another replica wrote meanwhile has that version already and is
-- left alone; the keys that were written come back, and only they get events.
INSERT INTO schedules AS s (tenant, service, name, job, cron, timezone, catch_up, catch_up_window, catch_up_cap, state,
                            pause_reason, cursor_at, next_time, version, created_at, updated_at)
SELECT n.tenant, n.service, n.name, n.job, n.cron, n.timezone, n.catch_up, n.catch_up_window, n.catch_up_cap, n.state,
       n.pause_reason, n.cursor_at, CASE WHEN n.has_next THEN n.next_time END, n.version, @now, @now
FROM (
    SELECT unnest(@tenants::text[]) AS tenant, unnest(@services::text[]) AS service, unnest(@names::text[]) AS name,
           unnest(@jobs::text[]) AS job, unnest(@crons::text[]) AS cron, unnest(@timezones::text[]) AS timezone,
           unnest(@catch_ups::text[]) AS catch_up, unnest(@windows::bigint[]) AS catch_up_window,
           unnest(@caps::integer[]) AS catch_up_cap, unnest(@states::text[]) AS state,
           unnest(@pause_reasons::text[]) AS pause_reason, unnest(@cursors::timestamptz[]) AS cursor_at,
           unnest(@nexts::timestamptz[]) AS next_time, unnest(@has_next::boolean[]) AS has_next,
           unnest(@versions::bigint[]) AS version
) n
ON CONFLICT (tenant, service, name) DO UPDATE
SET job = excluded.job, cron = excluded.cron, timezone = excluded.timezone, catch_up = excluded.catch_up,
    catch_up_window = excluded.catch_up_window, catch_up_cap = excluded.catch_up_cap, state = excluded.state,
    pause_reason = excluded.pause_reason, cursor_at = greatest(s.cursor_at, excluded.cursor_at),
    next_time = excluded.next_time, version = excluded.version, updated_at = excluded.updated_at
WHERE s.version = excluded.version - 1
RETURNING tenant, service, name;

-- name: OldestDue :one
-- What the lateness gauge shows: the oldest nominal time that nobody has settled.
SELECT min(next_time)::timestamptz AS oldest FROM schedules WHERE state <> 'deleted' AND next_time <= @now HAVING min(next_time) IS NOT NULL;
