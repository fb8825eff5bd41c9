-- name: Claim :many
-- Wallets of a connector that are due, those that have waited longest first. The name is read with them, so that the answer is about the
-- name that the row then tells. The amount is the smallest that is held for the wallet by now: one that is too large holds none that is not.
-- Of a verified wallet it is the largest that waits, and once such a one was refused the middle one of those below: however many amounts
-- wait, few questions tell which of them go.
UPDATE recipients v SET lease_expires_at = now() + make_interval(secs => @lease_seconds::float8), name_digest = md5(y.name),
    amount = COALESCE((
        SELECT CASE
            WHEN v.state <> 'verified' THEN min(p.net)
            WHEN v.refuses IS NULL THEN max(p.net)
            ELSE COALESCE(percentile_disc(0.5) WITHIN GROUP (ORDER BY p.net) FILTER (WHERE p.net < v.refuses), min(p.net)) END
        FROM payouts p
        WHERE p.tenant = v.tenant AND p.payee_id = v.payee_id AND p.provider = v.provider AND p.destination = v.destination AND p.currency = v.currency
          AND p.indexed_state = 'held' AND p.reason_code IN ('recipient_unverified', 'recipient_mismatch')
          AND (v.state <> 'verified' OR p.net > v.covers)
    ), CASE v.state WHEN 'verified' THEN v.refuses END, v.amount)
FROM payees y
WHERE y.tenant = v.tenant AND y.payee_id = v.payee_id AND (v.tenant, v.payee_id, v.provider, v.destination) IN (
    SELECT d.tenant, d.payee_id, d.provider, d.destination FROM recipients d
    WHERE d.tenant = @tenant AND d.provider = @provider AND d.next_at <= @at::timestamptz
      AND (d.lease_expires_at IS NULL OR d.lease_expires_at < now())
    ORDER BY d.next_at LIMIT @page_limit FOR UPDATE SKIP LOCKED
)
RETURNING v.payee_id, v.destination, v.rule, v.amount, v.currency, v.state, v.code, v.since, v.checked_at, v.covers, v.refuses, v.noes,
          v.unanswered, v.next_at, v.lease_expires_at, y.name;

-- name: Record :exec
-- Only under the lease that it was asked under: a person, a newer name or another replica may have spoken meanwhile. Rows are locked in the
-- order of their key, as where payouts have them asked about.
WITH held AS MATERIALIZED (
    SELECT h.payee_id, h.destination
    FROM (SELECT unnest(@payee_ids::text[]) AS payee_id, unnest(@destinations::text[]) AS destination) k
    JOIN recipients h ON h.tenant = @tenant AND h.provider = @provider AND h.payee_id = k.payee_id AND h.destination = k.destination
    ORDER BY h.payee_id, h.destination FOR UPDATE OF h
)
UPDATE recipients v SET state = r.state, code = r.code, since = r.since, checked_at = NULLIF(r.checked_at, '0001-01-01 00:00:00+00'),
    covers = NULLIF(r.covers, 0), refuses = NULLIF(r.refuses, 0), noes = r.noes, unanswered = r.unanswered, next_at = NULLIF(r.next_at, '0001-01-01 00:00:00+00'), lease_expires_at = NULL
FROM (
    SELECT unnest(@payee_ids::text[]) AS payee_id, unnest(@destinations::text[]) AS destination, unnest(@leases::timestamptz[]) AS lease,
           unnest(@states::text[]) AS state, unnest(@codes::text[]) AS code, unnest(@sinces::timestamptz[]) AS since,
           unnest(@checked_ats::timestamptz[]) AS checked_at, unnest(@covers::bigint[]) AS covers, unnest(@refuses::bigint[]) AS refuses,
           unnest(@noes::integer[]) AS noes, unnest(@unanswereds::integer[]) AS unanswered, unnest(@next_ats::timestamptz[]) AS next_at
) r JOIN held ON held.payee_id = r.payee_id AND held.destination = r.destination
WHERE v.tenant = @tenant AND v.provider = @provider AND v.payee_id = r.payee_id AND v.destination = r.destination
  AND v.lease_expires_at = r.lease;
