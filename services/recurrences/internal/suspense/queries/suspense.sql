-- name: Found :many
-- The finding that a decision is about.
SELECT f.recon_id, f.tenant, f.provider, f.subject_id, f.attempt, f.reference, f.code, f.currency FROM recon_findings f
WHERE f.tenant = @tenant AND f.recon_id = @recon_id;

-- name: LockCharge :many
-- The charge of a finding, locked: whoever records an answer about it, or decides about the same, waits.
SELECT c.seller_id, c.state, c.contradicted, c.amount, c.currency FROM charges c WHERE c.tenant = @tenant AND c.charge_id = @charge_id FOR NO KEY UPDATE;

-- name: Left :one
-- What is in suspense for an attempt, debits positive.
SELECT COALESCE(sum(g.amount), 0)::bigint AS amount FROM suspense_groups g
WHERE g.tenant = @tenant AND g.provider = @provider AND g.subject_id = @subject_id AND g.attempt = @attempt AND g.currency = @currency;

-- name: Decisions :many
-- What was said of an attempt, the newest first: what nobody has agreed to yet, and what was agreed on.
SELECT * FROM suspense_decisions
WHERE tenant = @tenant AND provider = @provider AND subject_id = @subject_id AND attempt = @attempt ORDER BY number DESC;

-- name: Propose :exec
-- Another proposal takes the place of the one that nobody has agreed to.
INSERT INTO suspense_decisions (decision_id, tenant, provider, recon_id, subject_id, attempt, reference, number, currency, amount, account, reason, evidence,
                                proposed_by, proposed_at)
VALUES (@decision_id, @tenant, @provider, @recon_id, @subject_id, @attempt, @reference, @number, @currency, @amount, @account, @reason, @evidence,
        @proposed_by, @now::timestamptz)
ON CONFLICT (decision_id) DO UPDATE SET recon_id = EXCLUDED.recon_id, amount = EXCLUDED.amount, account = EXCLUDED.account, reason = EXCLUDED.reason,
    evidence = EXCLUDED.evidence, proposed_by = EXCLUDED.proposed_by, proposed_at = EXCLUDED.proposed_at
WHERE suspense_decisions.agreed_by = '';

-- name: Agree :execrows
UPDATE suspense_decisions SET agreed_by = @agreed_by, agreed_at = @now::timestamptz WHERE decision_id = @decision_id AND agreed_by = '';

-- name: Told :one
-- How many decisions about a finding were told: each is an event of it.
SELECT count(*) FROM suspense_decisions WHERE recon_id = @recon_id AND agreed_by <> '';

-- name: Taken :one
-- What decisions about any attempt of a charge took to an account.
SELECT COALESCE(sum(amount), 0)::bigint AS amount FROM suspense_decisions
WHERE tenant = @tenant AND subject_id = @subject_id AND account = @account AND agreed_by <> '';

-- name: GivenBack :many
-- What people have said of attempts that their gateway gave back, and what lookups found of another amount beside what was asked for.
SELECT d.subject_id, d.attempt, (-sum(d.amount))::bigint AS amount,
       (SELECT COALESCE(sum(f.difference), 0) FROM recon_findings f
        WHERE f.subject_id = d.subject_id AND f.attempt = d.attempt AND f.code = 'another_amount')::bigint AS beyond
FROM suspense_decisions d
WHERE d.subject_id = ANY(@subject_ids::uuid[]) AND d.account = 'gateway_receivable:' || d.provider AND d.agreed_by <> ''
GROUP BY d.subject_id, d.attempt;

-- name: List :many
-- What is in suspense, by attempt: the newest finding about each that says why.
SELECT f.recon_id, f.provider, f.code, f.subject_id, f.attempt, f.reference, f.expected, f.found, f.found_at, g.amount, g.currency,
       COALESCE(d.account, '')::text AS proposed_account, COALESCE(d.amount, 0)::bigint AS proposed_amount, COALESCE(d.proposed_by, '')::text AS proposed_by,
       COALESCE(d.reason, '')::text AS proposed_reason, COALESCE(d.evidence, '')::text AS proposed_evidence
FROM (SELECT x.tenant, x.provider, x.subject_id, x.attempt, x.currency, sum(x.amount)::bigint AS amount FROM suspense_groups x
      WHERE x.tenant = @tenant GROUP BY x.tenant, x.provider, x.subject_id, x.attempt, x.currency HAVING sum(x.amount) <> 0) g
CROSS JOIN LATERAL (
    SELECT r.* FROM recon_findings r
    WHERE r.subject_id = g.subject_id AND r.attempt = g.attempt AND r.tenant = g.tenant AND r.provider = g.provider
      AND (r.difference <> 0 OR r.code = 'refunded_more_than_charged')
    ORDER BY r.found_at DESC, r.recon_id LIMIT 1) f
LEFT JOIN suspense_decisions d ON d.tenant = g.tenant AND d.provider = g.provider AND d.subject_id = g.subject_id AND d.attempt = g.attempt AND d.agreed_by = ''
WHERE (f.found_at, f.recon_id) < (@before::timestamptz, @after::uuid)
ORDER BY f.found_at DESC, f.recon_id DESC LIMIT @page_limit;
