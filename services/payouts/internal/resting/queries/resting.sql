-- name: Page :many
-- A page of what rests in a state, after a place, and what is to become of each: asked about, or taken over. The page is what was read, so that a
-- look costs the same however much was asked about before.
SELECT r.payout_id, r.run_id, r.page, r.tenant, r.provider,
       -- Of a day from before the mark, with nothing of it open, and not asked about since the mark; or so long ago that nobody
       -- would be believed who wants to end it, as whoever cancelled its run. What was told of by another provider is for people first.
       (r.period_date <= (@until::text)::date AND NOT r.contradicted
        AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.subject_id = r.payout_id AND (a.state NOT IN ('failed', 'not_sent') OR a.next_lookup_at IS NOT NULL))
        AND NOT EXISTS (SELECT 1 FROM restore_lost x WHERE x.subject_id = r.payout_id AND x.settled_at IS NULL AND x.provider <> r.provider)
        AND NOT EXISTS (SELECT 1 FROM prechecks w WHERE w.subject_id = r.payout_id AND w.epoch = @epoch AND w.provider = r.provider
                        AND (w.state = 'asking' OR w.state = 'absent' AND NOT (w.proven_at < @proven_since::timestamptz AND (w.wanted
                             OR EXISTS (SELECT 1 FROM batches b WHERE b.run_id = r.run_id AND b.control = 'cancelled'))))))::boolean AS doubted,
       EXISTS (SELECT 1 FROM prechecks w WHERE w.subject_id = r.payout_id AND w.epoch = @epoch AND w.provider = r.provider AND w.state = 'found')::boolean AS found
FROM (
    SELECT p.payout_id, p.run_id, p.page, p.tenant, p.provider, p.period_date, p.contradicted FROM payouts p
    WHERE p.indexed_state = @state::text AND (p.run_id, p.page, p.payout_id) > (@after_run::uuid, @after_page::integer, @after_id::uuid)
    ORDER BY p.run_id, p.page, p.payout_id LIMIT @page_limit
) r ORDER BY r.run_id, r.page, r.payout_id;
