-- name: Runs :many
-- Runs of which something rests in a state, from one on, and whether their day is in doubt: all payouts of a run are of its day. Found by hopping
-- over a small index, so that a run costs one row, however much of it rests.
WITH RECURSIVE hops AS (
    (SELECT 1 AS hop, p.run_id, p.period_date FROM payouts p WHERE p.indexed_state = @state::text AND p.run_id >= @from_run::uuid
     ORDER BY p.run_id, p.page, p.payout_id LIMIT 1)
    UNION ALL
    SELECT h.hop + 1, n.run_id, n.period_date FROM hops h CROSS JOIN LATERAL (
        SELECT p.run_id, p.period_date FROM payouts p WHERE p.indexed_state = @state::text AND p.run_id > h.run_id
        ORDER BY p.run_id, p.page, p.payout_id LIMIT 1) n
    WHERE h.hop < @hops::integer
)
SELECT run_id::uuid AS run_id, (period_date <= (@until::text)::date)::boolean AS doubted FROM hops ORDER BY hop;

-- name: Page :many
-- A page of what rests of runs in a state, after a place, and what is to become of each: asked about, or taken over. The page is what was read, so that a
-- look costs the same however much was asked about before.
SELECT r.payout_id, r.run_id, r.page, r.tenant, r.provider,
       -- With nothing of it open, and not asked about since the mark; or so long ago that nobody
       -- would be believed who wants to end it, as whoever cancelled its run. What was told of by another provider is for people first.
       (NOT r.contradicted
        AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.subject_id = r.payout_id AND (a.state NOT IN ('failed', 'not_sent') OR a.next_lookup_at IS NOT NULL))
        AND NOT EXISTS (SELECT 1 FROM restore_lost x WHERE x.subject_id = r.payout_id AND x.settled_at IS NULL AND x.provider <> r.provider)
        AND NOT EXISTS (SELECT 1 FROM prechecks w WHERE w.subject_id = r.payout_id AND w.epoch = @epoch AND w.provider = r.provider
                        AND (w.state = 'asking' OR w.state = 'absent' AND NOT (NOT w.proven_at BETWEEN @proven_since::timestamptz AND @proven_until::timestamptz AND (w.wanted
                             OR EXISTS (SELECT 1 FROM batches b WHERE b.run_id = r.run_id AND b.control = 'cancelled'))))))::boolean AS doubted,
       EXISTS (SELECT 1 FROM prechecks w WHERE w.subject_id = r.payout_id AND w.epoch = @epoch AND w.provider = r.provider AND w.state = 'found')::boolean AS found
FROM (
    SELECT w.* FROM (SELECT unnest(@runs::uuid[]) AS run_id ORDER BY 1) u
    CROSS JOIN LATERAL (
        SELECT p.payout_id, p.run_id, p.page, p.tenant, p.provider, p.contradicted FROM payouts p
        WHERE p.indexed_state = @state::text AND p.run_id = u.run_id AND (p.run_id, p.page, p.payout_id) > (@after_run::uuid, @after_page::integer, @after_id::uuid)
        ORDER BY p.page, p.payout_id LIMIT @page_limit
    ) w ORDER BY u.run_id, w.page, w.payout_id LIMIT @page_limit
) r ORDER BY r.run_id, r.page, r.payout_id;

-- name: Tenants :many
SELECT DISTINCT tenant FROM payouts WHERE payout_id = ANY(@ids::uuid[]) ORDER BY tenant;

-- name: VainWishes :many
-- A page of what somebody waits for to be asked about anew, after a place, and whether nothing will come of it: it is over, or sent, or cannot be asked
-- about any more (Page), or its provider's word is believed again as it is.
SELECT w.subject_id, (NOT (w.epoch = @epoch AND w.tenant || '/' || w.provider = ANY(@served::text[]) AND NOT w.proven_at BETWEEN @proven_since::timestamptz AND @proven_until::timestamptz
    AND EXISTS (SELECT 1 FROM payouts p WHERE p.payout_id = w.subject_id AND p.indexed_state IN ('approved', 'held', 'awaiting_approval') AND p.provider = w.provider AND NOT p.contradicted)
    AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.subject_id = w.subject_id AND (a.state NOT IN ('failed', 'not_sent') OR a.next_lookup_at IS NOT NULL))
    AND NOT EXISTS (SELECT 1 FROM restore_lost x WHERE x.subject_id = w.subject_id AND x.settled_at IS NULL AND x.provider <> w.provider)))::boolean AS vain
FROM prechecks w WHERE w.wanted AND w.subject_id > @after::uuid ORDER BY w.subject_id LIMIT @page_limit;

-- name: ForgetWishes :exec
-- Whoever holds a question is asking anew, or wants it once more: it is looked at again.
UPDATE prechecks SET wanted = false WHERE subject_id IN (
    SELECT k.subject_id FROM prechecks k WHERE k.subject_id = ANY(@ids::uuid[]) AND k.wanted FOR UPDATE SKIP LOCKED);

-- name: Found :many
-- A page of what was found and is not taken over, after one, and whether it has ended: what has not is taken over from where it rests or is sent.
SELECT f.subject_id, COALESCE(p.contradicted OR p.state IN ('succeeded', 'cancelled', 'rejected', 'reversed', 'skipped') OR p.state = 'failed' AND p.retry_at IS NULL, false)::boolean AS ended
FROM (SELECT w.subject_id FROM prechecks w WHERE w.state = 'found' AND w.subject_id > @after::uuid ORDER BY w.subject_id LIMIT @page_limit) f
LEFT JOIN payouts p ON p.payout_id = f.subject_id
ORDER BY f.subject_id;

-- name: Renumber :exec
-- What people have tried again goes under a number that nobody has used.
UPDATE payouts p SET attempt = n.number, reference = n.reference
FROM (SELECT unnest(@ids::uuid[]) AS payout_id, unnest(@numbers::integer[]) AS number, unnest(@refs::text[]) AS reference) n
WHERE p.payout_id = n.payout_id AND p.attempt < n.number;
