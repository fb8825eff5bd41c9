-- name: FinishableRuns :many
-- Planned, and nothing of it is on its way or may go now. What rests, waits behind a connector that is stopped, behind another
-- charge of its recurrence that is in doubt, or for a gateway that is to be asked about an attempt of it (and may never
-- answer), keeps no run open. Each question ends at the first charge it meets in a small index, so asking after every batch of
-- outcomes stays cheap.
SELECT r.run_id FROM runs r
WHERE r.run_id = ANY(@ids::uuid[]) AND r.state = 'running' AND r.planned
  AND (SELECT true FROM charges c WHERE c.send_run = r.run_id AND c.state = 'submitting' LIMIT 1) IS NULL
  AND (SELECT true FROM charges c WHERE c.send_run = r.run_id AND c.state <> 'submitting' AND NOT c.contradicted
         AND (c.not_before IS NULL OR c.not_before <= @now::timestamptz) AND NOT (c.tenant || '/' || c.gateway = ANY(@stopped::text[]))
         AND NOT EXISTS (SELECT 1 FROM charges o WHERE o.tenant = c.tenant AND o.recurrence_id = c.recurrence_id
                         AND o.state IN ('processing', 'unknown', 'manual_review'))
         AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.subject_id = c.charge_id AND a.next_lookup_at IS NOT NULL)
         AND NOT EXISTS (SELECT 1 FROM prechecks w WHERE w.subject_id = c.charge_id AND w.state = 'asking' AND w.unanswered > 0)
       LIMIT 1) IS NULL
ORDER BY r.run_id;

-- name: RunSums :many
-- Of the charges that a run made, sent, or is still to send; waiting are those that it is still to send.
SELECT c.state, c.currency, count(*)::bigint AS count, sum(c.amount)::bigint AS amount,
       count(*) FILTER (WHERE c.send_run = @run_id::uuid AND c.state <> 'submitting')::bigint AS waiting
FROM charges c
WHERE c.charge_id IN (
    SELECT m.charge_id FROM charges m WHERE m.run_id = @run_id::uuid
    UNION SELECT k.charge_id FROM card_attempts k WHERE k.run_id = @run_id::uuid
    UNION SELECT w.charge_id FROM charges w WHERE w.send_run = @run_id::uuid)
GROUP BY c.state, c.currency ORDER BY c.state, c.currency;
