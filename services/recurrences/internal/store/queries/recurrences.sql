-- name: LockRecurrences :many
-- In key order, so that two transactions never wait for each other in a circle.
SELECT r.tenant, r.recurrence_id, r.customer_id, r.customer_name, r.seller_id, r.currency, r.amount, r.description, r.period,
       r.anchor_day, r.anchor_month, r.interval_days, r.next_cycle, r.next_charge_date, r.end_date, r.max_cycles, r.cycles, r.card_id,
       r.state, r.reason_class, r.reason_scope, r.reason_code, r.provider_code, r.held_by, r.ended_at, r.version
FROM recurrences r
JOIN (SELECT unnest(@tenants::text[]) AS tenant, unnest(@ids::text[]) AS id) k ON r.tenant = k.tenant AND r.recurrence_id = k.id
ORDER BY r.tenant, r.recurrence_id FOR NO KEY UPDATE OF r;

-- name: GetRecurrences :many
SELECT r.tenant, r.recurrence_id, r.customer_id, r.customer_name, r.seller_id, r.currency, r.amount, r.description, r.period,
       r.anchor_day, r.anchor_month, r.interval_days, r.next_cycle, r.next_charge_date, r.end_date, r.max_cycles, r.cycles, r.card_id,
       r.state, r.reason_class, r.reason_scope, r.reason_code, r.provider_code, r.held_by, r.ended_at, r.version
FROM recurrences r
JOIN (SELECT unnest(@tenants::text[]) AS tenant, unnest(@ids::text[]) AS id) k ON r.tenant = k.tenant AND r.recurrence_id = k.id
ORDER BY r.tenant, r.recurrence_id;

-- name: InsertRecurrences :many
-- '' and the zero time stand for NULL, since arrays of a driver's nullable elements are clumsy.
INSERT INTO recurrences (tenant, recurrence_id, customer_id, customer_name, seller_id, currency, amount, description, period,
    anchor_day, anchor_month, interval_days, next_cycle, next_charge_date, end_date, max_cycles, cycles, card_id, state,
    reason_class, reason_scope, reason_code, provider_code, held_by, ended_at, imported, version, created_at, updated_at)
SELECT n.tenant, n.id, n.customer_id, n.customer_name, n.seller_id, n.currency, n.amount, n.description, n.period,
       n.anchor_day, n.anchor_month, n.interval_days, NULLIF(n.next_cycle, '')::date, NULLIF(n.next_charge_date, '')::date,
       NULLIF(n.end_date, '')::date, n.max_cycles, n.cycles, n.card_id, n.state, n.reason_class, n.reason_scope, n.reason_code,
       n.provider_code, NULLIF(n.held_by, '0001-01-01 00:00:00+00'), NULLIF(n.ended_at, '0001-01-01 00:00:00+00'),
       n.imported::jsonb, 1, @now::timestamptz, @now::timestamptz
FROM (
    SELECT unnest(@tenants::text[]) AS tenant, unnest(@ids::text[]) AS id, unnest(@customer_ids::text[]) AS customer_id,
           unnest(@customer_names::text[]) AS customer_name, unnest(@seller_ids::text[]) AS seller_id,
           unnest(@currencies::text[]) AS currency, unnest(@amounts::bigint[]) AS amount,
           unnest(@descriptions::text[]) AS description, unnest(@periods::text[]) AS period,
           unnest(@anchor_days::integer[]) AS anchor_day, unnest(@anchor_months::integer[]) AS anchor_month,
           unnest(@intervals::integer[]) AS interval_days, unnest(@next_cycles::text[]) AS next_cycle,
           unnest(@next_charge_dates::text[]) AS next_charge_date, unnest(@end_dates::text[]) AS end_date,
           unnest(@max_cycles::integer[]) AS max_cycles, unnest(@cycles::integer[]) AS cycles, unnest(@card_ids::uuid[]) AS card_id,
           unnest(@states::text[]) AS state, unnest(@reason_classes::text[]) AS reason_class,
           unnest(@reason_scopes::text[]) AS reason_scope, unnest(@reason_codes::text[]) AS reason_code,
           unnest(@provider_codes::text[]) AS provider_code, unnest(@held_bys::timestamptz[]) AS held_by,
           unnest(@ended_ats::timestamptz[]) AS ended_at, unnest(@importeds::text[]) AS imported
) n
ON CONFLICT DO NOTHING
RETURNING tenant, recurrence_id;

-- name: MoveRecurrences :execrows
UPDATE recurrences r SET
    state = c.state, reason_class = c.reason_class, reason_scope = c.reason_scope, reason_code = c.reason_code,
    provider_code = c.provider_code, held_by = NULLIF(c.held_by, '0001-01-01 00:00:00+00'),
    ended_at = NULLIF(c.ended_at, '0001-01-01 00:00:00+00'), next_cycle = NULLIF(c.next_cycle, '')::date,
    next_charge_date = NULLIF(c.next_charge_date, '')::date, cycles = c.cycles, card_id = c.card_id, version = c.version,
    updated_at = @now::timestamptz
FROM (
    SELECT unnest(@tenants::text[]) AS tenant, unnest(@ids::text[]) AS id, unnest(@states::text[]) AS state,
           unnest(@reason_classes::text[]) AS reason_class, unnest(@reason_scopes::text[]) AS reason_scope,
           unnest(@reason_codes::text[]) AS reason_code, unnest(@provider_codes::text[]) AS provider_code,
           unnest(@held_bys::timestamptz[]) AS held_by, unnest(@ended_ats::timestamptz[]) AS ended_at,
           unnest(@next_cycles::text[]) AS next_cycle, unnest(@next_charge_dates::text[]) AS next_charge_date,
           unnest(@cycles::integer[]) AS cycles, unnest(@card_ids::uuid[]) AS card_id, unnest(@versions::bigint[]) AS version
) c WHERE r.tenant = c.tenant AND r.recurrence_id = c.id;

-- name: AdvanceRecurrences :execrows
UPDATE recurrences r SET next_cycle = NULLIF(c.next_cycle, '')::date, next_charge_date = NULLIF(c.next_charge_date, '')::date,
    cycles = c.cycles, updated_at = @now::timestamptz
FROM (
    SELECT unnest(@tenants::text[]) AS tenant, unnest(@ids::text[]) AS id, unnest(@next_cycles::text[]) AS next_cycle,
           unnest(@next_charge_dates::text[]) AS next_charge_date, unnest(@cycles::integer[]) AS cycles
) c WHERE r.tenant = c.tenant AND r.recurrence_id = c.id;

-- name: RecurrencesToHold :many
-- What a card that does not work any more would be asked for.
SELECT tenant, recurrence_id, card_id FROM recurrences
WHERE card_id = ANY(@card_ids::uuid[]) AND state IN ('active', 'past_due') ORDER BY tenant, recurrence_id;

-- name: FinishedRecurrences :many
-- No cycle is left, and nothing of those before it is unpaid.
SELECT r.tenant, r.recurrence_id FROM recurrences r
JOIN (SELECT unnest(@tenants::text[]) AS tenant, unnest(@ids::text[]) AS id) k ON r.tenant = k.tenant AND r.recurrence_id = k.id
WHERE r.state IN ('active', 'past_due') AND r.next_cycle IS NULL
  AND NOT EXISTS (SELECT 1 FROM charges c WHERE c.tenant = r.tenant AND c.recurrence_id = r.recurrence_id AND c.state NOT IN ('succeeded', 'cancelled'))
ORDER BY r.tenant, r.recurrence_id;

-- name: InsertMissed :exec
INSERT INTO missed_cycles (tenant, recurrence_id, cycle, charge_date, missed_at, run_id)
SELECT unnest(@tenants::text[]), unnest(@ids::text[]), unnest(@cycles::text[])::date, unnest(@charge_dates::text[])::date,
       @now::timestamptz, unnest(@run_ids::uuid[])
ON CONFLICT DO NOTHING;

-- name: TakeMissed :many
-- A missed cycle that becomes a charge is missed no more.
DELETE FROM missed_cycles WHERE tenant = @tenant AND recurrence_id = @recurrence_id AND cycle = (@cycle::text)::date
RETURNING charge_date, run_id;

-- name: InsertDigests :many
INSERT INTO hold_digests (digest_id, tenant, seller_id, local_date, recurrence_ids, currency, total, run_id, created_at)
SELECT n.id, n.tenant, n.seller_id, n.local_date::date, ARRAY(SELECT jsonb_array_elements_text(n.recurrence_ids::jsonb)), n.currency, n.total, n.run_id, @now::timestamptz
FROM (
    SELECT unnest(@ids::uuid[]) AS id, unnest(@tenants::text[]) AS tenant, unnest(@seller_ids::text[]) AS seller_id,
           unnest(@local_dates::text[]) AS local_date, unnest(@recurrence_ids::text[]) AS recurrence_ids,
           unnest(@currencies::text[]) AS currency, unnest(@totals::bigint[]) AS total, unnest(@run_ids::uuid[]) AS run_id
) n
ON CONFLICT DO NOTHING
RETURNING digest_id;
