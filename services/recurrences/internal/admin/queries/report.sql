-- name: SumsByState :many
SELECT state, count(*)::bigint AS count, sum(amount)::bigint AS amount FROM recurrences WHERE tenant = @tenant GROUP BY state ORDER BY state;

-- name: ChargeSumsByState :many
SELECT state, count(*)::bigint AS count, sum(amount)::bigint AS amount FROM charges WHERE tenant = @tenant GROUP BY state ORDER BY state;

-- name: SumsDue :one
SELECT count(*) FILTER (WHERE next_charge_date = @local_date::date)::bigint AS today,
       COALESCE(sum(amount) FILTER (WHERE next_charge_date = @local_date::date), 0)::bigint AS today_amount,
       count(*) FILTER (WHERE next_charge_date < @local_date::date)::bigint AS overdue,
       COALESCE(sum(amount) FILTER (WHERE next_charge_date < @local_date::date), 0)::bigint AS overdue_amount
FROM recurrences WHERE tenant = @tenant AND state IN ('active', 'past_due') AND next_charge_date <= @local_date::date;

-- name: SumsOnHold :many
SELECT seller_id, count(*)::bigint AS count, sum(amount)::bigint AS amount FROM recurrences
WHERE tenant = @tenant AND state = 'hold' GROUP BY seller_id ORDER BY count(*) DESC, seller_id LIMIT @page_limit;

-- name: CountMissed :one
SELECT count(*) FROM missed_cycles WHERE tenant = @tenant;
