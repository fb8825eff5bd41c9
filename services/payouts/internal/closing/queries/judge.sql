-- name: Snapshot :exec
-- All that a close is judged by is read as of one moment; who changes it meanwhile makes the judgement begin anew.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;

-- name: Patience :exec
SELECT set_config('statement_timeout', @timeout::text, true);

-- name: Repeated :many
-- Lines that stand more than once in a statement count once. With the same content they are a slip of paging.
WITH ranked AS (
    SELECT l.line, row_number() OVER w AS n, first_value(l.line) OVER w AS first
    FROM close_lines l WHERE l.close_id = @close_id
    WINDOW w AS (PARTITION BY l.provider_id ORDER BY l.at, l.kind, l.amount, l.line)
), again AS (
    SELECT r.line, x.provider_id, x.reference, x.currency, x.at,
           (x.reference, x.kind, x.amount, x.fee, x.currency) <> (f.reference, f.kind, f.amount, f.fee, f.currency) AS differs
    FROM ranked r JOIN close_lines x ON x.close_id = @close_id AND x.line = r.line JOIN close_lines f ON f.close_id = @close_id AND f.line = r.first
    WHERE r.n > 1
), gone AS (
    DELETE FROM close_lines d WHERE d.close_id = @close_id AND d.line IN (SELECT a.line FROM again a)
)
SELECT g.provider_id, max(g.reference)::text AS reference, count(*)::bigint AS times, bool_or(g.differs)::boolean AS differs,
       min(g.currency)::text AS currency, min(g.at)::timestamptz AS at FROM again g GROUP BY g.provider_id ORDER BY g.provider_id;

-- name: LinesSum :one
SELECT count(*)::bigint AS lines, COALESCE(sum(amount - fee) FILTER (WHERE currency = @currency::text), 0)::bigint AS sum FROM close_lines WHERE close_id = @close_id;

-- name: Movements :one
-- What the day did to a float by the books, and what of it is of postings that were summed up before.
SELECT COALESCE(sum(m.moved) FILTER (WHERE m.kind = 'float.topped_up'), 0)::bigint AS top_ups,
       COALESCE(-sum(m.moved) FILTER (WHERE m.kind = 'attempt.succeeded'), 0)::bigint AS paid,
       COALESCE(-sum(m.moved) FILTER (WHERE m.kind = 'attempt.fee'), 0)::bigint AS fees,
       COALESCE(sum(m.moved) FILTER (WHERE m.kind IN ('attempt.returned', 'attempt.fee_returned')), 0)::bigint AS reversed,
       COALESCE(sum(m.moved) FILTER (WHERE m.kind NOT IN ('float.topped_up', 'attempt.succeeded', 'attempt.fee',
           'attempt.returned', 'attempt.fee_returned')), 0)::bigint AS corrections,
       COALESCE(sum(m.moved) FILTER (WHERE m.posting_id <= @settled_id::bigint), 0)::bigint AS settled
FROM (
    SELECT p.kind, p.posting_id, -p.amount AS moved FROM ledger_postings p
    WHERE p.tenant = @tenant AND p.credit = @float AND p.credit LIKE 'float:%' AND p.occurred_at >= @day_start::timestamptz
      AND p.occurred_at < @day_end::timestamptz AND p.currency = @currency
    UNION ALL
    SELECT p.kind, p.posting_id, p.amount FROM ledger_postings p
    WHERE p.tenant = @tenant AND p.debit = @float AND p.debit LIKE 'float:%' AND p.occurred_at >= @day_start::timestamptz
      AND p.occurred_at < @day_end::timestamptz AND p.currency = @currency
) m;

-- name: SinceSettled :one
-- What the books have of a float beyond what is summed up for good: dated before the day, and of that and the day what can be summed up by now.
SELECT COALESCE(sum(m.moved) FILTER (WHERE m.occurred_at < @day_start::timestamptz), 0)::bigint AS before,
       COALESCE(sum(m.moved) FILTER (WHERE m.posting_id <= @settle_to::bigint), 0)::bigint AS settled
FROM (
    SELECT p.posting_id, p.occurred_at, -p.amount AS moved FROM ledger_postings p
    WHERE p.tenant = @tenant AND p.credit = @float AND p.posting_id > @settled_id::bigint AND p.occurred_at < @day_end::timestamptz AND p.currency = @currency
    UNION ALL
    SELECT p.posting_id, p.occurred_at, p.amount FROM ledger_postings p
    WHERE p.tenant = @tenant AND p.debit = @float AND p.posting_id > @settled_id::bigint AND p.occurred_at < @day_end::timestamptz AND p.currency = @currency
) m;

-- name: Seen :one
-- The last posting that is there, and before which transaction others may still commit some with a smaller number. done: all that were
-- under way at an earlier look have ended; a number that this database has not come to is another's, from which it was loaded.
SELECT COALESCE((SELECT max(p.posting_id) FROM ledger_postings p WHERE p.tenant = @tenant), 0)::bigint AS posting_id,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xid,
       (pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= @seen_xid::bigint
        OR pg_snapshot_xmax(pg_current_snapshot())::text::bigint < @seen_xid::bigint)::boolean AS done;

-- name: MovedSince :one
-- What the books say happened to a float from a time on, up to another.
SELECT COALESCE(sum(m.moved), 0)::bigint AS moved FROM (
    SELECT -p.amount AS moved FROM ledger_postings p WHERE p.tenant = @tenant AND p.credit = @float AND p.credit LIKE 'float:%' AND p.currency = @currency
      AND p.occurred_at >= @since::timestamptz AND p.occurred_at < @until::timestamptz
    UNION ALL
    SELECT p.amount FROM ledger_postings p WHERE p.tenant = @tenant AND p.debit = @float AND p.debit LIKE 'float:%' AND p.currency = @currency
      AND p.occurred_at >= @since::timestamptz AND p.occurred_at < @until::timestamptz
) m;

-- name: KeyLines :exec
-- A line under a reference that is no attempt's is known by its own id: whoever else pays from the wallet may name all of them alike.
UPDATE close_lines l SET item_key = '#' || l.provider_id
FROM (SELECT n.line FROM close_lines n
      LEFT JOIN LATERAL (SELECT true AS ours FROM attempts x WHERE x.tenant = n.tenant AND x.provider = n.provider AND x.reference = n.reference LIMIT 1) a ON true
      WHERE n.close_id = @close_id AND n.reference <> '' AND a.ours IS NULL) m
WHERE l.close_id = @close_id AND l.line = m.line;

-- name: Recognise :many
-- Lines of earlier closes that were nobody's, and whose reference is an attempt's by now: they count for that from here on.
WITH known AS (
    UPDATE close_items i SET settled_by = @close_id FROM attempts a
    WHERE i.tenant = @tenant AND i.provider = @provider AND i.kind = 'missing_here' AND i.settled_by IS NULL AND i.code = 'unknown_reference'
      AND i.close_id <> @close_id AND a.tenant = i.tenant AND a.provider = i.provider AND a.reference = i.reference
    RETURNING i.item_key, i.reference
), counted AS (
    UPDATE close_lines l SET item_key = l.reference FROM known k WHERE l.tenant = @tenant AND l.provider = @provider AND l.item_key = k.item_key COLLATE "default"
), released AS (
    UPDATE close_suspense s SET wanted = 0 FROM known k WHERE s.tenant = @tenant AND s.provider = @provider AND s.item_key = k.item_key COLLATE "default"
)
SELECT DISTINCT k.reference FROM known k ORDER BY k.reference;

-- name: Judge :one
-- One row for each reference that a line, a posting of the day, a doubt, the report before, or an earlier revision speaks of. They
-- are put together by grouping, and what is known of each is one step into an index: no join here can become a product of two long
-- days. LIMIT keeps the planner from reading whole tables instead. The keys of items have the collation "C", with
-- which no index on references would serve: they lose it here.
--
-- An item says what the day's lines and postings of a reference have to do with each other. What is to be in suspense is another
-- question, and has one answer: what all lines of the reference, of every day as it was read last, moved beyond what is booked of it.
WITH lines AS (
    SELECT l.item_key AS key, max(l.reference) AS reference, count(*) AS n,
           COALESCE(sum(l.amount - l.fee) FILTER (WHERE l.currency = @currency), 0) AS change,
           count(*) FILTER (WHERE l.kind = 'payout') AS payouts, count(*) FILTER (WHERE l.kind = 'reversal') AS reversals,
           COALESCE(sum(-l.amount) FILTER (WHERE l.kind = 'payout' AND l.currency = @currency), 0) AS paid,
           COALESCE(sum(CASE l.kind WHEN 'payout' THEN l.fee ELSE l.fee - l.amount END) FILTER (WHERE l.kind IN ('payout', 'fee') AND l.currency = @currency), 0) AS fee,
           COALESCE(sum(l.amount - l.fee) FILTER (WHERE l.currency <> @currency), 0) AS foreign_change,
           COALESCE(max(l.currency) FILTER (WHERE l.currency <> @currency), '') AS foreign_currency,
           min(l.provider_id) AS provider_id, min(l.at) AS at, min(l.kind) AS kind
    FROM close_lines l WHERE l.close_id = @close_id GROUP BY 1
), posted AS (
    SELECT p.ref, sum(p.paid) AS paid, sum(p.back) AS back FROM (
        SELECT o.ref, o.amount AS paid, 0::bigint AS back FROM ledger_postings o
        WHERE o.tenant = @tenant AND o.credit = @float AND o.credit LIKE 'float:%' AND o.occurred_at >= @day_start::timestamptz
          AND o.occurred_at < @day_end::timestamptz AND o.currency = @currency AND o.kind IN ('attempt.succeeded', 'attempt.fee')
        UNION ALL
        SELECT i.ref, 0, i.amount FROM ledger_postings i
        WHERE i.tenant = @tenant AND i.debit = @float AND i.debit LIKE 'float:%' AND i.occurred_at >= @day_start::timestamptz
          AND i.occurred_at < @day_end::timestamptz AND i.currency = @currency AND i.kind IN ('attempt.returned', 'attempt.fee_returned')
    ) p GROUP BY p.ref
), touched AS (
    SELECT key, reference, n, change, payouts, reversals, paid, fee, foreign_change, foreign_currency, provider_id, at, kind,
           0::bigint AS booked, 0::bigint AS back, '' AS awaited, false AS doubted FROM lines
    UNION ALL
    SELECT a.reference, '', 0, 0, 0, 0, 0, 0, 0, '', '', NULL, '', p.paid, p.back, '', false FROM posted p
    CROSS JOIN LATERAL (SELECT x.reference FROM attempts x WHERE x.subject_id = split_part(p.ref, '/', 1)::uuid
                        AND x.number = split_part(p.ref, '/', 2)::integer LIMIT 1) a
    UNION ALL
    SELECT w.item_key COLLATE "default", '', 0, 0, 0, 0, 0, 0, 0, '', '', NULL, '', 0, 0, CASE w.kind WHEN 'awaited' THEN w.code ELSE '' END, w.kind = 'unknown'
    FROM close_items w
    WHERE w.close_id = @previous_close::uuid AND w.subject_id IS NOT NULL AND (w.kind = 'awaited' OR w.kind = 'unknown' AND w.code = 'paid_there')
    UNION ALL
    SELECT r.item_key COLLATE "default", '', 0, 0, 0, 0, 0, 0, 0, '', '', NULL, '', 0, 0, '', false
    FROM closes c JOIN close_items r ON r.close_id = c.close_id
    WHERE c.tenant = @tenant AND c.provider = @provider AND c.local_date = @local_date AND c.revision < @revision::integer
      AND (r.subject_id IS NOT NULL OR r.kind IN ('missing_here', 'timing'))
    UNION ALL
    SELECT k.reference, '', 0, 0, 0, 0, 0, 0, 0, '', '', NULL, '', 0, 0, '', true FROM unnest(@recognised::text[]) AS k (reference)
    UNION ALL
    SELECT d.reference, '', 0, 0, 0, 0, 0, 0, 0, '', '', NULL, '', 0, 0, '', false FROM attempts d
    WHERE d.tenant = @tenant AND d.provider = @provider AND d.state IN ('processing', 'unknown', 'manual_review') AND d.submitted_at < @day_end::timestamptz
    UNION ALL
    SELECT s.reference, '', 0, 0, 0, 0, 0, 0, 0, '', '', NULL, '', 0, 0, '', false FROM attempts s
    WHERE s.tenant = @tenant AND s.provider = @provider AND s.state = 'submitting' AND s.submitted_at < @day_end::timestamptz
), gathered AS (
    SELECT t.key, max(t.reference) AS reference, sum(t.n)::bigint AS n, sum(t.change)::bigint AS change, sum(t.payouts)::bigint AS payouts,
           sum(t.reversals)::bigint AS reversals, sum(t.paid)::bigint AS paid, sum(t.fee)::bigint AS fee,
           sum(t.foreign_change)::bigint AS foreign_change, max(t.foreign_currency) AS foreign_currency,
           max(t.provider_id) AS provider_id, min(t.at) AS at, max(t.kind) AS kind, sum(t.booked)::bigint AS booked, sum(t.back)::bigint AS back,
           max(t.awaited) AS awaited, bool_or(t.doubted) AS doubted
    FROM touched t GROUP BY t.key
), known AS (
    SELECT g.*, a.subject_id, a.number, a.state, COALESCE(a.amount, 0) AS asked, COALESCE(a.fee, 0) AS cost, a.closed_at,
           COALESCE(o.state, '') AS payout_state, o.updated_at, COALESCE(a.state = 'succeeded', false) AS succeeded,
           COALESCE(a.state = 'succeeded' AND o.state = 'reversed', false) AS reversed,
           a.amount + COALESCE(a.fee, 0) - COALESCE(o.fee, a.fee, 0) AS returned,
           e.change AS other_change, e.payouts AS other_payouts, e.reversals AS other_reversals, f.moved AS looked_up, f.beyond, f.again
    FROM gathered g
    LEFT JOIN LATERAL (SELECT x.subject_id, x.number, x.state, x.amount, x.fee, x.closed_at FROM attempts x
                       WHERE x.tenant = @tenant AND x.provider = @provider AND x.reference = g.key LIMIT 1) a ON true
    LEFT JOIN LATERAL (SELECT y.state, y.updated_at, y.fee FROM payouts y WHERE y.payout_id = a.subject_id LIMIT 1) o ON true
    CROSS JOIN LATERAL (SELECT COALESCE(sum(z.amount - z.fee) FILTER (WHERE z.currency = @currency), 0)::bigint AS change,
                               count(*) FILTER (WHERE z.kind = 'payout') AS payouts, count(*) FILTER (WHERE z.kind = 'reversal') AS reversals
                        FROM close_lines z JOIN closes c ON c.close_id = z.close_id AND c.state = 'completed'
                        WHERE z.tenant = @tenant AND z.provider = @provider AND z.item_key = g.key AND z.local_date <> @local_date) e
    CROSS JOIN LATERAL (SELECT COALESCE(sum(d.difference), 0)::bigint AS moved, COALESCE(sum(d.difference) FILTER (WHERE d.beyond), 0)::bigint AS beyond,
                               COALESCE(bool_or(d.again) AND NOT bool_or(d.returned), false) AS again FROM (
                            SELECT DISTINCT ON (sign(r.difference), r.code LIKE 'another_amount%') r.difference, r.code LIKE 'another_amount%' AS beyond,
                                   r.code = 'paid_after_return' AS again, r.code = 'returned_after_closed' AS returned FROM recon_findings r
                            WHERE r.subject_id = a.subject_id AND r.attempt = a.number AND r.source = 'lookup' AND r.difference <> 0) d) f
), remembered AS (
    -- Lines are not kept for ever, and days before the first close have none, nor have those that were closed without their statement:
    -- what was booked then had its line.
    SELECT k.*, (k.succeeded AND k.payouts + k.other_payouts = 0 AND (k.closed_at < @seen_before::timestamptz OR u.paid)) AS paid_before,
           (k.reversed AND k.reversals + k.other_reversals = 0 AND (k.updated_at < @seen_before::timestamptz OR u.back)) AS back_before
    FROM known k
    CROSS JOIN LATERAL (
        SELECT COALESCE(bool_or(k.closed_at >= n.since AND k.closed_at < n.until), false) AS paid,
               COALESCE(bool_or(k.updated_at >= n.since AND k.updated_at < n.until), false) AS back
        FROM (SELECT unnest(@unseen_since::timestamptz[]) AS since, unnest(@unseen_until::timestamptz[]) AS until) n) u
), counted AS (
    SELECT r.*, r.payouts + r.other_payouts + r.paid_before::integer AS all_payouts, r.reversals + r.other_reversals + r.back_before::integer AS all_reversals,
           -r.change - r.other_change + CASE WHEN r.paid_before THEN r.asked + r.cost ELSE 0 END - CASE WHEN r.back_before THEN r.returned ELSE 0 END AS went
    FROM remembered r
), aimed AS (
    -- NULL leaves what there is: while the outcome is open, and while the books are behind with a reversal. What they alone have is
    -- nothing to suspend.
    SELECT c.*, CASE
        WHEN c.subject_id IS NULL THEN c.went
        WHEN c.foreign_currency <> '' OR c.state IN ('submitting', 'processing', 'unknown', 'manual_review') THEN NULL
        WHEN NOT c.succeeded THEN c.went
        WHEN c.all_payouts = 0 AND c.all_reversals = 0 THEN c.looked_up
        WHEN NOT c.reversed AND c.all_reversals > GREATEST(c.all_payouts - 1, 0) THEN NULL
        ELSE c.went - CASE WHEN c.all_payouts > 0 THEN c.asked + c.cost ELSE 0 END
             + CASE WHEN c.reversed AND (c.all_reversals > 0 OR c.again) THEN c.returned ELSE 0 END END AS target
    FROM counted c
), coded AS (
    SELECT k.*, CASE
        WHEN k.subject_id IS NULL AND k.n = 0 THEN 'matched/'
        WHEN k.subject_id IS NULL AND k.foreign_currency <> '' THEN 'missing_here/other_currency'
        WHEN k.subject_id IS NULL AND k.reference = '' THEN 'missing_here/no_reference'
        WHEN k.subject_id IS NULL THEN 'missing_here/unknown_reference'
        WHEN k.foreign_currency <> '' THEN 'amount_differs/other_currency'
        WHEN k.state IN ('submitting', 'processing', 'unknown', 'manual_review') AND k.all_payouts > k.all_reversals THEN 'unknown/paid_there'
        WHEN k.state IN ('submitting', 'processing', 'unknown', 'manual_review') THEN 'unknown/' || k.state
        WHEN NOT k.succeeded AND k.all_payouts > 0 AND (k.all_reversals = 0 OR k.target <> 0) AND (k.n > 0 OR k.doubted) THEN 'state_differs/paid_there'
        WHEN k.succeeded AND k.payouts > 0 AND k.all_payouts - 1 > GREATEST(k.all_reversals - k.reversed::integer, 0) THEN 'duplicate/paid_twice'
        WHEN k.succeeded AND k.reversals > 0 AND NOT k.reversed AND k.all_reversals > GREATEST(k.all_payouts - 1, 0) THEN 'state_differs/reversed_there'
        WHEN k.succeeded AND k.reversals > 0 AND k.reversed AND k.all_reversals - 1 > GREATEST(k.all_payouts - 1, 0) THEN 'duplicate/reversed_twice'
        WHEN k.succeeded AND k.payouts = 1 AND k.all_payouts = 1 AND k.paid <> k.asked THEN 'amount_differs/amount_differs'
        WHEN k.succeeded AND k.payouts = 1 AND k.all_payouts = 1 AND k.fee <> k.cost AND k.target IS DISTINCT FROM 0 THEN 'amount_differs/fee_differs'
        WHEN k.all_payouts = 0 AND (k.booked > 0 OR k.awaited = 'payout') THEN
            CASE WHEN k.awaited = '' AND k.closed_at >= @awaited_from::timestamptz THEN 'awaited/payout' ELSE 'missing_there/payout' END
        WHEN k.all_reversals = 0 AND (k.back > 0 OR k.awaited = 'reversal') THEN
            CASE WHEN k.awaited = '' AND k.updated_at >= @awaited_from::timestamptz THEN 'awaited/reversal' ELSE 'missing_there/reversal' END
        WHEN k.payouts = 0 AND k.reversals = 0 AND k.change <> 0 AND (k.target IS NULL OR k.all_payouts + k.all_reversals = 0) THEN 'state_differs/other_movement'
        WHEN k.payouts = 0 AND k.reversals = 0 AND k.change <> 0 AND k.target <> 0 THEN 'amount_differs/other_movement'
        WHEN k.n > 0 AND k.target <> 0 THEN 'amount_differs/amount_differs'
        WHEN k.change + k.booked - k.back <> 0 THEN 'timing/other_day'
        ELSE 'matched/' END AS verdict
    FROM aimed k
), wanted AS (
    -- What is in suspense by the word of lookups is there already; a contradiction of this close puts the attempt's amount there.
    INSERT INTO close_suspense (tenant, provider, item_key, subject_id, attempt, looked_up, wanted, held)
    SELECT @tenant, @provider, w.key, w.subject_id, w.number, w.looked_up, w.target - w.looked_up, 0 FROM (
        SELECT c.key, c.subject_id, COALESCE(c.number, 0) AS number, c.target,
               CASE c.verdict WHEN 'state_differs/paid_there' THEN c.asked + c.beyond ELSE c.looked_up END AS looked_up
        FROM coded c WHERE c.target IS NOT NULL) w
    LEFT JOIN LATERAL (SELECT h.wanted FROM close_suspense h WHERE h.tenant = @tenant AND h.provider = @provider AND h.item_key = w.key) s ON true
    WHERE w.target - w.looked_up <> COALESCE(s.wanted, 0)
    ON CONFLICT (tenant, provider, item_key) DO UPDATE SET looked_up = EXCLUDED.looked_up, wanted = EXCLUDED.wanted, subject_id = EXCLUDED.subject_id, attempt = EXCLUDED.attempt
), kept AS (
    INSERT INTO close_items (close_id, kind, item_key, tenant, provider, code, reference, provider_id, subject_id, attempt, expected, found, difference,
                             flow, currency, at)
    SELECT @close_id, split_part(c.verdict, '/', 1), c.key, @tenant, @provider, split_part(c.verdict, '/', 2),
           CASE WHEN c.subject_id IS NULL THEN c.reference ELSE c.key END,
           c.provider_id, c.subject_id, COALESCE(c.number, 0),
           CASE WHEN c.subject_id IS NULL THEN 'nothing'
                ELSE c.state || CASE c.payout_state WHEN 'reversed' THEN ' and reversed' ELSE '' END || ' ' || c.asked || CASE WHEN c.cost <> 0 THEN ' fee ' || c.cost ELSE '' END END,
           CASE WHEN c.foreign_currency <> '' THEN c.foreign_change || ' ' || c.foreign_currency
                WHEN c.payouts + c.reversals = 0 AND c.change = 0 THEN 'nothing'
                ELSE trim(CASE WHEN c.payouts > 0 THEN 'paid ' || c.paid || CASE WHEN c.fee <> 0 THEN ' fee ' || c.fee ELSE '' END ||
                              CASE WHEN c.payouts > 1 THEN ' in ' || c.payouts WHEN c.all_payouts > 1 THEN ' again' ELSE '' END ELSE '' END ||
                          CASE WHEN c.reversals > 0 THEN ' back ' || (c.change + c.paid + c.fee) ELSE '' END ||
                          CASE WHEN c.payouts + c.reversals = 0 THEN c.kind || ' ' || c.change ELSE '' END) END,
           CASE c.verdict
               WHEN 'missing_here/other_currency' THEN -c.foreign_change
               WHEN 'missing_here/no_reference' THEN -c.change
               WHEN 'missing_here/unknown_reference' THEN -c.change
               WHEN 'unknown/paid_there' THEN c.went
               WHEN 'state_differs/paid_there' THEN COALESCE(c.target, 0)
               WHEN 'duplicate/paid_twice' THEN COALESCE(c.target, 0)
               WHEN 'duplicate/reversed_twice' THEN COALESCE(c.target, 0)
               WHEN 'amount_differs/amount_differs' THEN COALESCE(c.target, 0)
               WHEN 'amount_differs/fee_differs' THEN COALESCE(c.target, 0)
               WHEN 'amount_differs/other_movement' THEN COALESCE(c.target, 0)
               WHEN 'state_differs/reversed_there' THEN -(c.change + c.paid + c.fee)
               WHEN 'state_differs/other_movement' THEN -c.change
               WHEN 'missing_there/payout' THEN -c.asked - c.cost
               WHEN 'missing_there/reversal' THEN c.asked
               WHEN 'awaited/payout' THEN -c.asked - c.cost
               WHEN 'awaited/reversal' THEN c.asked
               WHEN 'timing/other_day' THEN -(c.change + c.booked - c.back)
               ELSE 0 END,
           CASE c.verdict WHEN 'missing_here/other_currency' THEN c.foreign_change ELSE c.change + c.booked - c.back END,
           CASE c.verdict WHEN 'missing_here/other_currency' THEN c.foreign_currency ELSE @currency END, c.at
    FROM coded c WHERE c.verdict <> 'matched/'
)
SELECT count(*) FILTER (WHERE c.payouts = 1 AND c.verdict IN ('matched/', 'timing/other_day'))::bigint AS matched,
       COALESCE(sum(c.paid) FILTER (WHERE c.payouts = 1 AND c.verdict IN ('matched/', 'timing/other_day')), 0)::bigint AS matched_sum
FROM coded c;

-- name: NameOpen :exec
-- What is in doubt, where no statement can say more about it.
INSERT INTO close_items (close_id, kind, item_key, tenant, provider, code, reference, subject_id, attempt, expected, found, difference, flow, currency)
SELECT @close_id, 'unknown', d.reference, d.tenant, d.provider, d.state, d.reference, d.subject_id, d.number,
       d.state || ' ' || d.amount, 'nothing', 0, 0, d.currency
FROM attempts d
WHERE d.tenant = @tenant AND d.provider = @provider AND d.state IN ('submitting', 'processing', 'unknown', 'manual_review') AND d.submitted_at < @day_end::timestamptz;

-- name: AwaitTopUps :exec
-- Every top-up of the day waits for its line; see PairTopUps. Where no lines were read, the day's closing does not lack it.
INSERT INTO close_items (close_id, kind, item_key, tenant, provider, code, reference, expected, found, difference, flow, currency, at)
SELECT @close_id, 'awaited', 'top-up/' || p.ref, p.tenant, @provider, 'top_up', p.ref, 'top_up ' || p.amount, 'nothing', p.amount,
       CASE WHEN @read::boolean THEN -p.amount ELSE 0 END, p.currency, p.occurred_at
FROM ledger_postings p
WHERE p.tenant = @tenant AND p.debit = @float AND p.debit LIKE 'float:%' AND p.occurred_at >= @day_start::timestamptz
  AND p.occurred_at < @day_end::timestamptz AND p.currency = @currency AND p.kind = 'float.topped_up';

-- name: Inherit :many
-- A day that is reconciled again keeps what its halves were paired with before. What only another revision took the place of was not.
UPDATE close_items i SET settled_by = o.settled_by, kind = CASE o.kind WHEN 'timing' THEN 'timing' ELSE i.kind END, code = o.code
FROM close_items o JOIN closes c ON c.close_id = o.close_id
WHERE i.close_id = @close_id AND i.kind IN ('awaited', 'missing_here') AND o.item_key = i.item_key AND o.settled_by IS NOT NULL
  AND o.kind IN ('awaited', 'missing_here', 'timing') AND c.tenant = @tenant AND c.provider = @provider AND c.local_date = @local_date
  AND c.revision < @revision::integer
  AND NOT EXISTS (SELECT 1 FROM closes s WHERE s.close_id = o.settled_by AND s.tenant = c.tenant AND s.provider = c.provider
                  AND s.local_date = c.local_date AND s.revision > c.revision)
RETURNING i.item_key;

-- name: Supersede :exec
UPDATE close_items o SET settled_by = @close_id FROM closes c
WHERE c.close_id = o.close_id AND c.tenant = @tenant AND c.provider = @provider AND c.local_date = @local_date AND c.revision < @revision::integer
  AND o.settled_by IS NULL AND o.kind IN ('awaited', 'missing_here');

-- name: PairTopUps :many
-- A top-up as we booked it and money that came in, of the same amount, are one thing: nothing else says which belongs to which.
-- The oldest go first; what people have decided about is no half any more. Returned are the halves of earlier closes.
WITH halves AS (
    SELECT i.close_id, i.kind, i.item_key, abs(i.difference) AS amount,
           row_number() OVER (PARTITION BY i.kind, abs(i.difference) ORDER BY i.at, i.item_key) AS n
    FROM close_items i JOIN closes c ON c.close_id = i.close_id
    WHERE i.tenant = @tenant AND i.provider = @provider AND i.settled_by IS NULL AND i.currency = @currency
      AND (i.kind = 'awaited' AND i.code = 'top_up' OR i.kind = 'missing_here' AND i.flow > 0)
      AND c.local_date BETWEEN @since::date AND @local_date::date AND (c.state = 'completed' OR c.close_id = @close_id)
      AND NOT EXISTS (SELECT 1 FROM suspense_decisions x WHERE x.tenant = i.tenant AND x.provider = i.provider AND x.reference = i.item_key COLLATE "default"
                      AND x.agreed_by <> '')
), paired AS (
    SELECT h.close_id, h.kind, h.item_key FROM (
        SELECT x.*, count(*) OVER (PARTITION BY x.amount, x.n) AS sides FROM halves x) h
    WHERE h.sides = 2
), settled AS (
    UPDATE close_items i SET settled_by = @close_id FROM paired p
    WHERE i.close_id = p.close_id AND i.kind = p.kind AND i.item_key = p.item_key
    RETURNING i.*
)
SELECT s.item_key FROM settled s WHERE s.kind = 'missing_here';

-- name: Release :exec
-- What is paired with a top-up is in the books by that.
UPDATE close_suspense SET wanted = 0 WHERE tenant = @tenant AND provider = @provider AND item_key = ANY(@item_keys::text[]) AND wanted <> 0;

-- name: Owed :many
-- What is to go into suspense or out of it, with the item of this close that says why.
SELECT s.item_key, s.subject_id, s.attempt, s.looked_up, s.wanted, s.held, COALESCE(i.kind, '')::text AS kind, COALESCE(i.code, '')::text AS code,
       COALESCE(i.expected, '')::text AS expected, COALESCE(i.found, '')::text AS found
FROM close_suspense s
LEFT JOIN LATERAL (SELECT x.kind, x.code, x.expected, x.found FROM close_items x
    WHERE x.close_id = @close_id AND x.item_key = s.item_key AND (x.kind = 'missing_here' OR x.kind = 'amount_differs' AND x.code <> 'other_currency'
        OR x.kind = 'duplicate' AND x.code IN ('paid_twice', 'reversed_twice') OR x.kind = 'state_differs' AND x.code = 'paid_there') LIMIT 1) i ON true
WHERE s.tenant = @tenant AND s.provider = @provider AND s.wanted <> s.held ORDER BY s.item_key LIMIT @page_limit;

-- name: DecidedAbout :many
-- Which of the subjects people have taken something out of suspense for.
SELECT DISTINCT subject_id FROM suspense_decisions WHERE subject_id = ANY(@subject_ids::uuid[]) AND tenant = @tenant AND provider = @provider AND agreed_by <> '';

-- name: NameDecisions :exec
-- What was decided since the last report stands in this one, once.
WITH told AS (
    UPDATE suspense_decisions d SET close_id = @close_id WHERE d.tenant = @tenant AND d.provider = @provider AND d.close_id IS NULL AND d.agreed_by <> ''
    RETURNING d.*
)
INSERT INTO close_items (close_id, kind, item_key, tenant, provider, code, reference, subject_id, attempt, expected, found, difference, flow, currency, at)
SELECT @close_id, 'resolved', t.decision_id::text, t.tenant, t.provider, split_part(t.account, ':', 1), t.reference, t.subject_id, t.attempt,
       t.amount || ' out of suspense', 'to ' || t.account || ' by ' || t.proposed_by || ', ' || t.agreed_by || ': ' || t.reason, 0, 0, t.currency, t.agreed_at
FROM told t;

-- name: InSuspense :one
SELECT COALESCE(sum(g.amount), 0)::bigint AS amount FROM suspense_groups g WHERE g.tenant = @tenant AND g.provider = @provider AND g.currency = @currency;

-- name: Suspended :exec
UPDATE close_suspense SET held = wanted WHERE tenant = @tenant AND provider = @provider AND item_key = ANY(@item_keys::text[]);

-- name: ForgetLines :exec
-- The lines of earlier revisions: the newest one is what the provider says of the day.
DELETE FROM close_lines l USING closes c WHERE c.tenant = @tenant AND c.provider = @provider AND c.local_date = @local_date
  AND c.revision < @revision::integer AND l.close_id = c.close_id;

-- name: DropPaired :exec
-- Both halves on one day: they agree, and nothing of them is left to tell. One alone is of two days.
WITH mine AS (
    SELECT i.kind, i.item_key, abs(i.flow) AS amount, row_number() OVER (PARTITION BY i.kind, abs(i.flow) ORDER BY i.at, i.item_key) AS n
    FROM close_items i WHERE i.close_id = @close_id AND i.settled_by = @close_id AND (i.code = 'top_up' OR i.kind = 'missing_here')
), both_here AS (
    SELECT m.kind, m.item_key FROM (SELECT x.*, count(*) OVER (PARTITION BY x.amount, x.n) AS sides FROM mine x) m WHERE m.sides = 2
), gone AS (
    DELETE FROM close_items i USING both_here b WHERE i.close_id = @close_id AND i.kind = b.kind AND i.item_key = b.item_key RETURNING i.item_key
)
UPDATE close_items i SET kind = 'timing', code = 'top_up' WHERE i.close_id = @close_id AND i.settled_by = @close_id
  AND i.kind IN ('awaited', 'missing_here') AND NOT EXISTS (SELECT 1 FROM both_here b WHERE b.kind = i.kind AND b.item_key = i.item_key);

-- name: NameLateTopUps :exec
-- Money that we booked as sent, and that has not come for days: named once. Nobody has looked on a day that was not compared.
INSERT INTO close_items (close_id, kind, item_key, tenant, provider, code, reference, expected, found, difference, flow, currency, at)
SELECT @close_id, 'missing_there', i.item_key, i.tenant, i.provider, 'top_up', i.reference, i.expected, 'nothing', i.difference, 0, i.currency, i.at
FROM close_items i JOIN closes c ON c.close_id = i.close_id
WHERE i.tenant = @tenant AND i.provider = @provider AND i.kind = 'awaited' AND i.code = 'top_up' AND i.settled_by IS NULL
  AND c.local_date = @of_date::date AND c.state = 'completed' AND c.statement = 'read'
ON CONFLICT DO NOTHING;

-- name: NameItem :exec
INSERT INTO close_items (close_id, kind, item_key, tenant, provider, code, reference, provider_id, expected, found, difference, flow, currency, at)
VALUES (@close_id, @kind, @item_key, @tenant, @provider, @code, @reference, @provider_id, @expected, @found, @difference, @flow, @currency, sqlc.narg(at)::timestamptz);

-- name: SumItems :one
SELECT count(*)::bigint AS items, count(*) FILTER (WHERE kind NOT IN ('awaited', 'timing', 'resolved'))::bigint AS exceptions,
       COALESCE(sum(flow) FILTER (WHERE currency = @currency::text), 0)::bigint AS flows
FROM close_items WHERE close_id = @close_id;

-- name: CountKinds :many
SELECT kind, count(*)::bigint AS count FROM close_items WHERE close_id = @close_id GROUP BY kind ORDER BY kind;
