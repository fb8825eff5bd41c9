-- +goose Up

-- Why a payout may have been paid, in which case nobody ends it and frees its payments: the one place that says so. Each question ends at the
-- first row it meets (LIMIT keeps the planner from reading a whole table into a hash), and is asked only where its column is.
--   contradicted  the provider contradicts a failure
--   open          an attempt is not proven over, or is being asked about
--   denied        the provider knew nothing of what was sent, which lets the same reference go again and proves no more than that
--   restored      it may have been sent before a restore, for all that the provider has said in this epoch
--                 (it may have said so too long ago: whoever frees something looks at prechecks.proven_at as well)
--   elsewhere     EVENTS told of it before a restore, through another provider than the one that its row names: asking that one proves nothing
-- Ask about payouts whose rows are locked, or ask again when they are.
CREATE VIEW payout_doubts AS
SELECT d.*, (d.contradicted OR d.open OR d.denied OR d.restored OR d.elsewhere) AS doubted FROM (
    SELECT p.payout_id, p.run_id, p.state, p.indexed_state, p.contradicted,
        (SELECT true FROM attempts a WHERE a.subject_id = p.payout_id
            AND (a.state NOT IN ('failed', 'not_sent') OR a.next_lookup_at IS NOT NULL) LIMIT 1) IS NOT NULL AS open,
        (SELECT true FROM attempts a WHERE a.subject_id = p.payout_id AND a.state = 'not_sent' AND a.opened_at IS NOT NULL
            AND (a.code = 'proven_never_created' OR a.sends > 1) LIMIT 1) IS NOT NULL AS denied,
        COALESCE((SELECT p.period_date <= m.careful_until AND (SELECT true FROM prechecks w WHERE w.subject_id = p.payout_id
                AND w.epoch = m.epoch AND w.provider = p.provider AND w.state = 'absent' LIMIT 1) IS NULL
            FROM restore_marks m ORDER BY m.epoch DESC LIMIT 1), false) AS restored,
        (SELECT true FROM restore_lost x WHERE x.subject_id = p.payout_id AND x.settled_at IS NULL AND x.provider <> p.provider LIMIT 1) IS NOT NULL AS elsewhere
    FROM payouts p) d;
