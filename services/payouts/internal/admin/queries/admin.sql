-- name: ListPayments :many
SELECT payment_id, payee_id, currency, gross, commission, net, method, status, completed_at, payout_id, paid_reference FROM payments
WHERE tenant = @tenant AND payment_id > @after AND (@status::text = '' OR status = @status)
  AND (NOT @unpaid::boolean OR (payout_id IS NULL AND paid_reference = '' AND (status = 'completed' OR carried)))
ORDER BY payment_id LIMIT @page_limit;

-- name: ListPaymentsOfPayee :many
SELECT payment_id, payee_id, currency, gross, commission, net, method, status, completed_at, payout_id, paid_reference FROM payments
WHERE tenant = @tenant AND payee_id = @payee_id AND payment_id > @after AND (@status::text = '' OR status = @status)
  AND (NOT @unpaid::boolean OR (payout_id IS NULL AND paid_reference = '' AND (status = 'completed' OR carried)))
ORDER BY payment_id LIMIT @page_limit;

-- name: ListPayees :many
SELECT y.payee_id, y.name, y.phone, y.provider, y.locale, y.state, y.pause_reason, y.pause_detail, y.paused_by, y.unconfirmed,
       y.destination_changed_at, y.destination_changed_by, y.destination_confirmed_by, COALESCE(v.rule, '')::text AS recipient_rule,
       (CASE WHEN v.state IS NULL THEN '' WHEN v.name_digest <> md5(y.name) THEN 'unverified' ELSE v.state END)::text AS recipient_state,
       COALESCE(v.code, '')::text AS recipient_code, v.since AS recipient_since, v.checked_at AS recipient_checked_at,
       COALESCE(v.unanswered, 0)::integer AS recipient_unanswered, COALESCE(v.confirmed_by, '')::text AS recipient_confirmed_by,
       COALESCE(v.covers, 0)::bigint AS recipient_covers, COALESCE(v.currency, '')::text AS recipient_currency, v.next_at AS recipient_next_at
FROM payees y
LEFT JOIN recipients v ON v.tenant = y.tenant AND v.payee_id = y.payee_id AND v.destination = y.phone
  AND v.provider = COALESCE(NULLIF(y.provider, ''), @default_provider::text)
WHERE y.tenant = @tenant AND y.payee_id > @after
  AND (@state::text = '' OR (@state = 'unconfirmed' AND y.unconfirmed) OR (@state = 'paused' AND y.state = 'paused') OR (@state = 'active' AND y.state = 'active')
       OR (@state = 'unverified' AND (v.state IN ('unverified', 'mismatch', 'refused') OR v.state = 'verified' AND v.next_at IS NOT NULL OR v.name_digest <> md5(y.name))))
ORDER BY y.payee_id LIMIT @page_limit;

-- name: FindPayee :one
SELECT y.payee_id, y.name, y.phone, y.provider, y.locale, y.state, y.pause_reason, y.pause_detail, y.paused_by, y.unconfirmed,
       y.destination_changed_at, y.destination_changed_by, y.destination_confirmed_by, COALESCE(v.rule, '')::text AS recipient_rule,
       (CASE WHEN v.state IS NULL THEN '' WHEN v.name_digest <> md5(y.name) THEN 'unverified' ELSE v.state END)::text AS recipient_state,
       COALESCE(v.code, '')::text AS recipient_code, v.since AS recipient_since, v.checked_at AS recipient_checked_at,
       COALESCE(v.unanswered, 0)::integer AS recipient_unanswered, COALESCE(v.confirmed_by, '')::text AS recipient_confirmed_by,
       COALESCE(v.covers, 0)::bigint AS recipient_covers, COALESCE(v.currency, '')::text AS recipient_currency, v.next_at AS recipient_next_at
FROM payees y
LEFT JOIN recipients v ON v.tenant = y.tenant AND v.payee_id = y.payee_id AND v.destination = y.phone
  AND v.provider = COALESCE(NULLIF(y.provider, ''), @default_provider::text)
WHERE y.tenant = @tenant AND y.payee_id = @payee_id;

-- name: ListBatches :many
SELECT batch_id, tenant, run_id, period_date::text AS period_date, state, control, control_reason, currency,
       approvals_needed, approval_expires_at FROM batches
WHERE tenant = @tenant AND (period_date < (@before::text)::date OR (period_date = (@before::text)::date AND batch_id > @after))
ORDER BY period_date DESC, batch_id LIMIT @page_limit;

-- name: FindBatch :one
SELECT batch_id, tenant, run_id, period_date::text AS period_date, state, control, control_reason, currency,
       approvals_needed, approval_expires_at FROM batches
WHERE tenant = @tenant AND batch_id = @batch_id;

-- name: CountsOfBatches :many
SELECT b.batch_id, p.state, count(*)::bigint AS count, sum(p.gross)::bigint AS gross, sum(p.commission)::bigint AS commission, sum(p.net)::bigint AS net
FROM batches b JOIN payouts p ON p.run_id = b.run_id WHERE b.batch_id = ANY(@ids::uuid[]) GROUP BY b.batch_id, p.state ORDER BY b.batch_id, p.state;

-- name: FindPayouts :many
-- The rows of a page, whose ids another query chose.
SELECT p.payout_id, p.tenant, p.payee_id, p.run_id, p.batch_id, p.period_date::text AS period_date, p.kind, p.seq, p.state,
       p.reason_class, p.reason_scope, p.reason_code, p.provider_code, p.currency, p.gross, p.commission, p.net, p.fee, p.item_count,
       p.provider, p.nominal_time, p.updated_at, p.version, p.approvals_needed, p.approvals, p.approval_expires_at, p.held_for, COALESCE(y.name, '')::text AS payee_name
FROM payouts p LEFT JOIN payees y ON y.tenant = p.tenant AND y.payee_id = p.payee_id
WHERE p.tenant = @tenant AND p.payout_id = ANY(@ids::uuid[]);

-- name: WaitsOf :many
-- What may stand before those of a page that are to be sent, or tried again.
SELECT p.payout_id, p.state, p.provider, p.contradicted, p.retry_at, b.control, (b.approvals < b.approvals_needed)::boolean AS unapproved, r.planned,
       COALESCE(o.stopped, false)::boolean AS stopped,
       EXISTS (SELECT 1 FROM prechecks w WHERE w.subject_id = p.payout_id AND w.state = 'asking') AS asking,
       EXISTS (SELECT 1 FROM attempts a WHERE a.subject_id = p.payout_id AND (a.state NOT IN ('failed', 'not_sent') OR a.next_lookup_at IS NOT NULL)) AS asked_about
FROM payouts p JOIN runs r ON r.run_id = p.run_id JOIN batches b ON b.run_id = p.run_id LEFT JOIN outflows o ON o.tenant = p.tenant
WHERE p.payout_id = ANY(@ids::uuid[]) AND (p.state = 'approved' OR p.state = 'failed' AND p.retry_at IS NOT NULL);

-- name: PayoutsOfRun :many
SELECT payout_id, payee_id, seq FROM payouts
WHERE tenant = @tenant AND run_id = @run_id AND (payee_id, seq) > (@after_payee::text, @after_seq::integer)
  AND (@payee_id::text = '' OR payee_id = @payee_id) AND (cardinality(@states::text[]) = 0 OR state = ANY(@states))
  AND (@period_date::text = '' OR period_date = (NULLIF(@period_date::text, ''))::date)
ORDER BY payee_id, seq LIMIT @page_limit;

-- name: PayoutsOfPayee :many
SELECT payout_id, period_date::text AS period_date FROM payouts
WHERE tenant = @tenant AND payee_id = @payee_id
  AND (period_date < (@before::text)::date OR (period_date = (@before::text)::date AND payout_id > @after))
  AND (cardinality(@states::text[]) = 0 OR state = ANY(@states))
  AND (@period_date::text = '' OR period_date = (NULLIF(@period_date::text, ''))::date)
ORDER BY period_date DESC, payout_id LIMIT @page_limit;

-- name: PayoutsOfTenant :many
SELECT payout_id, period_date::text AS period_date FROM payouts
WHERE tenant = @tenant
  AND (period_date < (@before::text)::date OR (period_date = (@before::text)::date AND payout_id > @after))
  AND (cardinality(@states::text[]) = 0 OR state = ANY(@states))
  AND (@period_date::text = '' OR period_date = (NULLIF(@period_date::text, ''))::date)
ORDER BY period_date DESC, payout_id LIMIT @page_limit;

-- name: AttemptsOf :many
SELECT subject_id, number, reference, state, class, scope, code, provider, provider_id, submitted_at, closed_at, next_lookup_at, lookups
FROM attempts WHERE subject_id = ANY(@ids::uuid[]) ORDER BY subject_id, number;
