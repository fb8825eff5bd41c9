-- name: LockPayout :one
SELECT payout_id FROM payouts WHERE tenant = @tenant AND payout_id = @payout_id FOR UPDATE;

-- name: BatchIsPaused :one
SELECT EXISTS (SELECT 1 FROM batches WHERE batch_id = @batch_id AND control = 'paused')::boolean AS paused;

-- name: Readdress :execrows
UPDATE payouts p SET destination = y.phone FROM payees y
WHERE p.payout_id = @payout_id AND p.state = 'held' AND y.tenant = p.tenant AND y.payee_id = p.payee_id AND y.phone <> '';

-- name: DestinationRests :one
-- The wallet that the payee has now, whether it waits for a second person or for the end of the cool-off, and whether it is
-- the payout's and with its provider.
SELECT y.phone, y.unconfirmed, COALESCE(y.destination_changed_at > @cooled_since::timestamptz, false)::boolean AS cooling,
       (y.phone = p.destination)::boolean AS same,
       ((CASE WHEN y.provider <> '' THEN y.provider <> p.provider WHEN p.by_default THEN false ELSE COALESCE(NULLIF(@default_provider::text, ''), p.provider) <> p.provider END))::boolean AS elsewhere
FROM payouts p JOIN payees y ON y.tenant = p.tenant AND y.payee_id = p.payee_id WHERE p.payout_id = @payout_id;
