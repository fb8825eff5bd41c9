-- name: InsertPushes :exec
INSERT INTO pushes (notification_id, device_id, state, next_try_at, created_at, updated_at)
SELECT i.notification_id, i.device_id, 'pending', @at, @at, @at
FROM (SELECT unnest(@notification_ids::uuid[]) AS notification_id, unnest(@device_ids::uuid[]) AS device_id) AS i;

-- name: ClaimPushes :many
-- Takes due pushes that nobody holds. The lease is in database time, so that replicas need not agree on a clock.
WITH due AS (
    SELECT p.notification_id, p.device_id
    FROM pushes p
    WHERE p.state = 'pending' AND p.next_try_at <= @at AND (p.leased_until IS NULL OR p.leased_until < now())
    ORDER BY p.next_try_at
    LIMIT @page_size
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE pushes AS p
    SET lease = @held_by::uuid, leased_until = now() + make_interval(secs => @seconds::integer), tries = p.tries + 1
    FROM due
    WHERE p.notification_id = due.notification_id AND p.device_id = due.device_id
    RETURNING p.notification_id, p.device_id, p.tries, p.created_at
)
SELECT c.notification_id, c.device_id, c.tries, c.created_at,
    n.tenant, n.kind, n.subject_id, n.title, n.body, n.data, n.pushes,
    d.token, d.version AS device_version,
    (d.state = 'registered')::boolean AS registered,
    (d.user_id <> n.recipient_id)::boolean AS taken_over,
    (n.subject_order > 0 AND EXISTS (
        SELECT FROM notifications newer
        WHERE newer.tenant = n.tenant AND newer.subject_id = n.subject_id AND newer.recipient_id = n.recipient_id
            AND newer.subject_order > n.subject_order))::boolean AS overtaken
FROM claimed c
JOIN notifications n ON n.id = c.notification_id
JOIN devices d ON d.device_id = c.device_id;

-- name: RecordPushes :exec
-- What was decided counts whoever holds the lease by now; only giving a push back for later needs the lease.
UPDATE pushes AS p
SET state = r.state, code = r.code, next_try_at = r.next_try_at, lease = NULL, leased_until = NULL, updated_at = @at
FROM (SELECT unnest(@notification_ids::uuid[]) AS notification_id,
             unnest(@device_ids::uuid[]) AS device_id,
             unnest(@states::text[]) AS state,
             unnest(@codes::text[]) AS code,
             unnest(@next_try_ats::timestamptz[]) AS next_try_at) AS r
WHERE p.notification_id = r.notification_id AND p.device_id = r.device_id AND p.state = 'pending'
    AND (r.state <> 'pending' OR p.lease = @held_by::uuid);

-- name: ProvenInvalid :many
-- Devices whose push was refused as invalid while another device took the very same message: then it is the token.
SELECT DISTINCT p.device_id, d.version
FROM pushes p
JOIN devices d ON d.device_id = p.device_id
WHERE p.notification_id = ANY (@notification_ids::uuid[]) AND p.state = 'failed' AND p.code = @code::text
    AND d.state = 'registered'
    AND EXISTS (SELECT FROM pushes ok WHERE ok.notification_id = p.notification_id AND ok.state = 'sent');

-- name: PushBacklog :one
SELECT count(*) AS pending, coalesce(min(created_at), @at::timestamptz)::timestamptz AS oldest
FROM pushes
WHERE state = 'pending';
