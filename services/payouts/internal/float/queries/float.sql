-- name: Due :one
-- What is to be sent through a connector as soon as there is float for it, and the first of those that are held for want of it.
SELECT (SELECT COALESCE(sum(p.net), 0) FROM payouts p WHERE p.state = 'approved' AND p.tenant = @tenant AND p.provider = @provider AND NOT p.contradicted)::bigint AS approved,
       (SELECT COALESCE(sum(p.net), 0) FROM payouts p WHERE p.state = 'held' AND p.tenant = @tenant AND p.provider = @provider
        AND p.reason_code = 'insufficient_float' AND NOT p.contradicted)::bigint AS held,
       COALESCE((SELECT p.net FROM payouts p WHERE p.state = 'held' AND p.tenant = @tenant AND p.provider = @provider
        AND p.reason_code = 'insufficient_float' AND NOT p.contradicted ORDER BY p.created_at, p.payout_id LIMIT 1), 0)::bigint AS first;

-- name: FeeShare :one
-- What the newest fees of a connector come to, in basis points of what was paid: newest by the books, a few steps of an index.
SELECT COALESCE(ceil(sum(n.amount) FILTER (WHERE n.debit = 'fees') * 10000 / NULLIF(sum(n.amount) FILTER (WHERE n.debit <> 'fees'), 0)), 0)::integer AS bps
FROM (
    SELECT l.debit, l.amount FROM ledger_postings l WHERE l.tenant = @tenant AND l.credit = @float_account::text ORDER BY l.posting_id DESC LIMIT 200
) n;

-- name: KeepReading :exec
INSERT INTO float_readings (tenant, provider, read_at, balance, currency, outstanding)
VALUES (@tenant, @provider, @read_at::timestamptz, @balance, @currency, @outstanding) ON CONFLICT DO NOTHING;

-- name: ReadingAt :one
-- The newest balance that was read up to a time.
SELECT read_at, balance, currency, outstanding FROM float_readings
WHERE tenant = @tenant AND provider = @provider AND read_at <= @at::timestamptz ORDER BY read_at DESC LIMIT 1;

-- name: DeleteReadings :execrows
DELETE FROM float_readings WHERE ctid IN (
    SELECT r.ctid FROM float_readings r WHERE r.read_at < @before::timestamptz ORDER BY r.read_at LIMIT @row_limit FOR UPDATE SKIP LOCKED
);

-- name: Approved :one
SELECT COALESCE(sum(net), 0)::bigint AS net FROM payouts WHERE state = 'approved' AND tenant = @tenant AND provider = @provider AND NOT contradicted;
