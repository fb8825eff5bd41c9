-- name: LockDevices :many
-- Locks what an import is about to change, so that the events tell the state they really leave.
SELECT device_id, state
FROM devices
WHERE tenant = @tenant AND token = ANY (@tokens::text[])
ORDER BY device_id
FOR UPDATE;

-- name: UpsertDevices :many
-- A token that another user brings is that user's device from now on: the phone changed hands.
INSERT INTO devices AS d (device_id, tenant, user_id, token, platform, locale, state, version, created_at, updated_at)
SELECT i.device_id, @tenant, i.user_id, i.token, i.platform, i.locale, 'registered', 1, @at, @at
FROM (SELECT unnest(@device_ids::uuid[]) AS device_id,
             unnest(@user_ids::text[]) AS user_id,
             unnest(@tokens::text[]) AS token,
             unnest(@platforms::text[]) AS platform,
             unnest(@locales::text[]) AS locale) AS i
ORDER BY i.device_id
ON CONFLICT (tenant, token) DO UPDATE
SET user_id = EXCLUDED.user_id, platform = EXCLUDED.platform, locale = EXCLUDED.locale,
    state = 'registered', removed_reason = '', version = d.version + 1, updated_at = EXCLUDED.updated_at
WHERE (d.user_id, d.platform, d.locale, d.state)
    IS DISTINCT FROM (EXCLUDED.user_id, EXCLUDED.platform, EXCLUDED.locale, EXCLUDED.state)
RETURNING d.device_id, d.user_id, d.platform, d.version;

-- name: RecipientDevices :many
-- The newest registration comes first: its locale is the one in which its owner reads.
SELECT d.device_id, d.tenant, d.user_id, d.locale
FROM devices d
JOIN (SELECT unnest(@tenants::text[]) AS tenant, unnest(@user_ids::text[]) AS user_id) AS r
    ON d.tenant = r.tenant AND d.user_id = r.user_id
WHERE d.state = 'registered'
ORDER BY d.updated_at DESC, d.device_id;

-- name: RemoveDevices :many
-- Only the registration that was seen to be dead: a token imported again meanwhile stays.
UPDATE devices AS d
SET state = 'removed', removed_reason = r.reason, version = d.version + 1, updated_at = @at
FROM (SELECT unnest(@device_ids::uuid[]) AS device_id,
             unnest(@versions::bigint[]) AS version,
             unnest(@reasons::text[]) AS reason) AS r
WHERE d.device_id = r.device_id AND d.version = r.version AND d.state = 'registered'
RETURNING d.device_id, d.tenant, d.user_id, d.platform, d.removed_reason, d.version;

-- name: ListDevices :many
SELECT device_id, user_id, platform, locale, state, removed_reason, updated_at
FROM devices
WHERE tenant = @tenant AND (user_id, device_id) > (@after_user, @after_id::uuid)
ORDER BY user_id, device_id
LIMIT @page_size;

-- name: ListUserDevices :many
SELECT device_id, user_id, platform, locale, state, removed_reason, updated_at
FROM devices
WHERE tenant = @tenant AND user_id = @user_id AND device_id > @after_id::uuid
ORDER BY device_id
LIMIT @page_size;
