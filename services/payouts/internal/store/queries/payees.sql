-- name: LockPayee :one
SELECT payee_id, state, phone, provider, unconfirmed, trusted_phone, destination_changed_at, destination_changed_by, wallet_by, name_by, version
FROM payees WHERE tenant = @tenant AND payee_id = @payee_id FOR UPDATE;

-- name: ConfirmPayee :exec
UPDATE payees SET unconfirmed = false, trusted_phone = phone, trusted_provider = provider, destination_confirmed_by = @actor,
       updated_at = @now::timestamptz
WHERE tenant = @tenant AND payee_id = @payee_id;
