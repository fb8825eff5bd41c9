-- name: PlanAnew :exec
-- A plan made for an empty table must not be kept while it fills: until the next analyze it would read all of it each time.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true);

-- name: DueRecurrences :many
-- What a morning looks at, after the last page's last one: recurrences whose charge date has come, and those with a charge
-- that is due although nothing sends it any more. Each half reads a page of its index, however much there is behind it.
SELECT d.recurrence_id::text AS recurrence_id FROM (
    (SELECT r.recurrence_id FROM recurrences r
     WHERE r.tenant = @tenant AND r.recurrence_id > @after AND r.state IN ('active', 'past_due') AND r.next_charge_date <= @local_date::date
     ORDER BY r.recurrence_id LIMIT @page_limit)
    UNION
    (SELECT c.recurrence_id FROM charges c
     WHERE c.tenant = @tenant AND c.recurrence_id > @after AND c.state = 'due' AND c.send_run IS NULL AND NOT c.contradicted
       AND (SELECT r.state IN ('active', 'past_due') FROM recurrences r WHERE r.tenant = c.tenant AND r.recurrence_id = c.recurrence_id)
     ORDER BY c.recurrence_id LIMIT @page_limit)
) d ORDER BY d.recurrence_id LIMIT @page_limit;

-- name: StrandedCharges :many
-- Charges that are due and that nothing sends.
SELECT c.charge_id FROM charges c
WHERE c.tenant = @tenant AND c.recurrence_id = ANY(@ids::text[]) AND c.state = 'due' AND c.send_run IS NULL AND NOT c.contradicted;

-- name: OpenCharges :many
-- Charges that may take money by themselves, or may have taken it, oldest cycle first.
SELECT c.charge_id, c.recurrence_id, c.charge_date, c.state, (c.send_run IS NOT NULL)::boolean AS wanted, c.contradicted FROM charges c
WHERE c.tenant = @tenant AND c.recurrence_id = ANY(@ids::text[]) AND c.state NOT IN ('succeeded', 'cancelled')
  AND (c.state = ANY(@unresolved::text[]) OR c.send_run IS NOT NULL)
ORDER BY c.recurrence_id, c.cycle;

-- name: AttemptedOn :many
-- On the date, or after it: a tick that comes late must not charge again whom a later one has charged.
SELECT DISTINCT c.recurrence_id FROM charges c
WHERE c.tenant = @tenant AND c.recurrence_id = ANY(@ids::text[]) AND c.last_attempt_date >= @local_date::date;

-- name: ChargesToRetry :many
-- The oldest charge of each recurrence whose retry day has come, unless another one of it is under way, or was retried on
-- this day. A charge that was attempted for the first time this morning is no reason to leave an older one alone: of a
-- recurrence with a cycle every day no retry would ever come. The states are asked for row by row, each by its primary key,
-- for the statistics are those of yesterday: a join would be planned for the one recurrence that was past due then.
SELECT DISTINCT ON (c.recurrence_id) c.recurrence_id, c.charge_id FROM charges c
WHERE c.tenant = @tenant AND c.recurrence_id > @after AND c.state = 'failed_soft' AND c.retry_on <= @local_date::date
  AND c.send_run IS NULL AND NOT c.contradicted AND c.last_attempt_date < @local_date::date
  AND (SELECT r.state = 'past_due' AND (SELECT k.state <> 'invalid' FROM cards k WHERE k.card_id = r.card_id)
       FROM recurrences r WHERE r.tenant = c.tenant AND r.recurrence_id = c.recurrence_id)
  AND (SELECT true FROM charges o WHERE o.tenant = c.tenant AND o.recurrence_id = c.recurrence_id AND o.charge_id <> c.charge_id
         AND (o.send_run IS NOT NULL OR o.state IN ('submitting', 'processing', 'unknown', 'manual_review')
              OR o.last_attempt_date >= @local_date::date AND o.first_attempt_date < @local_date::date) LIMIT 1) IS NULL
ORDER BY c.recurrence_id, c.cycle LIMIT @page_limit;

-- name: HoldsBySeller :many
-- Without what a tick after this one put on hold, so that a digest that comes late says what it would have said in time.
SELECT r.seller_id, array_agg(r.recurrence_id ORDER BY r.recurrence_id)::text[] AS recurrence_ids,
       sum(r.amount)::bigint AS total, min(r.currency)::text AS currency
FROM recurrences r
WHERE r.tenant = @tenant AND r.seller_id > @after AND r.state = 'hold' AND (r.held_by IS NULL OR r.held_by <= @nominal_time::timestamptz)
GROUP BY r.seller_id ORDER BY r.seller_id LIMIT @page_limit;

-- name: OldRecurrences :many
-- What the clean-up looks at: whose next charge was forgotten long ago (of one that has no next cycle: whose last charge
-- was), what ended long ago, and what has no cycle left. ids restricts it to rows that the caller has locked by now. As in
-- ChargesToRetry, LIMIT keeps what is asked of each row from becoming a join that is planned for yesterday's few.
SELECT o.recurrence_id, o.state, o.finished::boolean AS finished, COALESCE(o.forgotten_on < @before::date, false)::boolean AS forgotten FROM (
    SELECT r.recurrence_id, r.state, r.ended_at, r.state IN ('active', 'past_due') AND r.next_cycle IS NULL AS finished,
           COALESCE(r.next_charge_date,
                    (SELECT max(c.charge_date) FROM charges c WHERE c.tenant = r.tenant AND c.recurrence_id = r.recurrence_id)) AS forgotten_on
    FROM recurrences r
    WHERE r.tenant = @tenant AND r.recurrence_id > @after AND r.state <> 'archived'
      AND (cardinality(@ids::text[]) = 0 OR r.recurrence_id = ANY(@ids::text[]))
      AND (SELECT true FROM charges c WHERE c.tenant = r.tenant AND c.recurrence_id = r.recurrence_id
             AND c.state NOT IN ('succeeded', 'cancelled') AND (c.state = ANY(@unresolved::text[]) OR c.send_run IS NOT NULL) LIMIT 1) IS NULL
) o
WHERE CASE WHEN o.state IN ('completed', 'cancelled') THEN o.ended_at < @ended_before::timestamptz
           ELSE o.finished OR COALESCE(o.forgotten_on < @before::date, false) END
ORDER BY o.recurrence_id LIMIT @page_limit;
