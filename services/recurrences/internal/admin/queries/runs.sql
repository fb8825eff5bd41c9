-- name: SumsOfRuns :many
-- As the store counts the charges of one run for its last event: those that it made, sent, or is still to send.
SELECT i.run_id, c.state, c.currency, count(*)::bigint AS count, sum(c.amount)::bigint AS amount,
       count(*) FILTER (WHERE c.send_run = i.run_id AND c.state <> 'submitting')::bigint AS waiting
FROM (
    SELECT m.run_id, m.charge_id FROM charges m WHERE m.run_id = ANY(@ids::uuid[])
    UNION SELECT k.run_id, k.charge_id FROM card_attempts k WHERE k.run_id = ANY(@ids::uuid[])
    UNION SELECT w.send_run::uuid, w.charge_id FROM charges w WHERE w.send_run = ANY(@ids::uuid[])
) i JOIN charges c ON c.charge_id = i.charge_id
GROUP BY i.run_id, c.state, c.currency ORDER BY i.run_id, c.state, c.currency;
