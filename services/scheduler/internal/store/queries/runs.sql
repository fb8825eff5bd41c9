-- name: ReportRun :execrows
INSERT INTO runs AS r (tick_id, run_id, tenant, service, schedule, job, nominal_time, local_date, state, reason, counts,
                       totals, epoch, agg_version, updated_at)
VALUES (@tick_id, @run_id, @tenant, @service, @schedule, @job, @nominal_time, @local_date, @state, @reason, @counts, @totals,
        @epoch, @agg_version, @updated_at)
ON CONFLICT (tick_id) DO UPDATE
SET run_id = excluded.run_id, state = excluded.state, reason = excluded.reason, counts = excluded.counts,
    totals = excluded.totals, epoch = excluded.epoch, agg_version = excluded.agg_version, updated_at = excluded.updated_at
WHERE (excluded.epoch, excluded.agg_version) > (r.epoch, r.agg_version);

-- name: GetRun :one
-- By tick id or run id. A run whose tick is not here (a restored backup) is shown from its reports alone.
SELECT coalesce(t.tick_id, r.tick_id)::text AS tick_id, coalesce(r.run_id, '')::text AS run_id,
       coalesce(t.tenant, r.tenant)::text AS tenant, coalesce(t.service, r.service)::text AS service,
       coalesce(t.schedule, r.schedule)::text AS schedule, coalesce(t.job, r.job)::text AS job,
       coalesce(t.nominal_time, r.nominal_time)::timestamptz AS nominal_time,
       coalesce(t.local_date, r.local_date)::text AS local_date, coalesce(r.state, t.state)::text AS state,
       coalesce(r.reason, t.reason)::text AS reason, coalesce(r.counts, '{}')::jsonb AS counts,
       coalesce(r.totals, '{}')::jsonb AS totals, t.fired_at,
       coalesce(r.updated_at, t.fired_at, t.settled_at)::timestamptz AS updated_at
FROM (SELECT coalesce((SELECT runs.tick_id FROM runs WHERE runs.run_id = @id::text), @id::text) AS tick_id) wanted
LEFT JOIN ticks t ON t.tick_id = wanted.tick_id
LEFT JOIN runs r ON r.tick_id = wanted.tick_id
WHERE t.tick_id IS NOT NULL OR r.tick_id IS NOT NULL;

-- name: ListRuns :many
SELECT t.tick_id, coalesce(r.run_id, '')::text AS run_id, t.tenant, t.service, t.schedule, t.job, t.nominal_time, t.local_date,
       coalesce(r.state, t.state)::text AS state, coalesce(r.reason, t.reason)::text AS reason,
       coalesce(r.counts, '{}')::jsonb AS counts, coalesce(r.totals, '{}')::jsonb AS totals, t.fired_at,
       coalesce(r.updated_at, t.fired_at, t.settled_at)::timestamptz AS updated_at
FROM ticks t
LEFT JOIN runs r ON r.tick_id = t.tick_id
WHERE (@every_tenant::boolean OR t.tenant = ANY (@tenants::text[]))
  AND (@service::text = '' OR t.service = @service) AND (@schedule::text = '' OR t.schedule = @schedule)
  AND (@state::text = '' OR coalesce(r.state, t.state) = @state)
  AND (t.nominal_time, t.tick_id) < (@before_time::timestamptz, @before_id::text)
ORDER BY t.nominal_time DESC, t.tick_id DESC
LIMIT @max_rows;
