-- name: Post :exec
-- A posting that is there already is left alone. One that differs runs into the trigger that refuses every update; unlike
-- a comparison of our own this also sees what another transaction committed a moment ago.
INSERT INTO ledger_postings AS l (tenant, kind, ref, leg, debit, credit, currency, amount, occurred_at)
SELECT p.tenant, p.kind, p.ref, p.leg, p.debit, p.credit, p.currency, p.amount, p.occurred_at
FROM (SELECT unnest(@tenants::text[]) AS tenant, unnest(@kinds::text[]) AS kind, unnest(@refs::text[]) AS ref,
             unnest(@legs::integer[]) AS leg, unnest(@debits::text[]) AS debit, unnest(@credits::text[]) AS credit,
             unnest(@currencies::text[]) AS currency, unnest(@amounts::bigint[]) AS amount,
             unnest(@occurred_ats::timestamptz[]) AS occurred_at) p
ON CONFLICT (tenant, kind, ref, leg) DO UPDATE SET amount = excluded.amount
WHERE (l.debit, l.credit, l.currency, l.amount) IS DISTINCT FROM (excluded.debit, excluded.credit, excluded.currency, excluded.amount);

-- name: Balances :many
-- Walks from account to account in the two indexes, so a page costs what its accounts cost and not what the ledger holds.
WITH RECURSIVE walk AS (
    SELECT least(
        (SELECT min(d.debit) FROM ledger_postings d WHERE d.tenant = @tenant AND d.debit >= @prefix::text AND d.debit > @after::text),
        (SELECT min(c.credit) FROM ledger_postings c WHERE c.tenant = @tenant AND c.credit >= @prefix::text AND c.credit > @after::text)
    )::text COLLATE "C" AS account
    UNION ALL
    SELECT least(
        (SELECT min(d.debit) FROM ledger_postings d WHERE d.tenant = @tenant AND d.debit > w.account),
        (SELECT min(c.credit) FROM ledger_postings c WHERE c.tenant = @tenant AND c.credit > w.account)
    )::text COLLATE "C"
    FROM walk w WHERE starts_with(w.account, @prefix::text)
), page AS (
    SELECT w.account FROM walk w WHERE starts_with(w.account, @prefix::text) LIMIT @size
), bounds AS (
    SELECT min(page.account) AS low, max(page.account) AS high FROM page
)
-- The page is all that lies between its bounds, so both sides are one range of their index, however uneven accounts are.
SELECT b.account::text AS account, b.currency, coalesce(sum(b.amount) FILTER (WHERE b.is_debit), 0)::bigint AS debits,
       coalesce(sum(b.amount) FILTER (WHERE NOT b.is_debit), 0)::bigint AS credits
FROM (SELECT d.debit AS account, d.currency, d.amount, true AS is_debit FROM ledger_postings d
      WHERE d.tenant = @tenant AND d.debit >= (SELECT low FROM bounds) AND d.debit <= (SELECT high FROM bounds)
      UNION ALL
      SELECT c.credit, c.currency, c.amount, false FROM ledger_postings c
      WHERE c.tenant = @tenant AND c.credit >= (SELECT low FROM bounds) AND c.credit <= (SELECT high FROM bounds)) b
GROUP BY b.account, b.currency ORDER BY b.account, b.currency;

-- name: AllPostings :many
SELECT * FROM ledger_postings WHERE tenant = @tenant AND posting_id > @after ORDER BY posting_id LIMIT @size;

-- name: PostingsOfRef :many
SELECT * FROM ledger_postings WHERE tenant = @tenant AND ref = @ref AND posting_id > @after ORDER BY posting_id LIMIT @size;

-- name: PostingsOfAccount :many
-- Each side in the order of its own index; no posting has one account on both.
SELECT p.* FROM ledger_postings p WHERE p.tenant = @tenant AND p.posting_id IN (
    (SELECT d.posting_id FROM ledger_postings d WHERE d.tenant = @tenant AND d.debit = @account AND d.posting_id > @after
     ORDER BY d.posting_id LIMIT @size)
    UNION ALL
    (SELECT c.posting_id FROM ledger_postings c WHERE c.tenant = @tenant AND c.credit = @account AND c.posting_id > @after
     ORDER BY c.posting_id LIMIT @size)
) ORDER BY p.posting_id LIMIT @size;

-- name: Differences :many
-- Recomputes every account from the facts, and compares. One statement is one snapshot: work that goes on meanwhile cannot look
-- like a difference.
WITH expected AS (
    SELECT x.account, x.currency, sum(x.amount)::bigint AS net FROM ledger_facts x WHERE x.tenant = @tenant GROUP BY x.account, x.currency
), sides AS (
    SELECT l.debit AS account, l.currency, l.amount FROM ledger_postings l WHERE l.tenant = @tenant
    UNION ALL
    SELECT l.credit, l.currency, -l.amount FROM ledger_postings l WHERE l.tenant = @tenant
), found AS (
    SELECT y.account, y.currency, sum(y.amount)::bigint AS net FROM sides y GROUP BY y.account, y.currency
), compared AS (
    SELECT COALESCE(e.account, f.account) AS account, COALESCE(e.currency, f.currency) AS currency,
           COALESCE(e.net, 0)::bigint AS expected, COALESCE(f.net, 0)::bigint AS found
    FROM expected e FULL JOIN found f ON f.account = e.account AND f.currency = e.currency
)
SELECT c.account::text AS account, c.currency::text AS currency, c.expected, c.found FROM compared c WHERE c.expected <> c.found
ORDER BY c.account, c.currency LIMIT @size;

-- name: CountPostings :one
SELECT count(*) FROM ledger_postings WHERE tenant = @tenant;
