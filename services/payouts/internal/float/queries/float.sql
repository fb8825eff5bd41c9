-- name: Due :one
-- What a connector's balance has to cover, fees included, and the first of those that are held for want of it. What waits for something
-- else too is not due: it is the same as what the release of held payouts passes over, and what claims do not take.
WITH released AS (
    SELECT COALESCE(sum(p.net + (p.net * sqlc.arg(fee_bps)::bigint + 9999) / 10000), 0)::bigint AS takes FROM payouts p JOIN batches b ON b.batch_id = p.batch_id
    WHERE p.indexed_state = 'approved' AND p.tenant = @tenant AND p.provider = @provider AND NOT p.contradicted
      AND b.control = 'open' AND b.approvals >= b.approvals_needed
), held AS (
    SELECT p.net + (p.net * sqlc.arg(fee_bps)::bigint + 9999) / 10000 AS takes, p.created_at, p.payout_id FROM payouts p JOIN batches b ON b.batch_id = p.batch_id
    JOIN payees y ON y.tenant = p.tenant AND y.payee_id = p.payee_id
    WHERE p.indexed_state = 'held' AND p.tenant = @tenant AND p.provider = @provider AND p.reason_code = 'insufficient_float' AND NOT p.contradicted
      AND b.control = 'open' AND y.state = 'active' AND (p.retry_at IS NULL OR p.retry_at <= @now::timestamptz)
      AND (@most::bigint <= 0 OR p.net <= @most::bigint)
)
SELECT ((SELECT r.takes FROM released r) + COALESCE((SELECT sum(h.takes) FROM held h), 0))::bigint AS all_due,
       COALESCE((SELECT h.takes FROM held h ORDER BY h.created_at, h.payout_id LIMIT 1), 0)::bigint AS first;

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
-- What was released and may be sent, fees included.
SELECT COALESCE(sum(p.net + (p.net * sqlc.arg(fee_bps)::bigint + 9999) / 10000), 0)::bigint AS takes FROM payouts p JOIN batches b ON b.batch_id = p.batch_id
WHERE p.indexed_state = 'approved' AND p.tenant = @tenant AND p.provider = @provider AND NOT p.contradicted
  AND b.control = 'open' AND b.approvals >= b.approvals_needed;

-- name: Waiting :many
-- What is planned and not sent, by provider; without what waits for a person, who may not say so before the next run. Of what a payee's cap holds it is as
-- much as the days until then let out; what the tenant's cap holds is told apart.
SELECT w.provider, sum(w.free + LEAST(w.of_payee, @payee_room::bigint))::bigint AS net, sum(w.of_day)::bigint AS of_day FROM (
    SELECT p.provider, COALESCE(sum(p.net) FILTER (WHERE NOT (p.state = 'held' AND p.reason_code IN ('payee_daily_cap', 'daily_cap'))), 0) AS free,
           COALESCE(sum(p.net) FILTER (WHERE p.state = 'held' AND p.reason_code = 'payee_daily_cap'), 0) AS of_payee,
           COALESCE(sum(p.net) FILTER (WHERE p.state = 'held' AND p.reason_code = 'daily_cap'), 0) AS of_day
    FROM payouts p
    WHERE p.tenant = @tenant AND p.indexed_state IN ('created', 'awaiting_approval', 'approved', 'held', 'retrying')
      AND NOT p.contradicted AND NOT (p.state = 'held' AND p.reason_code = ANY(@for_people::text[]))
    GROUP BY p.provider, p.payee_id
) w GROUP BY w.provider;

-- name: Owed :many
-- What a run would plan and send, by provider. What counts as due is the same as in the planner's DuePayees, ClaimPayments and
-- ClaimCarries, whom it leaves out the same as in its Decide.
WITH due AS (
    SELECT p.payee_id, sum(p.net) AS net, COALESCE(sum(p.net) FILTER (WHERE @most::bigint > 0 AND p.net > @most::bigint), 0) AS oversize
    FROM payments p
    WHERE p.tenant = @tenant AND (p.status = 'completed' OR p.carried) AND p.payout_id IS NULL AND p.paid_reference = ''
      AND p.completed_at <= @cut_off::timestamptz AND p.completed_at >= @accept_from::timestamptz AND p.method = ANY(@methods::text[])
    GROUP BY p.payee_id
), owed AS (
    SELECT d.payee_id, d.oversize, d.net - COALESCE((
        SELECT sum(c.net) FROM carries c
        WHERE c.tenant = @tenant AND c.payee_id = d.payee_id AND c.payout_id IS NULL AND c.voided_at IS NULL AND c.occurred_at <= @cut_off::timestamptz
    ), 0) AS net
    FROM due d
)
SELECT COALESCE(NULLIF(y.provider, ''), @default_provider::text)::text AS provider,
       sum(CASE WHEN @most::bigint > 0 AND o.net > @most::bigint THEN GREATEST(o.net - o.oversize, 0) ELSE o.net END)::bigint AS net
FROM owed o JOIN payees y ON y.tenant = @tenant AND y.payee_id = o.payee_id
WHERE o.net > 0 AND o.net >= @minimum::bigint AND y.phone <> '' AND y.state = 'active' AND NOT y.unconfirmed
  AND NOT COALESCE(y.destination_changed_at > @cooled_since::timestamptz, false)
  -- A wallet of which its provider has said that it is not the payee's, or that it does not take so much, waits for people. One that is not asked
  -- about yet, or was asked about a smaller amount, is asked at once and goes after a yes; of what is divided nobody knows the parts yet.
  AND NOT EXISTS (
      SELECT 1 FROM recipients v JOIN (SELECT unnest(@verifying::text[]) AS provider, unnest(@rules::text[]) AS rule) k ON k.provider = v.provider
      WHERE v.tenant = y.tenant AND v.payee_id = y.payee_id AND v.destination = y.phone AND v.provider = COALESCE(NULLIF(y.provider, ''), @default_provider::text)
        AND v.name_digest = md5(y.name) AND v.rule = k.rule
        AND (v.state IN ('mismatch', 'refused') OR v.state = 'verified' AND v.refuses <= o.net AND NOT (@most::bigint > 0 AND o.net > @most::bigint)))
GROUP BY 1;

-- name: Earned :many
-- What became payable in each quarter of an hour by the tenant's clocks, by provider.
SELECT COALESCE(NULLIF(y.provider, ''), @default_provider::text)::text AS provider,
       floor(extract(epoch FROM p.completed_at AT TIME ZONE @zone::text) / 900)::bigint AS slot, sum(p.net)::bigint AS net
FROM payments p JOIN payees y ON y.tenant = p.tenant AND y.payee_id = p.payee_id
WHERE p.tenant = @tenant AND p.completed_at >= @since::timestamptz AND p.completed_at < @until::timestamptz
  AND p.status = 'completed' AND p.paid_reference = '' AND p.method = ANY(@methods::text[]) AND y.phone <> ''
GROUP BY 1, 2;
