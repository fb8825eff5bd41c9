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
WHERE g.tenant = @tenant AND g.provider = @provider AND g.subject_id = @subject_id AND g.attempt = @attempt;

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
ON CONFLICT (decision_id) DO UPDATE SET recon_id = EXCLUDED.recon_id, amount = EXCLUDED.amount, account = EXCLUDED.account, reason = EXCLUDED.reason,
    evidence = EXCLUDED.evidence, proposed_by = EXCLUDED.proposed_by, proposed_at = EXCLUDED.proposed_at
WHERE suspense_decisions.agreed_by = '';

-- name: Agree :exec
UPDATE suspense_decisions SET agreed_by = @agreed_by, agreed_at = @now::timestamptz WHERE decision_id = @decision_id AND agreed_by = '';

-- name: Told :one
-- How many events a finding has: its own, and one for each decision about it.
SELECT (1 + count(*))::bigint AS events FROM suspense_decisions WHERE recon_id = @recon_id AND agreed_by <> '';

-- name: Payout :many
SELECT payee_id, state, contradicted, net, currency FROM payouts WHERE tenant = @tenant AND payout_id = @payout_id;

-- name: List :many
-- What is in suspense, by reference: the newest finding about each says what it is.
SELECT f.recon_id, f.provider, f.source, f.code, f.subject_id, f.attempt, f.reference, f.expected, f.found, f.found_at, g.amount, g.currency,
       COALESCE(d.account, '')::text AS proposed_account, COALESCE(d.amount, 0)::bigint AS proposed_amount, COALESCE(d.proposed_by, '')::text AS proposed_by
FROM (SELECT x.tenant, x.provider, x.subject_id, x.attempt, x.currency, sum(x.amount)::bigint AS amount FROM suspense_groups x
      WHERE x.tenant = @tenant AND (@provider::text = '' OR x.provider = @provider)
      GROUP BY x.tenant, x.provider, x.subject_id, x.attempt, x.currency HAVING sum(x.amount) <> 0) g
CROSS JOIN LATERAL (
    SELECT r.* FROM recon_findings r
    WHERE r.subject_id = g.subject_id AND r.attempt = g.attempt AND r.tenant = g.tenant AND r.provider = g.provider AND r.difference <> 0
    ORDER BY r.code = 'explained', r.found_at DESC, r.recon_id LIMIT 1) f
LEFT JOIN suspense_decisions d ON d.tenant = g.tenant AND d.provider = g.provider AND d.subject_id = g.subject_id AND d.attempt = g.attempt AND d.agreed_by = ''
WHERE (f.found_at, f.recon_id) < (@before::timestamptz, @after::uuid)
ORDER BY f.found_at DESC, f.recon_id DESC LIMIT @page_limit;
