-- name: VerifyLedger :many
-- Recomputes every account from what is owed, sent and paid, and compares. One statement is one snapshot: work that goes on
-- meanwhile cannot look like a difference. Only what has no other source is taken from the postings themselves: top-ups.
WITH facts AS (
    SELECT 'collections'::text AS account, p.currency, p.gross AS amount FROM payments p WHERE p.tenant = @tenant AND p.status = 'completed'
    UNION ALL
    SELECT 'commission', p.currency, -p.commission FROM payments p WHERE p.tenant = @tenant AND p.status = 'completed'
    UNION ALL
    SELECT 'payable:' || p.payee_id, p.currency, -p.net FROM payments p WHERE p.tenant = @tenant AND p.status = 'completed'
    UNION ALL
    SELECT 'payable:' || p.payee_id, p.currency, p.net FROM payments p
    WHERE p.tenant = @tenant AND p.status IN ('completed', 'refunded') AND p.paid_reference <> ''
    UNION ALL
    SELECT 'treasury', p.currency, -p.net FROM payments p
    WHERE p.tenant = @tenant AND p.status IN ('completed', 'refunded') AND p.paid_reference <> ''
    UNION ALL
    SELECT 'payable:' || o.payee_id, o.currency, o.net FROM payouts o
    WHERE o.tenant = @tenant AND o.state IN ('submitting', 'processing', 'unknown', 'manual_review', 'succeeded')
    UNION ALL
    SELECT 'in_transit:' || a.provider, a.currency, -a.amount FROM attempts a
    WHERE a.tenant = @tenant AND a.state IN ('submitting', 'processing', 'unknown', 'manual_review')
    UNION ALL
    SELECT 'float:' || a.provider, a.currency, -a.amount FROM attempts a
    JOIN payouts o ON o.payout_id = a.subject_id
    WHERE a.tenant = @tenant AND a.state = 'succeeded' AND o.state <> 'reversed'
    UNION ALL
    SELECT 'float:' || a.provider, a.currency, -a.fee FROM attempts a WHERE a.tenant = @tenant AND a.state = 'succeeded' AND a.fee > 0
    UNION ALL
    SELECT 'fees', a.currency, a.fee FROM attempts a WHERE a.tenant = @tenant AND a.state = 'succeeded' AND a.fee > 0
    UNION ALL
    SELECT s.account, f.currency, CASE s.account WHEN 'suspense' THEN f.difference ELSE -f.difference END
    FROM (SELECT DISTINCT ON (r.subject_id, r.attempt, sign(r.difference)) r.provider, r.currency, r.difference
          FROM recon_findings r WHERE r.tenant = @tenant AND r.difference <> 0) f
    CROSS JOIN LATERAL (VALUES ('suspense'), ('float:' || f.provider)) s(account)
    UNION ALL
    SELECT s.account, t.currency, CASE s.account WHEN t.debit THEN t.amount ELSE -t.amount END
    FROM ledger_postings t CROSS JOIN LATERAL (VALUES (t.debit), (t.credit)) s(account)
    WHERE t.tenant = @tenant AND t.kind = @top_up_kind
), expected AS (
    SELECT x.account, x.currency, sum(x.amount)::bigint AS net FROM facts x GROUP BY x.account, x.currency
), sides AS (
    SELECT l.debit::text AS account, l.currency, l.amount FROM ledger_postings l WHERE l.tenant = @tenant
    UNION ALL
    SELECT l.credit::text, l.currency, -l.amount FROM ledger_postings l WHERE l.tenant = @tenant
), found AS (
    SELECT y.account, y.currency, sum(y.amount)::bigint AS net FROM sides y GROUP BY y.account, y.currency
), compared AS (
    SELECT COALESCE(e.account, f.account) AS account, COALESCE(e.currency, f.currency) AS currency,
           COALESCE(e.net, 0)::bigint AS expected, COALESCE(f.net, 0)::bigint AS found
    FROM expected e FULL JOIN found f ON f.account = e.account AND f.currency = e.currency
)
SELECT c.account::text AS account, c.currency::text AS currency, c.expected, c.found FROM compared c WHERE c.expected <> c.found
ORDER BY c.account, c.currency LIMIT @page_limit;

-- name: CountPostings :one
SELECT count(*) FROM ledger_postings WHERE tenant = @tenant;
