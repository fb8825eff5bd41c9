-- name: InsertWebhooks :many
-- Those that were not there yet. Arrays of arrays have to be rectangular, so references name the place of their webhook.
-- A provider whose webhooks carry neither id nor time says a second change in the words of the first: once that is settled, the same
-- bytes are news again. Soon after it they are most likely a repetition, so they wait, and any number of them is one.
INSERT INTO webhooks AS k (tenant, provider, digest, body, refs, received_at, next_try_at)
SELECT DISTINCT ON (w.tenant, w.provider, w.digest) w.tenant, w.provider, w.digest, w.body, r.refs, @now::timestamptz, @now::timestamptz
FROM (SELECT unnest(@tenants::text[]) AS tenant, unnest(@providers::text[]) AS provider, unnest(@digests::bytea[]) AS digest,
             unnest(@bodies::bytea[]) AS body, generate_series(1, cardinality(@tenants::text[])) AS place) w
JOIN (SELECT n.place, array_agg(n.ref) AS refs FROM (SELECT unnest(@refs::text[]) AS ref, unnest(@places::integer[]) AS place) n
      GROUP BY n.place) r ON r.place = w.place
ON CONFLICT (tenant, provider, digest) DO UPDATE SET state = 'received', received_at = excluded.received_at,
    next_try_at = GREATEST(excluded.next_try_at, k.received_at + make_interval(secs => @repeats_within_seconds::float8))
WHERE k.state <> 'received'
RETURNING digest;

-- name: ClaimWebhooks :many
SELECT id, tenant, provider, body, refs, received_at FROM webhooks
WHERE state = 'received' AND next_try_at <= @now::timestamptz
ORDER BY next_try_at, id LIMIT @batch_size FOR UPDATE SKIP LOCKED;

-- name: SetWebhooks :exec
UPDATE webhooks w SET state = s.state, next_try_at = s.next_try
FROM (SELECT unnest(@ids::bigint[]) AS id, unnest(@states::text[]) AS state, unnest(@next_tries::timestamptz[]) AS next_try) s
WHERE w.id = s.id;

-- name: ForgetWebhooks :execrows
-- By place, since for so many keys at once the planner reads the whole table; the lock keeps the places what they are.
DELETE FROM webhooks WHERE ctid = ANY (ARRAY(
    SELECT w.ctid FROM webhooks w WHERE w.received_at < @before::timestamptz
    ORDER BY w.received_at LIMIT @batch FOR UPDATE SKIP LOCKED
));
