-- name: LockPayments :many
-- One step of the primary key per id, whatever is known of a table that is just being filled.
SELECT p.payment_id, p.payee_id, p.currency, p.gross, p.commission, p.net, p.method, p.status, p.completed_at, p.paid_reference,
       p.payout_id, p.carried
FROM (SELECT unnest(@ids::text[]) AS id) i JOIN payments p ON p.tenant = @tenant AND p.payment_id = i.id
ORDER BY p.payment_id FOR UPDATE OF p;

-- name: InsertPayments :execrows
-- The zero time stands for NULL. A row that someone else inserted meanwhile is not counted: the batch is done again.
INSERT INTO payments (tenant, payment_id, payee_id, currency, gross, commission, net, method, status, completed_at,
                      paid_reference, recorded_at, recorded_by)
SELECT @tenant::text, r.payment_id, r.payee_id, @currency::text, r.gross, r.commission, r.net, r.method, r.status,
       NULLIF(r.completed_at, '0001-01-01 00:00:00+00'), r.paid_reference, @now::timestamptz, ARRAY[@actor::text]
FROM (
    SELECT unnest(@payment_ids::text[]) AS payment_id, unnest(@payee_ids::text[]) AS payee_id, unnest(@gross::bigint[]) AS gross,
           unnest(@commissions::bigint[]) AS commission, unnest(@nets::bigint[]) AS net, unnest(@methods::text[]) AS method,
           unnest(@statuses::text[]) AS status, unnest(@completed_ats::timestamptz[]) AS completed_at,
           unnest(@paid_references::text[]) AS paid_reference
) r
ON CONFLICT DO NOTHING;

-- name: AdvancePayments :exec
UPDATE payments p SET status = r.status, completed_at = NULLIF(r.completed_at, '0001-01-01 00:00:00+00'), carried = r.carried,
       recorded_by = CASE WHEN @actor::text = ANY(p.recorded_by) THEN p.recorded_by ELSE p.recorded_by || @actor::text END
FROM (
    SELECT unnest(@payment_ids::text[]) AS payment_id, unnest(@statuses::text[]) AS status,
           unnest(@completed_ats::timestamptz[]) AS completed_at, unnest(@carried::boolean[]) AS carried
) r WHERE p.tenant = @tenant AND p.payment_id = r.payment_id;

-- name: InsertCarries :exec
INSERT INTO carries (tenant, carry_id, payment_id, payee_id, currency, gross, commission, net, occurred_at)
SELECT @tenant::text, 'refund/' || r.payment_id, r.payment_id, r.payee_id, @currency::text, r.gross, r.commission, r.net, r.occurred_at
FROM (
    SELECT unnest(@payment_ids::text[]) AS payment_id, unnest(@payee_ids::text[]) AS payee_id, unnest(@gross::bigint[]) AS gross,
           unnest(@commissions::bigint[]) AS commission, unnest(@nets::bigint[]) AS net, unnest(@occurred_ats::timestamptz[]) AS occurred_at
) r;

-- name: ReadPayees :many
SELECT y.payee_id, y.name, y.phone, y.provider, y.locale, y.state, y.version, y.unconfirmed, y.trusted_phone, y.trusted_provider,
       y.destination_changed_at, y.destination_changed_by, y.wallet_by, y.name_by
FROM (SELECT unnest(@ids::text[]) AS id) i JOIN payees y ON y.tenant = @tenant AND y.payee_id = i.id
ORDER BY y.payee_id;

-- name: InsertPayees :execrows
INSERT INTO payees (tenant, payee_id, name, phone, provider, locale, unconfirmed, trusted_phone, trusted_provider, destination_changed_at,
                    destination_changed_by, wallet_by, name_by, updated_at)
SELECT @tenant::text, r.payee_id, r.name, r.phone, r.provider, r.locale, r.unconfirmed, r.trusted_phone, r.trusted_provider,
       NULLIF(r.changed_at, '0001-01-01 00:00:00+00'), r.changed_by, @actor::text, @actor::text, @now::timestamptz
FROM (
    SELECT unnest(@payee_ids::text[]) AS payee_id, unnest(@names::text[]) AS name, unnest(@phones::text[]) AS phone,
           unnest(@providers::text[]) AS provider, unnest(@locales::text[]) AS locale, unnest(@unconfirmed::boolean[]) AS unconfirmed,
           unnest(@trusted_phones::text[]) AS trusted_phone, unnest(@trusted_providers::text[]) AS trusted_provider,
           unnest(@changed_ats::timestamptz[]) AS changed_at, unnest(@changed_bys::text[]) AS changed_by
) r ORDER BY r.payee_id
ON CONFLICT DO NOTHING;

-- name: UpdatePayees :execrows
-- Only where nothing changed since it was read: the version and the wallets are what a change is judged by.
UPDATE payees p SET name = r.name, phone = r.phone, provider = r.provider, locale = r.locale, version = r.version,
       unconfirmed = r.unconfirmed, trusted_phone = r.trusted_phone, trusted_provider = r.trusted_provider,
       destination_changed_at = NULLIF(r.changed_at, '0001-01-01 00:00:00+00'), destination_changed_by = r.changed_by,
       wallet_by = r.wallet_by, name_by = r.name_by, updated_at = @now::timestamptz
FROM (
    SELECT unnest(@payee_ids::text[]) AS payee_id, unnest(@names::text[]) AS name, unnest(@phones::text[]) AS phone,
           unnest(@providers::text[]) AS provider, unnest(@locales::text[]) AS locale, unnest(@versions::bigint[]) AS version,
           unnest(@known_versions::bigint[]) AS known_version, unnest(@known_phones::text[]) AS known_phone,
           unnest(@known_states::text[]) AS known_state, unnest(@unconfirmed::boolean[]) AS unconfirmed,
           unnest(@trusted_phones::text[]) AS trusted_phone, unnest(@trusted_providers::text[]) AS trusted_provider,
           unnest(@changed_ats::timestamptz[]) AS changed_at, unnest(@changed_bys::text[]) AS changed_by,
           unnest(@wallet_bys::text[]) AS wallet_by, unnest(@name_bys::text[]) AS name_by,
           unnest(@known_trusted_phones::text[]) AS known_trusted_phone, unnest(@known_trusted_providers::text[]) AS known_trusted_provider,
           unnest(@known_unconfirmed::boolean[]) AS known_unconfirmed
) r WHERE p.tenant = @tenant AND p.payee_id = r.payee_id AND p.version = r.known_version AND p.phone = r.known_phone
  AND p.state = r.known_state AND p.trusted_phone = r.known_trusted_phone AND p.trusted_provider = r.known_trusted_provider
  AND p.unconfirmed = r.known_unconfirmed;
