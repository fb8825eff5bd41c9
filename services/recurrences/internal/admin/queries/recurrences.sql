-- Lists choose ids by the index that their main filter has; the rows of a page are read by id.

-- name: ListRecurrences :many
SELECT r.recurrence_id FROM recurrences r
WHERE r.tenant = @tenant AND r.recurrence_id > @after AND (cardinality(@states::text[]) = 0 OR r.state = ANY(@states))
ORDER BY r.recurrence_id LIMIT @page_limit;

-- name: RecurrencesOfSeller :many
SELECT r.recurrence_id FROM recurrences r
WHERE r.tenant = @tenant AND r.seller_id = @seller_id AND r.recurrence_id > @after
  AND (cardinality(@states::text[]) = 0 OR r.state = ANY(@states))
ORDER BY r.recurrence_id LIMIT @page_limit;

-- name: RecurrencesDue :many
SELECT r.recurrence_id FROM recurrences r
WHERE r.tenant = @tenant AND r.state IN ('active', 'past_due') AND r.next_charge_date <= @due_by::date AND r.recurrence_id > @after
  AND (cardinality(@states::text[]) = 0 OR r.state = ANY(@states)) AND (@seller_id::text = '' OR r.seller_id = @seller_id)
ORDER BY r.recurrence_id LIMIT @page_limit;

-- name: RecurrencesOfCard :many
SELECT r.recurrence_id FROM recurrences r
WHERE r.card_id = @card_id AND r.tenant = @tenant AND r.recurrence_id > @after
  AND (cardinality(@states::text[]) = 0 OR r.state = ANY(@states)) AND (@seller_id::text = '' OR r.seller_id = @seller_id)
  AND (NOT @due::boolean OR (r.state IN ('active', 'past_due') AND r.next_charge_date <= @due_by::date))
ORDER BY r.recurrence_id LIMIT @page_limit;

-- name: RecurrencesWithMissed :many
SELECT DISTINCT r.recurrence_id FROM missed_cycles m
JOIN recurrences r ON r.tenant = m.tenant AND r.recurrence_id = m.recurrence_id
WHERE m.tenant = @tenant AND m.recurrence_id > @after
  AND (cardinality(@states::text[]) = 0 OR r.state = ANY(@states)) AND (@seller_id::text = '' OR r.seller_id = @seller_id)
  AND (NOT @by_card::boolean OR r.card_id = @card_id)
  AND (NOT @due::boolean OR (r.state IN ('active', 'past_due') AND r.next_charge_date <= @due_by::date))
ORDER BY r.recurrence_id LIMIT @page_limit;

-- name: FindRecurrences :many
SELECT r.recurrence_id, r.tenant, r.customer_id, r.customer_name, r.seller_id, r.currency, r.amount, r.description, r.period, r.anchor_day,
       r.anchor_month, r.interval_days, r.next_cycle, r.next_charge_date, r.end_date, r.max_cycles, r.cycles, r.state, r.reason_class,
       r.reason_scope, r.reason_code, r.provider_code, r.held_by, r.ended_at, r.created_at, r.updated_at, r.version,
       k.card_id, k.brand AS card_brand, k.state AS card_state, k.reason AS card_reason, k.failures AS card_failures
FROM recurrences r JOIN cards k ON k.card_id = r.card_id
WHERE r.tenant = @tenant AND r.recurrence_id = ANY(@ids::text[]);

-- name: MissedCycles :many
SELECT cycle, charge_date, missed_at FROM missed_cycles
WHERE tenant = @tenant AND recurrence_id = @recurrence_id ORDER BY cycle LIMIT @page_limit;

-- name: ListHoldDigests :many
SELECT digest_id, tenant, seller_id, local_date, recurrence_ids, currency, total, run_id, created_at FROM hold_digests
WHERE tenant = @tenant AND (@seller_id::text = '' OR seller_id = @seller_id) AND local_date >= @since::date
  AND (local_date < @before::date OR (local_date = @before::date AND digest_id > @after))
ORDER BY local_date DESC, digest_id LIMIT @page_limit;
