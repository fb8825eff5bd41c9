-- name: Found :many
-- The finding that a decision is about.
SELECT f.recon_id, f.tenant, f.provider, f.subject_id, f.attempt, f.reference, f.code, f.currency FROM recon_findings f
WHERE f.tenant = @tenant AND f.recon_id = @recon_id;

-- name: LockGroup :exec
-- Who decides about one reference goes one after the other; findings that come meanwhile only change what is left.
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/' || @subject_id::text || '/' || @attempt::integer, 7122));

-- name: Left :one
-- What is in suspense for a reference, debits positive.
SELECT COALESCE(sum(g.amount), 0)::bigint AS amount FROM suspense_groups g
WHERE g.tenant = @tenant AND g.provider = @provider AND g.subject_id = @subject_id AND g.attempt = @attempt AND g.currency = @currency;

-- name: Proposed :many
-- What the first of two people said of a reference.
SELECT * FROM suspense_decisions
WHERE tenant = @tenant AND provider = @provider AND subject_id = @subject_id AND attempt = @attempt AND agreed_by = '' FOR UPDATE;

-- name: Decided :many
-- What was agreed on for a reference, the newest first.
SELECT * FROM suspense_decisions
WHERE tenant = @tenant AND provider = @provider AND subject_id = @subject_id AND attempt = @attempt AND agreed_by <> '' ORDER BY number DESC;

-- name: Propose :exec
-- Another proposal takes the place of the one that nobody has agreed to.
INSERT INTO suspense_decisions (decision_id, tenant, provider, recon_id, subject_id, attempt, reference, number, currency, amount, account, reason, evidence,
                                proposed_by, proposed_at)
VALUES (@decision_id, @tenant, @provider, @recon_id, @subject_id, @attempt, @reference, @number, @currency, @amount, @account, @reason, @evidence,
        @proposed_by, @now::timestamptz)
ON CONFLICT (decision_id) DO UPDATE SET recon_id = EXCLUDED.recon_id, reference = EXCLUDED.reference, currency = EXCLUDED.currency, amount = EXCLUDED.amount, account = EXCLUDED.account, reason = EXCLUDED.reason,
    evidence = EXCLUDED.evidence, proposed_by = EXCLUDED.proposed_by, proposed_at = EXCLUDED.proposed_at
WHERE suspense_decisions.agreed_by = '';

-- name: Agree :exec
UPDATE suspense_decisions SET agreed_by = @agreed_by, agreed_at = @now::timestamptz WHERE decision_id = @decision_id AND agreed_by = '';

-- name: Told :one
-- How many events a finding has: its own, unless it was silent, and one for each decision about it.
SELECT f.told, (SELECT count(*) FROM suspense_decisions d WHERE d.recon_id = f.recon_id AND d.agreed_by <> '') AS decisions
FROM recon_findings f WHERE f.recon_id = @recon_id;

-- name: Payout :many
-- The payout of a finding, locked: what became of it stays so until the decision is taken. It claims while no item of it is free again.
SELECT p.payee_id, p.state, p.contradicted, p.net, p.currency,
       NOT EXISTS (SELECT 1 FROM payout_items i WHERE i.payout_id = p.payout_id AND i.released_at IS NOT NULL) AS claims
FROM payouts p WHERE p.tenant = @tenant AND p.payout_id = @payout_id FOR UPDATE OF p;

-- name: Paid :one
-- What counts as paid of a payout by decisions about any of its attempts.
SELECT COALESCE(sum(amount), 0)::bigint AS amount FROM suspense_decisions
WHERE tenant = @tenant AND subject_id = @subject_id AND account = @account AND currency = @currency AND agreed_by <> '';

-- name: Touch :exec
-- A row that a close writes, too, if it steps what is in suspense for the reference: a close that is judged is waited for, and one that
-- did not see this decision is judged anew.
INSERT INTO close_suspense (tenant, provider, item_key, subject_id, attempt, looked_up, wanted, held)
VALUES (@tenant, @provider, @item_key, (SELECT p.payout_id FROM payouts p WHERE p.payout_id = @subject_id AND p.tenant = @tenant), @attempt, 0, 0, 0)
ON CONFLICT (tenant, provider, item_key) DO UPDATE SET held = close_suspense.held;

-- name: LockPayouts :exec
-- In id order, so that two transactions never wait for each other in a circle.
SELECT payout_id FROM payouts WHERE payout_id = ANY(@ids::uuid[]) ORDER BY payout_id FOR UPDATE;

-- name: OnFloat :many
-- Of which of these attempts people have said that the provider gave it back: the float has it.
SELECT d.subject_id, d.attempt FROM suspense_decisions d
WHERE d.subject_id = ANY(@subject_ids::uuid[]) AND d.account = 'float:' || d.provider AND d.agreed_by <> ''
GROUP BY d.subject_id, d.attempt HAVING sum(d.amount) <> 0;

-- name: List :many
-- What is in suspense, by reference: the newest finding about each that people were told says what it is.
SELECT f.recon_id, f.provider, f.source, f.code, f.subject_id, f.attempt, f.reference, f.expected, f.found, f.found_at, g.amount, g.currency,
       COALESCE(d.account, '')::text AS proposed_account, COALESCE(d.amount, 0)::bigint AS proposed_amount, COALESCE(d.proposed_by, '')::text AS proposed_by,
       COALESCE(d.reason, '')::text AS proposed_reason, COALESCE(d.evidence, '')::text AS proposed_evidence
FROM (SELECT x.tenant, x.provider, x.subject_id, x.attempt, x.currency, sum(x.amount)::bigint AS amount FROM suspense_groups x
      WHERE x.tenant = @tenant AND (@provider::text = '' OR x.provider = @provider)
      GROUP BY x.tenant, x.provider, x.subject_id, x.attempt, x.currency HAVING sum(x.amount) <> 0) g
CROSS JOIN LATERAL (
    SELECT r.* FROM recon_findings r
    WHERE r.subject_id = g.subject_id AND r.attempt = g.attempt AND r.tenant = g.tenant AND r.provider = g.provider AND r.currency = g.currency AND r.difference <> 0
    ORDER BY r.told DESC, r.found_at DESC, r.recon_id LIMIT 1) f
LEFT JOIN suspense_decisions d ON d.tenant = g.tenant AND d.provider = g.provider AND d.subject_id = g.subject_id AND d.attempt = g.attempt AND d.currency = g.currency
    AND d.agreed_by = ''
WHERE (f.found_at, f.recon_id) < (@before::timestamptz, @after::uuid)
ORDER BY f.found_at DESC, f.recon_id DESC LIMIT @page_limit;
