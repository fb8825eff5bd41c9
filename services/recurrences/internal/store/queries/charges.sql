-- name: LockCharges :many
-- In id order, so that two transactions never wait for each other in a circle.
SELECT charge_id, tenant, recurrence_id, cycle, charge_date, customer_id, seller_id, card_id, gateway, currency, amount, state,
       reason_class, reason_scope, reason_code, provider_code, fee, refunded, disputed, charged_back, attempt, reference, tries, tried_attempt, first_attempt_date, last_attempt_date,
       retry_on, send_run, send_page, send_date, send_cause, send_wanted_at, not_before, contradicted, run_id, nominal_time, version
FROM charges WHERE charge_id = ANY(@ids::uuid[]) ORDER BY charge_id FOR NO KEY UPDATE;

-- name: GetCharges :many
SELECT charge_id, tenant, recurrence_id, cycle, charge_date, customer_id, seller_id, card_id, gateway, currency, amount, state,
       reason_class, reason_scope, reason_code, provider_code, fee, refunded, disputed, charged_back, attempt, reference, tries, tried_attempt, first_attempt_date, last_attempt_date,
       retry_on, send_run, send_page, send_date, send_cause, send_wanted_at, not_before, contradicted, run_id, nominal_time, version
FROM charges WHERE charge_id = ANY(@ids::uuid[]) ORDER BY charge_id;

-- name: UnpaidCharges :many
-- Oldest cycle first.
SELECT c.charge_id, c.tenant, c.recurrence_id, c.cycle, c.charge_date, c.customer_id, c.seller_id, c.card_id, c.gateway, c.currency,
       c.amount, c.state, c.reason_class, c.reason_scope, c.reason_code, c.provider_code, c.fee, c.refunded, c.disputed, c.charged_back, c.attempt, c.reference, c.tries, c.tried_attempt,
       c.first_attempt_date, c.last_attempt_date, c.retry_on, c.send_run, c.send_page, c.send_date, c.send_cause, c.send_wanted_at, c.not_before,
       c.contradicted, c.run_id, c.nominal_time, c.version
FROM charges c
JOIN (SELECT unnest(@tenants::text[]) AS tenant, unnest(@ids::text[]) AS id) k ON c.tenant = k.tenant AND c.recurrence_id = k.id
WHERE c.state NOT IN ('succeeded', 'cancelled') ORDER BY c.tenant, c.recurrence_id, c.cycle;

-- name: InsertCharges :many
INSERT INTO charges (charge_id, tenant, recurrence_id, cycle, charge_date, customer_id, seller_id, card_id, gateway, currency, amount,
    state, send_run, send_page, send_date, send_cause, send_wanted_at, run_id, nominal_time, version, created_at, updated_at)
SELECT n.id, n.tenant, n.recurrence_id, n.cycle::date, n.charge_date::date, n.customer_id, n.seller_id, n.card_id, n.gateway, n.currency,
       n.amount, 'due', NULLIF(n.send_run, '00000000-0000-0000-0000-000000000000'), CASE WHEN n.send_date <> '' THEN n.send_page END,
       NULLIF(n.send_date, '')::date, n.send_cause, @now::timestamptz, n.run_id, n.nominal_time, 1, @now::timestamptz, @now::timestamptz
FROM (
    SELECT unnest(@ids::uuid[]) AS id, unnest(@tenants::text[]) AS tenant, unnest(@recurrence_ids::text[]) AS recurrence_id,
           unnest(@cycles::text[]) AS cycle, unnest(@charge_dates::text[]) AS charge_date, unnest(@customer_ids::text[]) AS customer_id,
           unnest(@seller_ids::text[]) AS seller_id, unnest(@card_ids::uuid[]) AS card_id, unnest(@gateways::text[]) AS gateway,
           unnest(@currencies::text[]) AS currency, unnest(@amounts::bigint[]) AS amount, unnest(@send_runs::uuid[]) AS send_run,
           unnest(@send_pages::integer[]) AS send_page, unnest(@send_dates::text[]) AS send_date,
           unnest(@send_causes::text[]) AS send_cause, unnest(@run_ids::uuid[]) AS run_id,
           unnest(@nominal_times::timestamptz[]) AS nominal_time
) n
ON CONFLICT DO NOTHING
RETURNING charge_id;

-- name: MoveCharges :execrows
-- fee -1, '' and the zero values stand for NULL, since arrays of a driver's nullable elements are clumsy.
UPDATE charges p SET
    state = c.state, reason_class = c.reason_class, reason_scope = c.reason_scope, reason_code = c.reason_code,
    provider_code = c.provider_code, card_id = c.card_id, fee = NULLIF(c.fee, -1),
    refunded = c.refunded, disputed = c.disputed, charged_back = c.charged_back, attempt = c.attempt, reference = c.reference,
    tries = c.tries, tried_attempt = c.tried_attempt, first_attempt_date = NULLIF(c.first_attempt, '')::date, last_attempt_date = NULLIF(c.last_attempt, '')::date,
    retry_on = NULLIF(c.retry_on, '')::date, send_run = NULLIF(c.send_run, '00000000-0000-0000-0000-000000000000'),
    send_page = CASE WHEN c.send_date <> '' THEN c.send_page END, send_date = NULLIF(c.send_date, '')::date,
    send_wanted_at = CASE WHEN c.state = 'submitting' THEN @now::timestamptz ELSE p.send_wanted_at END, -- its date is that of now
    not_before = NULLIF(c.not_before, '0001-01-01 00:00:00+00'), version = c.version, updated_at = @now::timestamptz
FROM (
    SELECT unnest(@ids::uuid[]) AS id, unnest(@states::text[]) AS state, unnest(@reason_classes::text[]) AS reason_class,
           unnest(@reason_scopes::text[]) AS reason_scope, unnest(@reason_codes::text[]) AS reason_code,
           unnest(@provider_codes::text[]) AS provider_code, unnest(@card_ids::uuid[]) AS card_id, unnest(@fees::bigint[]) AS fee,
           unnest(@refundeds::bigint[]) AS refunded, unnest(@disputeds::bigint[]) AS disputed, unnest(@charged_backs::bigint[]) AS charged_back,
           unnest(@attempts::integer[]) AS attempt, unnest(@refs::text[]) AS reference, unnest(@tries::integer[]) AS tries,
           unnest(@tried_attempts::integer[]) AS tried_attempt,
           unnest(@first_attempts::text[]) AS first_attempt, unnest(@last_attempts::text[]) AS last_attempt,
           unnest(@retry_ons::text[]) AS retry_on, unnest(@send_runs::uuid[]) AS send_run, unnest(@send_pages::integer[]) AS send_page,
           unnest(@send_dates::text[]) AS send_date, unnest(@not_befores::timestamptz[]) AS not_before,
           unnest(@versions::bigint[]) AS version
) c WHERE p.charge_id = c.id;

-- name: WantSent :many
UPDATE charges c SET send_run = @send_run::uuid, send_page = @send_page::integer, send_date = (@send_date::text)::date,
    send_cause = @send_cause, send_wanted_at = @now::timestamptz, not_before = NULL, updated_at = @now::timestamptz
FROM (SELECT charge_id FROM charges WHERE charge_id = ANY(@ids::uuid[]) AND NOT contradicted
        AND state IN ('due', 'failed_soft', 'failed_hard', 'requires_action', 'exhausted')
      ORDER BY charge_id FOR NO KEY UPDATE) w
WHERE c.charge_id = w.charge_id
RETURNING c.charge_id;

-- name: UnwantSent :exec
UPDATE charges c SET send_run = NULL, send_page = NULL, send_date = NULL, not_before = NULL, updated_at = @now::timestamptz
FROM (SELECT charge_id FROM charges WHERE charge_id = ANY(@ids::uuid[]) AND state <> 'submitting' AND send_run IS NOT NULL
      ORDER BY charge_id FOR NO KEY UPDATE) w
WHERE c.charge_id = w.charge_id;

-- name: ScheduleRetries :exec
UPDATE charges c SET retry_on = w.retry_on::date, updated_at = @now::timestamptz
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@retry_ons::text[]) AS retry_on) w
WHERE c.charge_id = w.id AND c.state = 'failed_soft';

-- name: RestSends :exec
UPDATE charges c SET not_before = w.until, updated_at = @now::timestamptz
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@untils::timestamptz[]) AS until) w
WHERE c.charge_id = w.id AND c.state <> 'submitting';

-- name: Contradict :exec
-- Nothing sends it from now on, unless it is on its way already.
UPDATE charges c SET contradicted = true, send_run = CASE WHEN c.state = 'submitting' THEN c.send_run END,
    send_page = CASE WHEN c.state = 'submitting' THEN c.send_page END, send_date = CASE WHEN c.state = 'submitting' THEN c.send_date END,
    updated_at = @now::timestamptz
FROM (SELECT charge_id FROM charges WHERE charge_id = ANY(@ids::uuid[]) ORDER BY charge_id FOR NO KEY UPDATE) w
WHERE c.charge_id = w.charge_id;

-- name: InsertEndings :exec
INSERT INTO endings (charge_id, tenant) SELECT unnest(@ids::uuid[]), unnest(@tenants::text[]) ON CONFLICT DO NOTHING;

-- name: ListEndings :many
SELECT charge_id, tenant FROM endings WHERE charge_id > @after::uuid ORDER BY charge_id LIMIT @page_limit;

-- name: DeleteEndings :exec
DELETE FROM endings WHERE charge_id = ANY(@ids::uuid[]);

-- name: FoundCharges :many
-- A page of what was found after a restore and is not taken over, after one, and whether nothing sends it: what is sent is taken over from there.
SELECT f.subject_id, COALESCE(c.tenant, '')::text AS tenant,
       COALESCE(c.contradicted OR c.send_run IS NULL AND c.state NOT IN ('submitting', 'processing', 'unknown', 'manual_review'), false)::boolean AS unsent
FROM (SELECT w.subject_id FROM prechecks w WHERE w.state = 'found' AND w.subject_id > @after::uuid ORDER BY w.subject_id LIMIT @page_limit) f
LEFT JOIN charges c ON c.charge_id = f.subject_id
ORDER BY f.subject_id;

-- name: RenumberCharge :exec
-- What is charged again goes under a number that nobody has used.
UPDATE charges SET attempt = @attempt, reference = @reference WHERE charge_id = @charge_id AND attempt < @attempt;
