-- name: OvertakenNotifications :many
-- Which of these would be told after something newer about the same subject was.
SELECT i.id::uuid AS id
FROM (SELECT unnest(@ids::uuid[]) AS id,
             unnest(@tenants::text[]) AS tenant,
             unnest(@recipient_ids::text[]) AS recipient_id,
             unnest(@subject_ids::text[]) AS subject_id,
             unnest(@subject_orders::bigint[]) AS subject_order) AS i
WHERE i.subject_order > 0 AND EXISTS (
    SELECT FROM notifications n
    WHERE n.tenant = i.tenant AND n.subject_id = i.subject_id AND n.recipient_id = i.recipient_id
        AND n.subject_order > i.subject_order);

-- name: InsertNotifications :many
-- Returns the new ones: what is already there was told before.
INSERT INTO notifications (id, tenant, recipient_kind, recipient_id, kind, subject_id, subject_order, locale, title, body,
    data, state, reason, pushes, correlation, version, created_at, updated_at)
SELECT i.id, i.tenant, i.recipient_kind, i.recipient_id, i.kind, i.subject_id, i.subject_order, i.locale, i.title, i.body,
    i.data::jsonb, i.state, i.reason, i.pushes, i.correlation, i.version, @at, @at
FROM (SELECT unnest(@ids::uuid[]) AS id,
             unnest(@tenants::text[]) AS tenant,
             unnest(@recipient_kinds::text[]) AS recipient_kind,
             unnest(@recipient_ids::text[]) AS recipient_id,
             unnest(@kinds::text[]) AS kind,
             unnest(@subject_ids::text[]) AS subject_id,
             unnest(@subject_orders::bigint[]) AS subject_order,
             unnest(@locales::text[]) AS locale,
             unnest(@titles::text[]) AS title,
             unnest(@bodies::text[]) AS body,
             unnest(@data::text[]) AS data,
             unnest(@states::text[]) AS state,
             unnest(@reasons::text[]) AS reason,
             unnest(@pushes::integer[]) AS pushes,
             unnest(@correlations::text[]) AS correlation,
             unnest(@versions::bigint[]) AS version) AS i
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: RefreshNotifications :exec
-- Brings the words of open alerts up to date. No event: none carries words.
UPDATE notifications AS n
SET title = i.title, body = i.body, data = i.data::jsonb, updated_at = @at
FROM (SELECT unnest(@ids::uuid[]) AS id,
             unnest(@titles::text[]) AS title,
             unnest(@bodies::text[]) AS body,
             unnest(@data::text[]) AS data) AS i
WHERE n.id = i.id;

-- name: LockNotifications :exec
-- Serialises those who finish pushes of the same notifications, so that one of them sees the last push done.
SELECT id FROM notifications WHERE id = ANY (@ids::uuid[]) ORDER BY id FOR UPDATE;

-- name: FinishNotifications :many
-- Closes what has no push waiting: delivered if a device took it, suppressed if nothing was to be sent after all, else failed.
UPDATE notifications AS n
SET state = CASE WHEN r.sent THEN 'delivered' WHEN r.dropped THEN 'suppressed' ELSE 'failed' END,
    reason = CASE WHEN r.sent THEN '' ELSE r.code END,
    version = n.version + 1, updated_at = @at
FROM (SELECT p.notification_id, bool_or(p.state = 'sent') AS sent, bool_and(p.state = 'dropped') AS dropped,
             coalesce(max(p.code) FILTER (WHERE p.state = 'failed'), max(p.code)) AS code
      FROM pushes p
      WHERE p.notification_id = ANY (@ids::uuid[])
      GROUP BY p.notification_id
      HAVING bool_and(p.state <> 'pending')) AS r
WHERE n.id = r.notification_id AND n.state = 'created'
RETURNING n.id, n.tenant, n.recipient_kind, n.recipient_id, n.kind, n.subject_id, n.locale, n.state, n.reason, n.pushes,
    n.correlation, n.version, n.created_at;

-- name: ListNotifications :many
SELECT id, recipient_kind, recipient_id, kind, subject_id, locale, title, body, state, reason, pushes, created_at
FROM notifications
WHERE tenant = @tenant AND (created_at, id) < (@before_at::timestamptz, @before_id::uuid)
ORDER BY created_at DESC, id DESC
LIMIT @page_size;

-- name: ListRecipientNotifications :many
SELECT id, recipient_kind, recipient_id, kind, subject_id, locale, title, body, state, reason, pushes, created_at
FROM notifications
WHERE tenant = @tenant AND recipient_id = @recipient_id AND (created_at, id) < (@before_at::timestamptz, @before_id::uuid)
ORDER BY created_at DESC, id DESC
LIMIT @page_size;

-- name: ListSubjectNotifications :many
-- A subject has few notifications, so the recipient, '' for any, is only a filter.
SELECT id, recipient_kind, recipient_id, kind, subject_id, locale, title, body, state, reason, pushes, created_at
FROM notifications
WHERE tenant = @tenant AND subject_id = @subject_id AND (@recipient_id::text = '' OR recipient_id = @recipient_id)
    AND (created_at, id) < (@before_at::timestamptz, @before_id::uuid)
ORDER BY created_at DESC, id DESC
LIMIT @page_size;
