-- name: LockProposal :one
SELECT payout_id, attempt, outcome, pay_again, evidence, actor, proposed_at, lookup_at, lookup_said FROM proposals
WHERE payout_id = @payout_id FOR UPDATE;

-- name: Propose :exec
-- A new proposal knows no lookup yet: only what is asked after it counts.
INSERT INTO proposals (payout_id, attempt, outcome, pay_again, evidence, actor, proposed_at)
VALUES (@payout_id, @attempt, @outcome, @pay_again, @evidence, @actor, @now)
ON CONFLICT (payout_id) DO UPDATE SET attempt = EXCLUDED.attempt, outcome = EXCLUDED.outcome, pay_again = EXCLUDED.pay_again, evidence = EXCLUDED.evidence,
    actor = EXCLUDED.actor, proposed_at = EXCLUDED.proposed_at, lookup_at = NULL, lookup_said = '';

-- name: LockPayout :one
SELECT payout_id FROM payouts WHERE tenant = @tenant AND payout_id = @payout_id FOR UPDATE;

-- name: Readdress :execrows
UPDATE payouts p SET destination = y.phone FROM payees y
WHERE p.payout_id = @payout_id AND p.state = 'held' AND y.tenant = p.tenant AND y.payee_id = p.payee_id AND y.phone <> '';
