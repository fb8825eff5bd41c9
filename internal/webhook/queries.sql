-- name: InsertWebhooks :many
-- Those that were not there yet. Arrays of arrays have to be rectangular, so references name the place of their webhook.
-- A provider whose webhooks carry neither id nor time says a second change in the words of the first: once that is settled, the same
-- bytes are news again. Soon after it they are most likely a repetition, so they wait, and any number of them is one.
WITH stored AS (
    INSERT INTO webhooks AS k (tenant, provider, digest, body, refs, received_at)
    SELECT DISTINCT ON (w.tenant, w.provider, w.digest) w.tenant, w.provider, w.digest, w.body, r.refs, @now::timestamptz
    FROM (SELECT unnest(@tenants::text[]) AS tenant, unnest(@providers::text[]) AS provider, unnest(@digests::bytea[]) AS digest,
                 unnest(@bodies::bytea[]) AS body, generate_series(1, cardinality(@tenants::text[])) AS place) w
    JOIN (SELECT n.place, array_agg(n.ref) AS refs FROM (SELECT unnest(@refs::text[]) AS ref, unnest(@places::integer[]) AS place) n
          GROUP BY n.place) r ON r.place = w.place
    ON CONFLICT (tenant, provider, digest) DO UPDATE SET before_at = k.received_at, received_at = excluded.received_at, unmatched = false
    WHERE NOT EXISTS (SELECT FROM webhook_queue q WHERE q.webhook_id = k.id)
    RETURNING k.id, k.digest, k.before_at
), waiting AS (
    -- The same bytes are queued, as far as can be seen: they may be leaving the queue at this moment. Looked for only where there are any.
    SELECT DISTINCT k.id, k.digest, k.received_at AS before_at
    FROM (SELECT unnest(@tenants::text[]) AS tenant, unnest(@providers::text[]) AS provider, unnest(@digests::bytea[]) AS digest) w
    JOIN webhooks k ON k.tenant = w.tenant AND k.provider = w.provider AND k.digest = w.digest
    WHERE (SELECT count(*) FROM stored) < cardinality(@tenants::text[]) AND k.id NOT IN (SELECT s.id FROM stored s)
), queued AS (
    -- Whoever has one in hand is waited for. What is queued then is left as it is, and what has left the queue comes back.
    INSERT INTO webhook_queue AS q (webhook_id, next_try_at)
    SELECT n.id, GREATEST(@now::timestamptz, n.before_at + make_interval(secs => @repeats_within_seconds::float8))
    FROM (SELECT s.id, s.before_at FROM stored s UNION ALL SELECT a.id, a.before_at FROM waiting a) n ORDER BY n.id
    ON CONFLICT (webhook_id) DO UPDATE SET next_try_at = q.next_try_at WHERE false
    RETURNING q.webhook_id
)
SELECT s.digest FROM stored s
UNION ALL
SELECT a.digest FROM waiting a JOIN queued d ON d.webhook_id = a.id;

-- name: ClaimWebhooks :many
SELECT w.id, w.tenant, w.provider, w.body, w.refs, w.received_at
FROM (SELECT d.webhook_id, d.next_try_at FROM webhook_queue d WHERE d.next_try_at <= @now::timestamptz
      ORDER BY d.next_try_at, d.webhook_id LIMIT @batch_size FOR UPDATE SKIP LOCKED) q
JOIN webhooks w ON w.id = q.webhook_id
ORDER BY q.next_try_at, w.id;

-- name: SettleWebhooks :exec
DELETE FROM webhook_queue WHERE webhook_id = ANY(@ids::bigint[]);

-- name: PostponeWebhooks :exec
-- What is only busy waits for what it waited for before.
UPDATE webhook_queue q SET next_try_at = s.next_try, waits_for = COALESCE(u.refs, q.waits_for)
FROM (SELECT unnest(@ids::bigint[]) AS id, unnest(@next_tries::timestamptz[]) AS next_try, generate_series(1, cardinality(@ids::bigint[])) AS place) s
LEFT JOIN (SELECT n.place, array_agg(n.ref) AS refs FROM (SELECT unnest(@missing::text[]) AS ref, unnest(@places::integer[]) AS place) n
           GROUP BY n.place) u ON u.place = s.place
WHERE q.webhook_id = s.id;

-- name: RecallWebhooks :many
-- Whoever has one in hand is waited for, and what was made of it counts. In one order: others recall too.
WITH waiting AS MATERIALIZED (
    SELECT q.webhook_id, q.waits_for FROM webhook_queue q JOIN webhooks w ON w.id = q.webhook_id
    WHERE q.waits_for && @refs::text[] AND w.tenant = @tenant AND w.provider = @provider
    ORDER BY q.webhook_id FOR UPDATE OF q
), due AS (
    UPDATE webhook_queue q SET next_try_at = LEAST(q.next_try_at, @now::timestamptz) FROM waiting k WHERE q.webhook_id = k.webhook_id
)
SELECT k.waits_for::text[] AS waits_for FROM waiting k;

-- name: AskableNames :many
-- Ids by which webhooks wait and that may be asked about, the longest waiting first.
SELECT k.id::text AS id, k.received_at::timestamptz AS received_at
FROM (SELECT u.id, min(w.received_at) AS received_at FROM webhook_queue q JOIN webhooks w ON w.id = q.webhook_id, unnest(q.waits_for) AS u(id)
      WHERE q.waits_for IS NOT NULL AND w.tenant = @tenant AND w.provider = @provider GROUP BY u.id) k
WHERE NOT EXISTS (SELECT FROM webhook_names n WHERE n.tenant = @tenant AND n.provider = @provider AND n.id = k.id
                  AND (n.reference IS NOT NULL OR n.next_ask_at > @now))
ORDER BY k.received_at, k.id LIMIT @most;

-- name: AskNames :many
-- Whoever gets one asks about it, and nobody else does until then.
INSERT INTO webhook_names AS n (tenant, provider, id, asked_at, next_ask_at)
SELECT @tenant, @provider, i.id, @now, i.next_ask_at
FROM (SELECT unnest(@ids::text[]) AS id, unnest(@next_asks::timestamptz[]) AS next_ask_at) i ORDER BY i.id
ON CONFLICT (tenant, provider, id) DO UPDATE SET asked_at = excluded.asked_at, next_ask_at = excluded.next_ask_at
WHERE n.reference IS NULL AND n.next_ask_at <= @now
RETURNING n.id;

-- name: TellNames :exec
UPDATE webhook_names n SET reference = t.reference
FROM (SELECT unnest(@ids::text[]) AS id, unnest(@refs::text[]) AS reference) t
WHERE n.tenant = @tenant AND n.provider = @provider AND n.id = t.id;

-- name: MissNames :exec
UPDATE webhook_names SET missed = true WHERE tenant = @tenant AND provider = @provider AND id = ANY(@ids::text[]) AND reference IS NULL;

-- name: Unnamed :one
-- When the first webhook came that waits by an id whose reference is not told, and may still be.
SELECT min(w.received_at)::timestamptz AS oldest FROM webhook_queue q JOIN webhooks w ON w.id = q.webhook_id
WHERE (SELECT EXISTS (SELECT FROM webhook_names a WHERE a.tenant = @tenant AND a.provider = @provider AND a.reference IS NULL)) -- nearly never
  AND q.waits_for IS NOT NULL AND w.tenant = @tenant AND w.provider = @provider
  AND EXISTS (SELECT FROM webhook_names n WHERE n.tenant = @tenant AND n.provider = @provider AND n.id = ANY(q.waits_for)
              AND n.reference IS NULL AND (n.missed OR NOT @missed::boolean))
HAVING count(*) > 0;

-- name: IsNamed :one
SELECT EXISTS (SELECT FROM webhook_names WHERE tenant = @tenant AND provider = @provider AND reference = @reference::text);

-- name: GiveUpWebhooks :exec
UPDATE webhooks SET unmatched = true WHERE id = ANY(@ids::bigint[]);

-- name: ForgetWebhooks :one
-- By place, since for so many keys at once the planner reads the whole table; the lock keeps the places what they are.
WITH gone AS (
    DELETE FROM webhooks WHERE ctid = ANY (ARRAY(
        SELECT w.ctid FROM webhooks w WHERE w.received_at < @before::timestamptz
        ORDER BY w.received_at LIMIT @batch FOR UPDATE SKIP LOCKED
    )) RETURNING id
), unqueued AS (
    DELETE FROM webhook_queue q USING gone g WHERE q.webhook_id = g.id
), unnamed AS (
    -- What was named by webhooks of that age; there are never more of these.
    DELETE FROM webhook_names WHERE ctid = ANY (ARRAY(
        SELECT n.ctid FROM webhook_names n WHERE n.asked_at < @before::timestamptz ORDER BY n.asked_at LIMIT @batch FOR UPDATE SKIP LOCKED
    ))
)
SELECT count(*) FROM gone;
