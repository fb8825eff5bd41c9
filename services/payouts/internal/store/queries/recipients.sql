-- name: EnrolRecipients :exec
-- The wallets of payouts, to be asked about. One that is known under another name, or by another rule, begins anew; what a person has
-- confirmed stands under any rule.
INSERT INTO recipients AS v (tenant, payee_id, provider, destination, name_digest, rule, amount, currency, state, since, next_at)
SELECT DISTINCT ON (p.tenant, p.payee_id, p.provider, p.destination)
       p.tenant, p.payee_id, p.provider, p.destination, md5(y.name), w.rule, p.net, p.currency, 'unverified', @now::timestamptz, @now::timestamptz
FROM (SELECT unnest(@payout_ids::uuid[]) AS payout_id, unnest(@rules::text[]) AS rule) w
JOIN payouts p ON p.payout_id = w.payout_id
JOIN payees y ON y.tenant = p.tenant AND y.payee_id = p.payee_id
ORDER BY p.tenant, p.payee_id, p.provider, p.destination, p.net DESC
ON CONFLICT (tenant, payee_id, provider, destination) DO UPDATE
SET name_digest = EXCLUDED.name_digest, rule = EXCLUDED.rule, amount = EXCLUDED.amount, currency = EXCLUDED.currency, state = 'unverified', code = '',
    confirmed_by = '', since = EXCLUDED.since, checked_at = NULL, covers = NULL, refuses = NULL, noes = 0, unanswered = 0, next_at = EXCLUDED.next_at, lease_expires_at = NULL
WHERE v.name_digest <> EXCLUDED.name_digest OR (v.rule <> EXCLUDED.rule AND v.state <> 'confirmed');

-- name: EnrolAmounts :exec
-- Of verified wallets, those whose payouts are larger than what their provider has said yes to, to be asked about at once. What it has said
-- no to, or nothing, waits for its time. Rows are locked in the order of their key, and only those that change: held payouts are looked at often.
WITH due AS MATERIALIZED (
    SELECT v.tenant, v.payee_id, v.provider, v.destination
    FROM recipients v
    WHERE v.state = 'verified' AND (v.next_at IS NULL OR (v.unanswered = 0 AND v.next_at > @now::timestamptz)) AND (v.tenant, v.payee_id, v.provider, v.destination) IN (
        SELECT p.tenant, p.payee_id, p.provider, p.destination FROM payouts p JOIN recipients k
        ON k.tenant = p.tenant AND k.payee_id = p.payee_id AND k.provider = p.provider AND k.destination = p.destination
        WHERE p.payout_id = ANY(@payout_ids::uuid[]) AND k.covers < p.net AND (k.refuses IS NULL OR p.net < k.refuses)
    )
    ORDER BY v.tenant, v.payee_id, v.provider, v.destination FOR UPDATE OF v
)
UPDATE recipients v SET next_at = @now::timestamptz FROM due
WHERE v.tenant = due.tenant AND v.payee_id = due.payee_id AND v.provider = due.provider AND v.destination = due.destination;

-- name: MostHeldFor :one
-- The largest payout that is held for what is known of a wallet; 0: none is.
SELECT COALESCE(max(p.net), 0)::bigint AS net FROM payouts p
WHERE p.tenant = @tenant AND p.payee_id = @payee_id AND p.provider = @provider AND p.destination = @destination
  AND p.indexed_state = 'held' AND p.reason_code IN ('recipient_unverified', 'recipient_mismatch');

-- name: RecipientStates :many
-- What is known of wallets, each for an amount; 'stale' is what has to be asked about (again), 'above' what is verified for less only.
SELECT w.payee_id::text AS payee_id, w.provider::text AS provider, w.destination::text AS destination, w.net::bigint AS net, COALESCE(v.code, '')::text AS code,
       (CASE WHEN v.state IS NULL OR v.name_digest <> md5(y.name) OR (v.rule <> w.rule AND v.state <> 'confirmed') THEN 'stale'
             WHEN v.state = 'verified' AND v.refuses <= w.net THEN 'refused' WHEN v.state = 'verified' AND v.covers < w.net THEN 'above' ELSE v.state END)::text AS state
FROM (
    SELECT unnest(@payee_ids::text[]) AS payee_id, unnest(@providers::text[]) AS provider, unnest(@destinations::text[]) AS destination,
           unnest(@rules::text[]) AS rule, unnest(@nets::bigint[]) AS net
) w
JOIN payees y ON y.tenant = @tenant AND y.payee_id = w.payee_id
LEFT JOIN recipients v ON v.tenant = y.tenant AND v.payee_id = w.payee_id AND v.provider = w.provider AND v.destination = w.destination;

-- name: ConfirmRecipient :exec
-- A person's word about a wallet and the name as they are. A question that is under way is not recorded any more.
INSERT INTO recipients (tenant, payee_id, provider, destination, name_digest, rule, state, confirmed_by, since)
SELECT y.tenant, y.payee_id, @provider::text, y.phone, md5(y.name), @rule::text, 'confirmed', @actor::text, @now::timestamptz
FROM payees y WHERE y.tenant = @tenant AND y.payee_id = @payee_id
ON CONFLICT (tenant, payee_id, provider, destination) DO UPDATE
SET name_digest = EXCLUDED.name_digest, rule = EXCLUDED.rule, state = 'confirmed', code = '', confirmed_by = EXCLUDED.confirmed_by,
    since = EXCLUDED.since, covers = NULL, refuses = NULL, noes = 0, unanswered = 0, next_at = NULL, lease_expires_at = NULL;
