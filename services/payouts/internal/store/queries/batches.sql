-- name: InsertBatch :execrows
INSERT INTO batches (batch_id, tenant, run_id, period_date, state, currency, version, created_at)
VALUES (@batch_id, @tenant, @run_id, (@period_date::text)::date, 'created', @currency, 1, @now)
ON CONFLICT DO NOTHING;

-- name: LockBatches :many
SELECT batch_id, tenant, run_id, period_date::text AS period_date, state, control, control_reason, currency, approvals_needed, approvals,
       approval_expires_at, version
FROM batches WHERE batch_id = ANY(@ids::uuid[]) ORDER BY batch_id FOR UPDATE;

-- name: StaleBatches :many
-- Batches whose derived state no longer fits their payouts, with the state that does.
SELECT b.batch_id, d.derived::text AS derived FROM batches b
JOIN runs r ON r.run_id = b.run_id
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN (SELECT true FROM payouts p WHERE p.run_id = b.run_id AND p.indexed_state IN ('created', 'awaiting_approval', 'approved', 'held',
                'processing', 'unknown', 'manual_review', 'retrying') LIMIT 1)
            OR (SELECT true FROM attempts u WHERE u.state = 'submitting'
                AND (SELECT p.run_id FROM payouts p WHERE p.payout_id = u.subject_id) = b.run_id ORDER BY u.lease_expires_at LIMIT 1) THEN 'created'
        WHEN (SELECT true FROM payouts p WHERE p.run_id = b.run_id
                AND p.indexed_state IN ('rejected', 'failed', 'reversed', 'cancelled') LIMIT 1) THEN 'partially_completed'
        ELSE 'completed' END AS derived
) d
WHERE b.run_id = ANY(@run_ids::uuid[]) AND b.state IN ('created', 'approved', 'partially_completed', 'completed')
  AND (r.planned OR r.state = 'failed')
  AND d.derived <> b.state AND NOT (b.state = 'approved' AND d.derived = 'created')
ORDER BY b.batch_id;

-- name: SetBatchState :exec
UPDATE batches t SET state = @state, version = t.version + 1 WHERE t.batch_id = @batch_id;

-- name: SetBatchControl :exec
UPDATE batches t SET control = @control, control_reason = @control_reason, state = @state, version = t.version + 1,
    failures_seen = CASE WHEN @accept_failures::boolean
        THEN (SELECT count(*) FROM payouts p WHERE p.run_id = t.run_id AND p.indexed_state IN ('failed', 'retrying')) ELSE t.failures_seen END,
    provider_faults = CASE WHEN @accept_failures::boolean THEN 0 ELSE t.provider_faults END
WHERE t.batch_id = @batch_id;

-- name: BatchCounts :many
SELECT b.batch_id, p.state, count(*)::bigint AS count, sum(p.gross)::bigint AS gross, sum(p.commission)::bigint AS commission, sum(p.net)::bigint AS net
FROM batches b JOIN payouts p ON p.run_id = b.run_id WHERE b.batch_id = ANY(@ids::uuid[]) GROUP BY b.batch_id, p.state ORDER BY b.batch_id, p.state;

-- name: LockFailed :many
-- Failed payouts of a batch. Whether they may have been paid after all is read when their rows are held: this statement sees what was so
-- before it waited for them.
SELECT p.payout_id, p.payee_id, p.run_id, p.net, p.retry_at
FROM payouts p WHERE p.run_id = (SELECT b.run_id FROM batches b WHERE b.batch_id = @batch_id) AND p.tenant = @tenant AND p.indexed_state IN ('failed', 'retrying') AND p.payout_id > @after::uuid
ORDER BY p.payout_id LIMIT @page_limit FOR UPDATE OF p;

-- name: HeldFor :many
-- What of a batch is held for a code, of one provider or of all. All at once: pages of it in the order of their locks would each read all of the rest.
SELECT p.payout_id, p.run_id FROM payouts p
WHERE p.run_id = (SELECT b.run_id FROM batches b WHERE b.batch_id = @batch_id) AND p.tenant = @tenant AND p.indexed_state = 'held'
  AND p.reason_code = @code::text AND (@provider::text = '' OR p.provider = @provider)
ORDER BY p.payout_id;

-- name: UnseeFailures :exec
-- Payouts that have failed are tried again. What somebody has accepted cannot be more than what is failed still: of those that are tried,
-- the ones that nobody has accepted go first, so that no old failure is news again, and what fails anew is.
UPDATE batches b SET failures_seen = LEAST(b.failures_seen, (SELECT count(*) FROM payouts p WHERE p.run_id = b.run_id AND p.indexed_state IN ('failed', 'retrying')))
WHERE b.batch_id = ANY(@ids::uuid[]) AND b.failures_seen > 0;
