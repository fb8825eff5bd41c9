-- name: LockPayout :one
SELECT payout_id FROM payouts WHERE tenant = @tenant AND payout_id = @payout_id FOR UPDATE;

-- name: Readdress :execrows
UPDATE payouts p SET destination = y.phone FROM payees y
WHERE p.payout_id = @payout_id AND p.state = 'held' AND y.tenant = p.tenant AND y.payee_id = p.payee_id AND y.phone <> '';
