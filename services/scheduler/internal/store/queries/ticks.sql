-- name: InsertTicks :many
-- Returns the ids that are new. The others were settled before, by another replica or by a person.
INSERT INTO ticks (tick_id, tenant, service, schedule, job, nominal_time, local_date, window_start, timezone, trigger, state,
                   reason, request_id, settled_at, fired_at)
SELECT n.tick_id, n.tenant, n.service, n.schedule, n.job, n.nominal_time, n.local_date, n.window_start, n.timezone, n.trigger,
       n.state, n.reason, n.request_id, @now::timestamptz, CASE WHEN n.state = 'fired' THEN @now::timestamptz END
FROM (
    SELECT unnest(@tick_ids::text[]) AS tick_id, unnest(@tenants::text[]) AS tenant, unnest(@services::text[]) AS service,
           unnest(@schedules::text[]) AS schedule, unnest(@jobs::text[]) AS job,
           unnest(@nominal_times::timestamptz[]) AS nominal_time, unnest(@local_dates::text[]) AS local_date,
           unnest(@window_starts::timestamptz[]) AS window_start, unnest(@timezones::text[]) AS timezone,
           unnest(@triggers::text[]) AS trigger, unnest(@states::text[]) AS state, unnest(@reasons::text[]) AS reason,
           unnest(@request_ids::text[]) AS request_id
) n
ON CONFLICT (tick_id) DO NOTHING
RETURNING tick_id;

-- name: LockTick :one
SELECT state, version FROM ticks WHERE tick_id = @tick_id FOR UPDATE;

-- name: FireSettledTick :exec
-- A tick that was missed or skipped fires after all, because a person asked for it.
UPDATE ticks
SET state = 'fired', reason = '', trigger = @trigger, job = @job, request_id = @request_id, version = @version, fired_at = @now
WHERE tick_id = @tick_id;
