-- name: RunIsBusy :one
-- Running, and being planned or sent: until that ends neither it nor its batch can be done. Asked whenever a page has been sent,
-- it nearly always ends at the first row of a small index; for one run, so that its plan is kept. One state at a time: of a list
-- of them the planner reads all that is open of the run. What is being sent is found by its attempts, of which there are as many as
-- slots: the inner question keeps the planner from beginning at the run's payouts, which may be a million.
SELECT EXISTS (SELECT 1 FROM runs r WHERE r.run_id = @run_id AND r.state = 'running' AND (NOT r.planned OR
  (SELECT true FROM attempts u WHERE u.state = 'submitting'
    AND (SELECT p.run_id FROM payouts p WHERE p.payout_id = u.subject_id) = r.run_id ORDER BY u.lease_expires_at LIMIT 1) IS NOT NULL OR
  (SELECT true FROM payouts p WHERE p.run_id = r.run_id AND p.indexed_state = 'created' LIMIT 1) IS NOT NULL));

-- name: FinishableRuns :many
-- Planned, and nothing of it is created, submitting, or approved with nothing in its way. Each question ends at the first
-- payout it meets in a small index (LIMIT keeps the planner from reading all of it into a hash), so asking after every page
-- stays cheap. What is approved while an attempt of it is to be asked about again later is behind a provider that has
-- not answered: it cannot be claimed before it has, which may be never. A close that could not be read once is behind its provider, too, and so is
-- one that has a reason to wait: an earlier day's that could not.
SELECT r.run_id FROM runs r
LEFT JOIN batches b ON b.run_id = r.run_id
LEFT JOIN outflows o ON o.tenant = r.tenant
WHERE r.run_id = ANY(@ids::uuid[]) AND r.state = 'running' AND r.planned
  AND (SELECT true FROM attempts u WHERE u.state = 'submitting'
    AND (SELECT p.run_id FROM payouts p WHERE p.payout_id = u.subject_id) = r.run_id ORDER BY u.lease_expires_at LIMIT 1) IS NULL
  AND (SELECT true FROM payouts p WHERE p.run_id = r.run_id AND p.indexed_state = 'created' LIMIT 1) IS NULL
  AND (SELECT true FROM closes k WHERE k.run_id = r.run_id AND k.state = 'open' AND k.tries = 0 AND k.reason = '' LIMIT 1) IS NULL
  AND (b.control = 'paused' OR b.control = 'open' AND (b.approvals < b.approvals_needed OR o.stopped)
    -- Of a cancelled batch whatever can be cancelled is, before its run ends. What was denied after a restore too long ago cannot, before its
    -- provider is asked anew, which may be never.
    OR b.control = 'cancelled' AND (
      SELECT true FROM payout_doubts p WHERE p.run_id = r.run_id AND p.indexed_state IN ('approved', 'held', 'awaiting_approval') AND NOT p.doubted
        AND (SELECT true FROM prechecks w WHERE w.subject_id = p.payout_id AND w.state = 'absent' AND NOT w.proven_at BETWEEN @proven_since::timestamptz AND @now::timestamptz LIMIT 1) IS NULL
      LIMIT 1) IS NULL
    OR COALESCE(b.control, 'open') = 'open' AND (
    SELECT true FROM payouts p WHERE p.run_id = r.run_id AND p.indexed_state = 'approved'
      AND (p.retry_at IS NULL OR p.retry_at <= @now::timestamptz) AND NOT (p.tenant || '/' || p.provider = ANY(@stopped::text[]))
      AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.subject_id = p.payout_id AND a.next_lookup_at > @now::timestamptz)
      AND NOT EXISTS (SELECT 1 FROM prechecks w WHERE w.subject_id = p.payout_id AND w.state = 'asking' AND w.unanswered > 0)
    LIMIT 1) IS NULL)
ORDER BY r.run_id;

-- name: RunCounts :many
SELECT state, currency, count(*)::bigint AS count, sum(net)::bigint AS net FROM payouts WHERE run_id = @run_id
GROUP BY state, currency ORDER BY state, currency;

-- name: OpenBatchRuns :many
-- Runs that are complete while their batch is not closed: something of it is held, unknown or in review.
SELECT b.run_id, b.batch_id FROM batches b JOIN runs r ON r.run_id = b.run_id
WHERE b.state IN ('created', 'approved') AND r.state <> 'running' AND b.batch_id > @after::uuid
ORDER BY b.batch_id LIMIT @page_limit;

-- name: FailedPlans :many
-- Failed runs that were being planned and have a batch, of tenants whose rules are known.
SELECT r.run_id, b.batch_id FROM batches b JOIN runs r ON r.run_id = b.run_id
WHERE b.state IN ('created', 'approved', 'partially_completed') AND r.state = 'failed' AND NOT r.planned AND r.tenant = ANY(@tenants::text[])
  AND b.batch_id > @after::uuid
ORDER BY b.batch_id LIMIT @page_limit;

-- name: EndFailedPlans :many
-- Planning goes no further. Whoever has one locked has it planned further, or is about to end it.
UPDATE runs SET planned = true WHERE run_id IN (
    SELECT r.run_id FROM runs r WHERE r.run_id = ANY(@ids::uuid[]) AND r.state = 'failed' AND NOT r.planned
    ORDER BY r.run_id FOR UPDATE SKIP LOCKED)
RETURNING run_id, tenant;

-- name: PlanAnew :exec
-- A plan made for an empty table must not be kept while it fills: until the next analyze it would read all of it each time.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true);

-- name: RunCloses :one
-- What a run of the daily close came to.
SELECT count(*) FILTER (WHERE state = 'completed')::bigint AS closed, count(*) FILTER (WHERE state = 'open')::bigint AS waiting FROM closes WHERE run_id = @run_id;

-- name: WaitingRuns :many
-- Runs of which something waits, cancelled or not, from one on: found by hopping over two small indexes, so that a run of which nothing is left
-- costs nothing, however many there were.
WITH RECURSIVE waiting AS (
    SELECT 1 AS hop, LEAST(
        (SELECT p.run_id FROM payouts p WHERE p.indexed_state = 'approved' AND p.run_id >= @from_run::uuid ORDER BY p.run_id LIMIT 1),
        (SELECT p.run_id FROM payouts p WHERE p.indexed_state IN ('held', 'awaiting_approval') AND p.run_id >= @from_run::uuid ORDER BY p.run_id LIMIT 1)) AS run_id
    UNION ALL
    SELECT w.hop + 1, LEAST(
        (SELECT p.run_id FROM payouts p WHERE p.indexed_state = 'approved' AND p.run_id > w.run_id ORDER BY p.run_id LIMIT 1),
        (SELECT p.run_id FROM payouts p WHERE p.indexed_state IN ('held', 'awaiting_approval') AND p.run_id > w.run_id ORDER BY p.run_id LIMIT 1))
    FROM waiting w WHERE w.run_id IS NOT NULL AND w.hop < @hops::integer
)
SELECT run_id::uuid AS run_id FROM waiting WHERE run_id IS NOT NULL ORDER BY hop;

-- name: UnsentOfCancelled :many
-- A page of what those of the runs that were cancelled have left, from a place on: two small indexes are walked in their order, and no more of
-- them is read than the page has, however much is left.
SELECT u.payout_id, u.run_id, u.page
FROM (SELECT c.run_id FROM batches c WHERE c.control = 'cancelled' AND c.run_id = ANY(@runs::uuid[]) ORDER BY c.run_id) b
CROSS JOIN LATERAL (
    SELECT w.payout_id, w.run_id, w.page FROM (
        (SELECT p.payout_id, p.run_id, p.page FROM payouts p WHERE p.indexed_state = 'approved' AND p.run_id = b.run_id
           AND (p.run_id, p.page, p.payout_id) > (@after_run::uuid, @after_page::integer, @after_id::uuid)
         ORDER BY p.run_id, p.page, p.payout_id LIMIT @page_limit)
        UNION ALL
        (SELECT p.payout_id, p.run_id, p.page FROM payouts p WHERE p.indexed_state IN ('held', 'awaiting_approval') AND p.run_id = b.run_id
           AND (p.run_id, p.page, p.payout_id) > (@after_run::uuid, @after_page::integer, @after_id::uuid)
         ORDER BY p.run_id, p.page, p.payout_id LIMIT @page_limit)) w
    ORDER BY w.page, w.payout_id LIMIT @page_limit) u
ORDER BY b.run_id, u.page, u.payout_id LIMIT @page_limit;

-- name: RunWaits :one
-- Whether something of a run was not sent yet, is being sent, or is to be tried again: what cancelling it ends.
SELECT (EXISTS (SELECT 1 FROM payouts p WHERE p.run_id = @run_id AND p.indexed_state IN ('created', 'awaiting_approval', 'approved', 'held', 'retrying'))
    OR (SELECT true FROM attempts u WHERE u.state = 'submitting'
        AND (SELECT p.run_id FROM payouts p WHERE p.payout_id = u.subject_id) = @run_id ORDER BY u.lease_expires_at LIMIT 1) IS NOT NULL)::boolean AS waits;

-- name: NotHeldFor :many
SELECT payout_id FROM payouts WHERE payout_id = ANY(@ids::uuid[]) AND NOT (state = 'held' AND reason_code = @code::text);

-- name: OfCancelledBatches :many
SELECT p.payout_id FROM payouts p JOIN batches b ON b.run_id = p.run_id
WHERE p.payout_id = ANY(@ids::uuid[]) AND b.control = 'cancelled' ORDER BY p.payout_id;

-- name: BatchIsCancelled :one
SELECT EXISTS (SELECT 1 FROM batches WHERE batch_id = @batch_id AND control = 'cancelled')::boolean AS cancelled;

-- name: RunProgress :many
-- A run's payouts by state, the held ones by what holds them.
SELECT state, (CASE WHEN state = 'held' THEN reason_code ELSE '' END)::text AS cause, currency, count(*)::bigint AS count, sum(net)::bigint AS net
FROM payouts WHERE run_id = @run_id GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
