-- name: Accept :many
-- Inserted in one order by everybody, so that two batches that share messages wait for each other instead of deadlocking.
INSERT INTO inbox (consumer, msg_id)
SELECT @consumer::text, id FROM unnest(@ids::text[]) AS id ORDER BY id
ON CONFLICT DO NOTHING
RETURNING msg_id;

-- name: Forget :execrows
-- By place, since for so many keys at once the planner reads the whole table; the lock keeps the places what they are.
DELETE FROM inbox WHERE ctid = ANY (ARRAY(
    SELECT i.ctid FROM inbox i
    WHERE i.accepted_at < now() - make_interval(secs => @older_than_seconds::float8)
    ORDER BY i.accepted_at LIMIT @batch FOR UPDATE SKIP LOCKED
));
