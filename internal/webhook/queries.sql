-- name: InsertWebhook :execrows
INSERT INTO webhooks (tenant, provider, digest, body, refs, received_at, next_try_at)
VALUES (@tenant, @provider, @digest, @body, @refs::text[], @now, @now)
ON CONFLICT DO NOTHING;

-- name: ClaimWebhooks :many
SELECT id, tenant, provider, refs, received_at FROM webhooks
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
