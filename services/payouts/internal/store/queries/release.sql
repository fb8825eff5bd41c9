-- name: HeldPayouts :many
-- Oldest first per provider, from the last one looked at. Those that need a person stay.
SELECT h.payout_id, h.tenant, h.payee_id, h.run_id, h.page, h.reason_scope, h.reason_code, h.net, h.provider, h.created_at, h.retry_at,
       COALESCE(o.stopped, false)::boolean AS outflow_stopped, b.control, y.state AS payee_state,
       (y.phone <> h.destination OR (CASE WHEN y.provider <> '' THEN y.provider <> h.provider WHEN h.by_default THEN false ELSE COALESCE(NULLIF(@default_provider::text, ''), h.provider) <> h.provider END) OR y.unconfirmed
        OR COALESCE(y.destination_changed_at > @cooled_since::timestamptz, false))::boolean AS destination_rests,
       (CASE WHEN @verify::text = '' THEN '' ELSE COALESCE((
           SELECT CASE WHEN v.name_digest <> md5(y.name) OR (v.rule <> @verify AND v.state <> 'confirmed') THEN 'stale'
               WHEN v.state = 'verified' AND v.refuses <= h.net THEN 'refused' WHEN v.state = 'verified' AND v.covers < h.net THEN 'above' ELSE v.state END
           FROM recipients v WHERE v.tenant = h.tenant AND v.payee_id = h.payee_id AND v.provider = h.provider AND v.destination = h.destination
       ), 'stale') END)::text AS recipient,
       (CASE WHEN @verify::text = '' THEN '' ELSE COALESCE((
           SELECT v.code FROM recipients v WHERE v.tenant = h.tenant AND v.payee_id = h.payee_id AND v.provider = h.provider AND v.destination = h.destination
       ), '') END)::text AS recipient_code
FROM payouts h
JOIN batches b ON b.batch_id = h.batch_id
JOIN payees y ON y.tenant = h.tenant AND y.payee_id = h.payee_id
LEFT JOIN outflows o ON o.tenant = h.tenant
WHERE h.indexed_state = 'held' AND h.tenant = @tenant AND h.provider = @provider AND NOT (h.reason_code = ANY(@needs_person::text[]))
  AND NOT h.contradicted
  AND (h.created_at, h.payout_id) > (@after_created::timestamptz, @after_id::uuid)
ORDER BY h.created_at, h.payout_id LIMIT @page_limit;

-- name: HeldQueues :many
-- The providers that hold something, found by hopping over the index.
WITH RECURSIVE queues AS (
    (SELECT p.tenant, p.provider FROM payouts p WHERE p.indexed_state = 'held' ORDER BY p.tenant, p.provider LIMIT 1)
    UNION ALL
    SELECT n.tenant, n.provider FROM queues q CROSS JOIN LATERAL (
        SELECT p.tenant, p.provider FROM payouts p
        WHERE p.indexed_state = 'held' AND (p.tenant, p.provider) > (q.tenant, q.provider)
        ORDER BY p.tenant, p.provider LIMIT 1) n
)
SELECT tenant::text AS tenant, provider::text AS provider FROM queues;

-- name: CapUse :one
-- What counts against the cap of a day, and with it what may count again without anybody asking: what is held after it was approved that day.
SELECT COALESCE(sum(net) FILTER (WHERE state <> 'held'), 0)::bigint AS used, COALESCE(sum(net), 0)::bigint AS most FROM payouts
WHERE tenant = @tenant AND cap_date = (@cap_date::text)::date
  AND (state IN ('awaiting_approval', 'approved', 'submitting', 'processing', 'unknown', 'manual_review', 'succeeded', 'held')
       OR (state = 'failed' AND retry_at IS NOT NULL));

-- name: CapMost :many
SELECT used FROM cap_uses WHERE tenant = @tenant AND cap_date = (@cap_date::text)::date;

-- name: KeepCapMost :exec
INSERT INTO cap_uses (tenant, cap_date, used) VALUES (@tenant, (@cap_date::text)::date, @used)
ON CONFLICT (tenant) DO UPDATE SET cap_date = EXCLUDED.cap_date, used = EXCLUDED.used;

-- name: ForgetCapMost :exec
DELETE FROM cap_uses WHERE tenant = @tenant;

-- name: PayeeCapUse :many
SELECT payee_id, COALESCE(sum(net), 0)::bigint AS net FROM payouts
WHERE tenant = @tenant AND cap_date = (@cap_date::text)::date AND payee_id = ANY(@payee_ids::text[])
  AND (state IN ('awaiting_approval', 'approved', 'submitting', 'processing', 'unknown', 'manual_review', 'succeeded')
       OR (state = 'failed' AND retry_at IS NOT NULL))
GROUP BY payee_id;

-- name: DueRetries :many
SELECT payout_id, retry_at::timestamptz AS due_at FROM payouts
WHERE indexed_state = 'retrying' AND retry_at <= @now::timestamptz AND NOT contradicted AND (retry_at, payout_id) > (@after_at::timestamptz, @after_id::uuid)
ORDER BY retry_at, payout_id LIMIT @page_limit;

-- name: OfPausedPayees :many
SELECT p.payout_id FROM payouts p JOIN payees y ON y.tenant = p.tenant AND y.payee_id = p.payee_id
WHERE p.payout_id = ANY(@ids::uuid[]) AND y.state <> 'active';

-- name: ApprovedPages :many
-- Pages with approved payouts that nothing hinders and that have rested since before a time: their command may be lost. Of each page one
-- such payout is looked for, and no further: a run of a million has as many approved ones.
SELECT g.run_id, g.page FROM (SELECT DISTINCT d.run_id, d.page FROM payouts d
      WHERE d.indexed_state = 'approved' AND (d.run_id, d.page) > (@after_run::uuid, @after_page::integer)) g
CROSS JOIN LATERAL (
    SELECT true FROM payouts p JOIN batches b ON b.batch_id = p.batch_id
    WHERE p.indexed_state = 'approved' AND p.run_id = g.run_id AND p.page = g.page AND NOT p.contradicted AND p.updated_at <= @rested_since::timestamptz
      AND (b.control = 'open' AND b.approvals >= b.approvals_needed
        -- Of a cancelled batch what may have been sent before a restore is asked about, and taken over.
        OR b.control = 'cancelled' AND COALESCE((SELECT p.period_date <= m.careful_until AND NOT EXISTS (
               SELECT 1 FROM prechecks w WHERE w.subject_id = p.payout_id AND w.epoch = m.epoch AND w.provider = p.provider AND w.state = 'absent')
            FROM restore_marks m ORDER BY m.epoch DESC LIMIT 1), false))
      AND (p.retry_at IS NULL OR p.retry_at <= @now::timestamptz)
      AND NOT EXISTS (SELECT 1 FROM outflows o WHERE o.tenant = p.tenant AND o.stopped)
      AND NOT EXISTS (SELECT 1 FROM prechecks w WHERE w.subject_id = p.payout_id AND w.state = 'asking')
      AND NOT (p.tenant || '/' || p.provider = ANY(@stopped::text[]))
    LIMIT 1
) found
ORDER BY g.run_id, g.page LIMIT @page_limit;

-- name: EnsureOutflow :exec
INSERT INTO outflows (tenant, changed_at) VALUES (@tenant, @now::timestamptz) ON CONFLICT DO NOTHING;

-- name: LockOutflow :one
SELECT tenant, stopped, reason, actor, changed_at FROM outflows WHERE tenant = @tenant FOR UPDATE;

-- name: GetOutflow :one
SELECT tenant, stopped, reason, actor, changed_at FROM outflows WHERE tenant = @tenant;

-- name: Outflows :many
SELECT tenant, stopped, reason, actor, changed_at FROM outflows;

-- name: SetOutflow :one
INSERT INTO outflows (tenant, stopped, reason, actor, changed_at) VALUES (@tenant, @stopped, @reason, @actor, @now::timestamptz)
ON CONFLICT (tenant) DO UPDATE SET stopped = EXCLUDED.stopped, reason = EXCLUDED.reason, actor = EXCLUDED.actor, changed_at = EXCLUDED.changed_at
RETURNING tenant, stopped, reason, actor, changed_at;
