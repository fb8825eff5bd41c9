-- name: Accept :many
-- Inserted in one order by everybody, so that two batches that share messages wait for each other instead of deadlocking.
INSERT INTO inbox (consumer, msg_id)
SELECT @consumer::text, id FROM unnest(@ids::text[]) AS id ORDER BY id
ON CONFLICT DO NOTHING
RETURNING msg_id;

-- name: Purge :execrows
DELETE FROM inbox WHERE (consumer, msg_id) IN (
    SELECT i.consumer, i.msg_id FROM inbox i
    WHERE i.accepted_at < now() - make_interval(secs => @older_than_seconds::float8)
    ORDER BY i.accepted_at LIMIT @batch
);
