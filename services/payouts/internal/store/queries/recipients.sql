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
    confirmed_by = '', since = EXCLUDED.since, checked_at = NULL, unanswered = 0, next_at = EXCLUDED.next_at, lease_expires_at = NULL
WHERE v.name_digest <> EXCLUDED.name_digest OR (v.rule <> EXCLUDED.rule AND v.state <> 'confirmed');

-- name: RecipientStates :many
-- What is known of wallets; 'stale' is what has to be asked about (again).
SELECT w.payee_id::text AS payee_id, w.provider::text AS provider, w.destination::text AS destination, COALESCE(v.code, '')::text AS code,
       (CASE WHEN v.state IS NULL OR v.name_digest <> md5(y.name) OR (v.rule <> w.rule AND v.state <> 'confirmed') THEN 'stale' ELSE v.state END)::text AS state
FROM (
    SELECT unnest(@payee_ids::text[]) AS payee_id, unnest(@providers::text[]) AS provider, unnest(@destinations::text[]) AS destination,
           unnest(@rules::text[]) AS rule
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
    since = EXCLUDED.since, unanswered = 0, next_at = NULL, lease_expires_at = NULL;
