-- name: VerifyLedger :many
-- Recomputes every account from what was charged, and compares. One statement is one snapshot: work that goes on meanwhile
-- cannot look like a difference. A charge that is under way, in doubt or declined moves nothing.
WITH facts AS (
    SELECT 'gateway_receivable:' || a.provider AS account, a.currency, a.amount FROM attempts a WHERE a.tenant = @tenant AND a.state = 'succeeded'
    UNION ALL
    SELECT 'seller_payable:' || c.seller_id, c.currency, -c.amount FROM charges c WHERE c.tenant = @tenant AND c.state = 'succeeded'
    UNION ALL
    SELECT 'gateway_receivable:' || a.provider, a.currency, -a.fee FROM attempts a WHERE a.tenant = @tenant AND a.state = 'succeeded' AND a.fee > 0
    UNION ALL
    SELECT 'fees', a.currency, a.fee FROM attempts a WHERE a.tenant = @tenant AND a.state = 'succeeded' AND a.fee > 0
    UNION ALL
    -- What the gateway took more than we know of is what it owes us more, until somebody has explained it.
    SELECT s.account, f.currency, CASE s.account WHEN 'suspense' THEN -f.difference ELSE f.difference END
    FROM (SELECT DISTINCT ON (r.subject_id, r.attempt, sign(r.difference)) r.provider, r.currency, r.difference
          FROM recon_findings r WHERE r.tenant = @tenant AND r.difference <> 0) f
    CROSS JOIN LATERAL (VALUES ('suspense'), ('gateway_receivable:' || f.provider)) s(account)
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
