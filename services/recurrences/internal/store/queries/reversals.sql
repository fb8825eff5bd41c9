-- name: ReversalsOf :many
-- Oldest first; those that one answer told in the order in which they were booked.
SELECT reversal_id, charge_id, tenant, kind, key, amount, state, created_at, decided_at FROM reversals
WHERE charge_id = ANY(@charge_ids::uuid[]) ORDER BY charge_id, created_at, kind DESC, key;

-- name: FindReversal :one
SELECT reversal_id, charge_id, tenant, kind, key, amount, state, created_at, decided_at FROM reversals
WHERE tenant = @tenant AND reversal_id = @id;

-- name: InsertReversals :execrows
INSERT INTO reversals (reversal_id, charge_id, tenant, kind, key, amount, state, created_at)
SELECT unnest(@ids::uuid[]), unnest(@charge_ids::uuid[]), unnest(@tenants::text[]), unnest(@kinds::text[]), unnest(@keys::text[]),
       unnest(@amounts::bigint[]), unnest(@states::text[]), @now::timestamptz;

-- name: DecideReversals :execrows
UPDATE reversals r SET state = d.state, decided_at = @now::timestamptz
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@states::text[]) AS state) d
WHERE r.reversal_id = d.id AND r.state = 'open';
