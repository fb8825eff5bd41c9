-- name: ChargesOfTenant :many
SELECT c.charge_id, c.cycle FROM charges c
WHERE c.tenant = @tenant AND c.cycle >= @since::date AND (c.cycle < @before::date OR (c.cycle = @before::date AND c.charge_id > @after))
  AND (cardinality(@states::text[]) = 0 OR c.state = ANY(@states))
ORDER BY c.cycle DESC, c.charge_id LIMIT @page_limit;

-- name: OpenChargesOfTenant :many
-- For states that few charges are in, by the index of those.
SELECT c.charge_id, c.cycle FROM charges c
WHERE c.tenant = @tenant AND c.cycle >= @since::date AND (c.cycle < @before::date OR (c.cycle = @before::date AND c.charge_id > @after))
  AND c.state IN ('due', 'submitting', 'processing', 'unknown', 'manual_review', 'failed_soft') AND c.state = ANY(@states::text[])
ORDER BY c.cycle DESC, c.charge_id LIMIT @page_limit;

-- name: ChargesOfRecurrence :many
SELECT c.charge_id, c.cycle FROM charges c
WHERE c.tenant = @tenant AND c.recurrence_id = @recurrence_id
  AND c.cycle >= @since::date AND (c.cycle < @before::date OR (c.cycle = @before::date AND c.charge_id > @after))
  AND (cardinality(@states::text[]) = 0 OR c.state = ANY(@states))
ORDER BY c.cycle DESC, c.charge_id LIMIT @page_limit;

-- name: ChargesOfRun :many
SELECT c.charge_id, c.cycle FROM (
    SELECT m.charge_id FROM charges m WHERE m.run_id = @run_id
    UNION SELECT w.charge_id FROM charges w WHERE w.send_run = @run_id
    UNION SELECT t.charge_id FROM card_attempts t WHERE t.run_id = @run_id
) i JOIN charges c ON c.charge_id = i.charge_id
WHERE c.tenant = @tenant AND c.cycle >= @since::date AND (c.cycle < @before::date OR (c.cycle = @before::date AND c.charge_id > @after))
  AND (cardinality(@states::text[]) = 0 OR c.state = ANY(@states)) AND (@recurrence_id::text = '' OR c.recurrence_id = @recurrence_id)
ORDER BY c.cycle DESC, c.charge_id LIMIT @page_limit;

-- name: FindCharges :many
SELECT charge_id, tenant, recurrence_id, customer_id, seller_id, card_id, run_id, cycle, charge_date, currency, amount, fee, refunded, disputed, charged_back, gateway, state,
       reason_class, reason_scope, reason_code, provider_code, tries, first_attempt_date, last_attempt_date, retry_on,
       (send_run IS NOT NULL AND state <> 'submitting')::boolean AS waiting, contradicted, nominal_time, updated_at, version
FROM charges WHERE tenant = @tenant AND charge_id = ANY(@ids::uuid[]);

-- name: WaitingOfRecurrence :many
-- What is to be sent of a recurrence, oldest cycle first: a new card sends what is open at once.
SELECT charge_id FROM charges
WHERE tenant = @tenant AND recurrence_id = @recurrence_id AND send_run IS NOT NULL AND state NOT IN ('succeeded', 'cancelled')
ORDER BY cycle;

-- name: AttemptsOf :many
SELECT subject_id, number, reference, state, class, scope, code, provider, provider_id, submitted_at, closed_at, next_lookup_at, lookups
FROM attempts WHERE subject_id = ANY(@ids::uuid[]) ORDER BY subject_id, number;
