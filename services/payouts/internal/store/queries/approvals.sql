-- name: SayAbout :many
-- One word per person and subject. Asking for something takes back that one has approved it.
INSERT INTO approvals (subject_id, actor, word, reason, net, said_at)
SELECT s.id, @actor::text, @word::text, @reason::text, s.net, @now::timestamptz
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@nets::bigint[]) AS net) s ORDER BY s.id
ON CONFLICT (subject_id, actor) DO UPDATE SET word = EXCLUDED.word, reason = EXCLUDED.reason, net = EXCLUDED.net, said_at = EXCLUDED.said_at
WHERE approvals.word <> EXCLUDED.word AND EXCLUDED.word <> 'approved'
RETURNING subject_id;

-- name: CountApprovals :exec
-- Brings what the rows say of their approvals up to date.
UPDATE payouts p SET approvals = (SELECT count(*) FROM approvals a WHERE a.subject_id = p.payout_id AND a.word = 'approved')
WHERE p.payout_id = ANY(@ids::uuid[]);

-- name: CountBatchApprovals :exec
UPDATE batches b SET approvals = (SELECT count(*) FROM approvals a WHERE a.subject_id = b.batch_id AND a.word = 'approved')
WHERE b.batch_id = @batch_id;

-- name: VoidApprovals :exec
-- Who asked stays known; who approved must look again.
DELETE FROM approvals WHERE subject_id = ANY(@ids::uuid[]) AND word = 'approved';

-- name: LockWaiting :many
-- Payouts that wait, with what @actor has to do with them: asked for it or approved it (word), started the run by hand,
-- or imported one of its payments.
SELECT p.payout_id, p.net, p.approval_expires_at, COALESCE(a.word, '')::text AS word, (r.requester = @actor::text)::boolean AS started,
       EXISTS (SELECT 1 FROM payout_items i JOIN payments m ON m.tenant = i.tenant AND m.payment_id = i.item_id
               WHERE i.payout_id = p.payout_id AND i.item_kind = 'payment' AND @actor::text = ANY(m.recorded_by))::boolean AS imported
FROM payouts p
JOIN runs r ON r.run_id = p.run_id
LEFT JOIN approvals a ON a.subject_id = p.payout_id AND a.actor = @actor::text
WHERE p.payout_id = ANY(@ids::uuid[]) AND p.tenant = @tenant AND p.state = 'awaiting_approval'
ORDER BY p.payout_id FOR UPDATE OF p;

-- name: WaitingOfBatch :many
SELECT payout_id FROM payouts WHERE batch_id = @batch_id AND indexed_state = 'awaiting_approval' AND payout_id > @after::uuid
ORDER BY payout_id LIMIT @page_limit;

-- name: Unproven :many
-- Which of the payouts may have been paid, and why. Read after the payouts are locked it sees what was committed before. What a provider
-- said after a restore is believed for as long as when something is sent.
SELECT d.payout_id, d.contradicted, d.open::boolean AS open, d.denied::boolean AS denied,
       (d.restored OR w.subject_id IS NOT NULL)::boolean AS restored, d.elsewhere::boolean AS elsewhere
FROM payout_doubts d
LEFT JOIN prechecks w ON w.subject_id = d.payout_id AND w.state = 'absent' AND NOT w.proven_at BETWEEN @proven_since::timestamptz AND @proven_until::timestamptz
WHERE d.payout_id = ANY(@ids::uuid[]) AND (d.doubted OR w.subject_id IS NOT NULL) ORDER BY d.payout_id;

-- name: AskAnew :exec
-- Somebody wants to end a payout, or what waits of a batch, and its provider said too long ago that it has nothing of it. Only what can be asked
-- about (resting, Page) is wanted: of anything else nothing would come, and people be told for ever that it is being asked about.
UPDATE prechecks w SET wanted = true
WHERE w.state = 'absent' AND NOT w.proven_at BETWEEN @proven_since::timestamptz AND @proven_until::timestamptz AND w.provider = ANY(@providers::text[])
  AND w.epoch = (SELECT m.epoch FROM restore_marks m ORDER BY m.epoch DESC LIMIT 1)
  AND w.subject_id IN (
    SELECT p.payout_id FROM payouts p WHERE p.payout_id = @id::uuid AND p.tenant = @tenant AND p.indexed_state IN ('approved', 'held', 'awaiting_approval')
    UNION ALL
    SELECT b.payout_id FROM payouts b WHERE b.batch_id = @id::uuid AND b.tenant = @tenant AND b.indexed_state = 'awaiting_approval')
  AND EXISTS (SELECT 1 FROM payouts q WHERE q.payout_id = w.subject_id AND q.provider = w.provider AND NOT q.contradicted)
  AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.subject_id = w.subject_id AND (a.state NOT IN ('failed', 'not_sent') OR a.next_lookup_at IS NOT NULL))
  AND NOT EXISTS (SELECT 1 FROM restore_lost x WHERE x.subject_id = w.subject_id AND x.settled_at IS NULL AND x.provider <> w.provider);

-- name: UnsentOfBatch :many
-- What a rejected batch has left beside what waits; those of them that may have been paid are found by Unproven, once they are locked.
SELECT payout_id FROM payouts p WHERE run_id = (SELECT b.run_id FROM batches b WHERE b.batch_id = @batch_id) AND indexed_state IN ('approved', 'held') AND payout_id > @after::uuid
ORDER BY payout_id LIMIT @page_limit;

-- name: BatchOf :one
-- A batch and what @actor has to do with it.
SELECT b.batch_id, b.state, b.approval_expires_at, COALESCE(a.word, '')::text AS word, (r.requester = @actor::text)::boolean AS started,
       EXISTS (SELECT 1 FROM payouts p JOIN payout_items i ON i.payout_id = p.payout_id
               JOIN payments m ON m.tenant = i.tenant AND m.payment_id = i.item_id
               WHERE b.state = 'awaiting_approval' AND p.run_id = b.run_id AND i.item_kind = 'payment' AND @actor::text = ANY(m.recorded_by))::boolean AS imported
FROM batches b JOIN runs r ON r.run_id = b.run_id
LEFT JOIN approvals a ON a.subject_id = b.batch_id AND a.actor = @actor::text
WHERE b.batch_id = @batch_id AND b.tenant = @tenant;

-- name: BatchTotal :one
SELECT COALESCE(sum(net), 0)::bigint AS net FROM payouts WHERE run_id = (SELECT b.run_id FROM batches b WHERE b.batch_id = @batch_id) AND state <> 'skipped';

-- name: SetBatchApproval :exec
UPDATE batches SET approvals_needed = @approvals_needed, approval_expires_at = NULLIF(@expires_at::timestamptz, '0001-01-01 00:00:00+00')
WHERE batch_id = @batch_id;

-- name: PagesOfBatch :many
SELECT DISTINCT run_id, page FROM payouts WHERE run_id = @run_id AND indexed_state = 'approved' ORDER BY page;

-- name: ExpiredPayouts :many
SELECT payout_id, approval_expires_at::timestamptz AS due_at FROM payouts
WHERE indexed_state = 'awaiting_approval' AND approval_expires_at <= @now::timestamptz
  AND (approval_expires_at, payout_id) > (@after_at::timestamptz, @after_id::uuid)
ORDER BY approval_expires_at, payout_id LIMIT @page_limit;

-- name: ExpiredBatches :many
SELECT batch_id, approval_expires_at::timestamptz AS due_at FROM batches
WHERE state = 'awaiting_approval' AND approval_expires_at <= @now::timestamptz
  AND (approval_expires_at, batch_id) > (@after_at::timestamptz, @after_id::uuid)
ORDER BY approval_expires_at, batch_id LIMIT @page_limit;

-- name: WordsAbout :many
SELECT subject_id, actor, word, reason, said_at FROM approvals WHERE subject_id = ANY(@ids::uuid[]) ORDER BY subject_id, said_at, actor;
