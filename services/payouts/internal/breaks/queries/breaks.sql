-- name: ResetBreaks :many
-- One page of the payees whose total is of an earlier day. A break that is still open counts from midnight on.
WITH page AS (
    SELECT b.payee_id, b.total_seconds AS before,
           (b.total_seconds > 0 OR b.open_since IS NOT NULL OR b.last_reset_date IS NULL)::boolean AS counted
    FROM breaks b
    WHERE b.tenant = @tenant AND b.payee_id > @after AND b.local_date < (@local_date::text)::date
    ORDER BY b.payee_id LIMIT @page_limit FOR UPDATE
), done AS (
    UPDATE breaks b SET total_seconds = 0, local_date = (@local_date::text)::date, last_reset_date = (@local_date::text)::date,
        open_since = CASE WHEN b.open_since IS NULL THEN NULL ELSE GREATEST(b.open_since, @midnight::timestamptz) END,
        version = b.version + 1
    FROM page WHERE b.tenant = @tenant AND b.payee_id = page.payee_id
    RETURNING b.payee_id, page.before, page.counted, b.version
)
SELECT payee_id, before::bigint AS before, counted::boolean AS counted, version FROM done ORDER BY payee_id;

-- name: LockBreak :one
SELECT tenant, payee_id, local_date::text AS local_date, total_seconds, open_since, COALESCE(last_reset_date::text, '')::text AS last_reset_date, version
FROM breaks WHERE tenant = @tenant AND payee_id = @payee_id FOR UPDATE;

-- name: GetBreak :one
SELECT tenant, payee_id, local_date::text AS local_date, total_seconds, open_since, COALESCE(last_reset_date::text, '')::text AS last_reset_date, version
FROM breaks WHERE tenant = @tenant AND payee_id = @payee_id;

-- name: EnsureBreak :exec
INSERT INTO breaks (tenant, payee_id, local_date) VALUES (@tenant, @payee_id, (@local_date::text)::date) ON CONFLICT DO NOTHING;

-- name: SaveBreak :exec
UPDATE breaks SET local_date = (@local_date::text)::date, total_seconds = @total_seconds, open_since = @open_since,
    last_reset_date = (NULLIF(@last_reset_date::text, ''))::date, version = @version
WHERE tenant = @tenant AND payee_id = @payee_id;

-- name: PayeeExists :one
SELECT EXISTS (SELECT 1 FROM payees WHERE tenant = @tenant AND payee_id = @payee_id);
