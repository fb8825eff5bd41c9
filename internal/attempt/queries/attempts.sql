-- name: Begin :many
-- A new attempt is inserted; one that is proven never to have been sent is opened again under its own number and reference, and so is
-- one that was refused without a trace behind as many as there may be, where the caller wants it.
-- Anything else that is there already is left alone and missing from the result.
INSERT INTO attempts AS a (subject_id, number, tenant, provider, reference, amount, currency, destination, state,
                           lease_owner, lease_expires_at, submitted_at, behind)
SELECT s.subject_id, s.number, s.tenant, s.provider, s.reference, s.amount, s.currency, s.destination, 'submitting',
       @owner, now() + make_interval(secs => @lease_seconds), @at::timestamptz,
       COALESCE((SELECT CASE WHEN b.provider = s.provider THEN b.behind + 1 ELSE LEAST(b.behind + 1, @traceless::integer) END FROM attempts b WHERE s.number > 1 AND NOT s.found AND b.subject_id = s.subject_id AND b.number = s.number - 1
                 AND b.state = 'failed' AND NOT b.accepted AND b.opened_at IS NULL AND b.provider_id = ''), 0)
FROM (
    SELECT unnest(@subject_ids::uuid[]) AS subject_id, unnest(@numbers::integer[]) AS number, unnest(@tenants::text[]) AS tenant,
           unnest(@providers::text[]) AS provider, unnest(@refs::text[]) AS reference, unnest(@amounts::bigint[]) AS amount,
           unnest(@currencies::text[]) AS currency, unnest(@destinations::text[]) AS destination, unnest(@founds::boolean[]) AS found
) s
ON CONFLICT (subject_id, number) DO UPDATE SET
    state = 'submitting', sends = a.sends + 1, lease_owner = EXCLUDED.lease_owner, lease_expires_at = EXCLUDED.lease_expires_at,
    submitted_at = EXCLUDED.submitted_at, destination = EXCLUDED.destination, closed_at = NULL,
    -- What is in doubt is so from the first send on, be it that somebody took it over a day later: the provider's memory of the reference is as old.
    opened_at = CASE WHEN a.opened_at IS NOT NULL THEN LEAST(a.opened_at, a.submitted_at) END,
    doubted_at = NULL, class = '', scope = '', code = '', provider_code = '', absent_reads = 0, first_absent_at = NULL, version = a.version + 1
WHERE (a.state = 'not_sent' OR a.state = 'failed' AND a.subject_id = ANY(@spent::uuid[]) AND a.behind >= @traceless AND NOT a.accepted AND a.opened_at IS NULL AND a.provider_id = '') AND a.next_lookup_at IS NULL AND a.tenant = EXCLUDED.tenant AND a.provider = EXCLUDED.provider
  AND a.reference = EXCLUDED.reference AND a.amount = EXCLUDED.amount AND a.currency = EXCLUDED.currency
RETURNING *;

-- name: Record :many
-- Only the send that holds the attempt may close it: same owner, same count of sends. A hint that came while the call was
-- under way (next_lookup_at is set already) stays due.
UPDATE attempts a SET
    state = o.state, class = o.class, scope = o.scope, code = o.code, provider_code = o.provider_code,
    provider_id = CASE WHEN o.provider_id = '' THEN a.provider_id ELSE o.provider_id END,
    fee = COALESCE(NULLIF(o.fee, -1), a.fee), lease_owner = '', lease_expires_at = NULL,
    accepted = a.accepted OR o.state = 'processing',
    -- "Slow down" was an answer: that send arrived, though it should not have had an effect.
    reached = a.reached OR (o.state = 'not_sent' AND o.code = @rate_limited::text),
    opened_at = CASE WHEN o.open THEN COALESCE(a.opened_at, @at::timestamptz) ELSE a.opened_at END,
    closed_at = CASE WHEN o.open THEN NULL ELSE @at::timestamptz END,
    next_lookup_at = LEAST(a.next_lookup_at, NULLIF(o.next_lookup_at, '0001-01-01 00:00:00+00')),
    version = a.version + 1
FROM (
    SELECT unnest(@subject_ids::uuid[]) AS subject_id, unnest(@numbers::integer[]) AS number, unnest(@sends::integer[]) AS sends,
           unnest(@states::text[]) AS state, unnest(@opens::boolean[]) AS open, unnest(@classes::text[]) AS class,
           unnest(@scopes::text[]) AS scope, unnest(@codes::text[]) AS code, unnest(@provider_codes::text[]) AS provider_code,
           unnest(@provider_ids::text[]) AS provider_id, unnest(@fees::bigint[]) AS fee,
           unnest(@next_lookups::timestamptz[]) AS next_lookup_at, unnest(@owners::text[]) AS owner
) o
WHERE a.subject_id = o.subject_id AND a.number = o.number AND a.sends = o.sends
  -- Only an attempt under way has a lease. Its state would say the same, but would also offer the planner the index of expired
  -- leases, which it takes for empty; what it finds there are the dead entries of everything that was ever sent.
  AND a.lease_owner = o.owner AND a.lease_expires_at IS NOT NULL
RETURNING a.*;

-- name: TakeOver :many
UPDATE attempts a SET
    state = 'unknown', class = 'AMBIGUOUS', scope = '', code = 'lease_expired', provider_code = '',
    lease_owner = '', lease_expires_at = NULL, opened_at = COALESCE(a.opened_at, @at::timestamptz), closed_at = NULL,
    next_lookup_at = @at::timestamptz, version = a.version + 1
WHERE (a.subject_id, a.number) IN (
    SELECT e.subject_id, e.number FROM attempts e
    WHERE e.state = 'submitting' AND e.lease_expires_at < now()
    ORDER BY e.lease_expires_at LIMIT @page_limit FOR UPDATE SKIP LOCKED
)
RETURNING a.*;

-- name: ClaimLookups :many
-- The longest due of each connector, as many as there is room for: one that does not answer costs the others nothing.
UPDATE attempts a SET lookup_expires_at = now() + make_interval(secs => @lease_seconds)
WHERE (a.subject_id, a.number) IN (
    SELECT d.subject_id, d.number
    FROM (SELECT unnest(@tenants::text[]) AS tenant, unnest(@providers::text[]) AS provider, unnest(@rooms::integer[]) AS room) c
    CROSS JOIN LATERAL (
        SELECT o.subject_id, o.number FROM attempts o
        WHERE o.tenant = c.tenant AND o.provider = c.provider AND o.next_lookup_at <= @at::timestamptz AND o.state <> 'submitting'
          AND (o.lookup_expires_at IS NULL OR o.lookup_expires_at < now())
        ORDER BY o.next_lookup_at LIMIT c.room FOR UPDATE SKIP LOCKED
    ) d
)
RETURNING a.*;

-- name: ClaimUnserved :many
-- What is due of connectors that nobody knows any more.
UPDATE attempts a SET lookup_expires_at = now() + make_interval(secs => @lease_seconds)
WHERE (a.subject_id, a.number) IN (
    SELECT d.subject_id, d.number FROM attempts d
    WHERE d.next_lookup_at <= @at::timestamptz AND d.state <> 'submitting' AND NOT (d.tenant || '/' || d.provider = ANY(@served::text[]))
      AND (d.lookup_expires_at IS NULL OR d.lookup_expires_at < now())
    ORDER BY d.next_lookup_at LIMIT @page_limit FOR UPDATE SKIP LOCKED
)
RETURNING a.*;

-- name: LockConnector :exec
-- One at a time looks whether another transfer of a connector is under way, across replicas; the lock ends with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/' || @tenant::text || '/' || @provider::text, 7120));

-- name: UnderWay :one
SELECT EXISTS (SELECT 1 FROM attempts WHERE state = 'submitting' AND tenant = @tenant AND provider = @provider);

-- name: Outstanding :one
-- What may be missing from a connector's balance or not: sends that are under way, and what is open since not long ago. There are
-- providers that take what they have accepted from the balance only when they pay it out.
SELECT COALESCE(sum(a.amount) FILTER (WHERE a.state = 'submitting'), 0)::bigint AS under_way,
       COALESCE(sum(a.amount) FILTER (WHERE a.state <> 'submitting'), 0)::bigint AS doubtful FROM (
    SELECT s.state, s.amount FROM attempts s WHERE s.state = 'submitting' AND s.tenant = @tenant AND s.provider = @provider
    UNION ALL
    SELECT u.state, u.amount FROM attempts u WHERE u.state IN ('processing', 'unknown', 'manual_review') AND u.tenant = @tenant AND u.provider = @provider AND u.submitted_at > @since::timestamptz
) a;

-- name: LockAttempts :many
SELECT a.* FROM attempts a
JOIN (SELECT unnest(@subject_ids::uuid[]) AS subject_id, unnest(@numbers::integer[]) AS number) k
  ON a.subject_id = k.subject_id AND a.number = k.number
ORDER BY a.subject_id, a.number FOR UPDATE OF a;

-- name: LockSubject :many
SELECT * FROM attempts WHERE tenant = @tenant AND subject_id = @subject_id ORDER BY number FOR UPDATE;

-- name: Move :many
-- Compare-and-set on the version: whoever decided on an older row decided on nothing. The zero time stands for NULL. A lookup
-- that is due stays due unless the decision came from one: whatever made it due may know more.
UPDATE attempts a SET
    state = m.state, class = m.class, scope = m.scope, code = m.code, provider_code = m.provider_code,
    provider_id = CASE WHEN m.provider_id = '' THEN a.provider_id ELSE m.provider_id END,
    fee = COALESCE(NULLIF(m.fee, -1), a.fee),
    accepted = a.accepted OR m.accepted,
    reached = a.reached OR m.state = 'not_sent', -- it was in doubt until now
    opened_at = CASE WHEN m.open THEN COALESCE(a.opened_at, @at::timestamptz) ELSE a.opened_at END,
    closed_at = CASE WHEN m.open THEN NULL WHEN m.state = a.state THEN a.closed_at ELSE @at::timestamptz END,
    next_lookup_at = CASE WHEN m.lookups = 0 AND a.next_lookup_at <= @at::timestamptz THEN a.next_lookup_at
                          ELSE NULLIF(m.next_lookup_at, '0001-01-01 00:00:00+00') END,
    lookup_expires_at = NULL,
    -- When a lookup leaves nothing to ask about, it has told whether it was given back.
    take_back_at = CASE WHEN m.lookups > 0 AND m.next_lookup_at = '0001-01-01 00:00:00+00' THEN NULL ELSE a.take_back_at END,
    lookups = a.lookups + m.lookups,
    looked_up_at = CASE WHEN m.lookups > 0 THEN @at::timestamptz ELSE a.looked_up_at END,
    absent_reads = m.absent_reads, first_absent_at = NULLIF(m.first_absent_at, '0001-01-01 00:00:00+00'),
    denied_at = CASE WHEN m.denied THEN @at::timestamptz ELSE a.denied_at END,
    told = CASE WHEN m.told < 0 THEN a.told ELSE m.told END,
    lease_owner = '', lease_expires_at = NULL, version = a.version + 1
FROM (
    SELECT unnest(@subject_ids::uuid[]) AS subject_id, unnest(@numbers::integer[]) AS number, unnest(@versions::bigint[]) AS version,
           unnest(@states::text[]) AS state, unnest(@opens::boolean[]) AS open, unnest(@classes::text[]) AS class,
           unnest(@scopes::text[]) AS scope, unnest(@codes::text[]) AS code, unnest(@provider_codes::text[]) AS provider_code,
           unnest(@provider_ids::text[]) AS provider_id, unnest(@fees::bigint[]) AS fee, unnest(@accepteds::boolean[]) AS accepted,
           unnest(@next_lookups::timestamptz[]) AS next_lookup_at, unnest(@lookups::integer[]) AS lookups,
           unnest(@absent_reads::integer[]) AS absent_reads, unnest(@first_absents::timestamptz[]) AS first_absent_at,
           unnest(@denieds::boolean[]) AS denied, unnest(@tolds::bigint[]) AS told
) m
WHERE a.subject_id = m.subject_id AND a.number = m.number AND a.version = m.version
RETURNING a.*;

-- name: Hint :many
-- A webhook spoke of these references: their state is read again at once. A send that is under way is asked about as soon
-- as its outcome is recorded. The version rises, so that the answer to a lookup that began before the hint decides nothing.
-- Whoever holds a row at this moment is recording an outcome, which must not wait for a hint; nor does the hint for it.
-- Reads that found nothing before the provider spoke prove nothing after it, nor does a denial that they made.
UPDATE attempts a SET next_lookup_at = LEAST(a.next_lookup_at, @at::timestamptz), lookup_expires_at = NULL,
    absent_reads = 0, first_absent_at = NULL, denied_at = NULL, version = a.version + 1
FROM (
    SELECT k.subject_id, k.number FROM (SELECT DISTINCT unnest(@refs::text[]) AS reference) r CROSS JOIN LATERAL (
        SELECT b.subject_id, b.number FROM attempts b
        WHERE b.tenant = @tenant AND b.provider = @provider AND b.reference = r.reference LIMIT 1 FOR UPDATE SKIP LOCKED) k
) h
WHERE a.subject_id = h.subject_id AND a.number = h.number
RETURNING a.reference;

-- name: AskBack :many
-- The version rises, so that the answer to a lookup that began before this decides nothing. Asked again while nobody knows, it is waited for
-- since the first time.
UPDATE attempts a SET take_back_at = COALESCE(a.take_back_at, @at::timestamptz), next_lookup_at = LEAST(a.next_lookup_at, @first::timestamptz), lookup_expires_at = NULL,
    absent_reads = 0, first_absent_at = NULL, version = a.version + 1
WHERE a.subject_id = @subject_id AND a.number = @number AND a.state = 'succeeded' RETURNING a.version;

-- name: KeepPaid :exec
-- Only the ask that was made then, and that nothing has followed: what was asked before it, or since, may still be answered with the money.
UPDATE attempts a SET take_back_at = NULL
WHERE a.subject_id = @subject_id AND a.number = @number AND a.take_back_at = @at::timestamptz AND a.version = @version;

-- name: OfReferences :many
-- LIMIT keeps the planner from reading the whole table into a hash: one step of the unique index per reference.
SELECT k.* FROM (SELECT DISTINCT unnest(@refs::text[]) AS reference) r CROSS JOIN LATERAL (
    SELECT a.* FROM attempts a WHERE a.tenant = @tenant AND a.provider = @provider AND a.reference = r.reference LIMIT 1) k;

-- name: OfProviderIDs :many
-- A service that asks this needs an index on these three columns in its own migrations, or every webhook reads the whole table.
SELECT a.provider_id, a.reference FROM attempts a
WHERE a.tenant = @tenant AND a.provider = @provider AND a.provider_id = ANY(@provider_ids::text[]) AND a.provider_id <> '';

-- name: AskPage :many
-- Every open attempt of a tenant, of any age, in pages by subject; a lookup that is due sooner stays due then. The page is what was
-- read: what another transaction closes meanwhile is not asked about, and does not make the page a short one, which would be the last.
WITH page AS (
    SELECT o.subject_id, o.number FROM attempts o
    WHERE o.tenant = @tenant AND o.state IN ('processing', 'unknown', 'manual_review')
      AND (o.subject_id, o.number) > (@after_subject::uuid, @after_number::integer)
    ORDER BY o.subject_id, o.number LIMIT @page_limit
), asked AS (
    UPDATE attempts a SET next_lookup_at = LEAST(a.next_lookup_at, @at::timestamptz)
    FROM page p
    WHERE a.subject_id = p.subject_id AND a.number = p.number AND a.state IN ('processing', 'unknown', 'manual_review')
    RETURNING a.subject_id
)
SELECT p.subject_id, p.number, (SELECT count(*) FROM asked)::bigint AS asked FROM page p ORDER BY p.subject_id, p.number;

-- name: OfSubjects :many
SELECT * FROM attempts WHERE subject_id = ANY(@subject_ids::uuid[]) ORDER BY subject_id, number;

-- name: AskSubject :execrows
-- Like a hint: only a lookup that begins after this will count.
UPDATE attempts a SET next_lookup_at = LEAST(a.next_lookup_at, @at::timestamptz), lookup_expires_at = NULL, version = a.version + 1
WHERE a.subject_id = @subject_id AND a.state IN ('processing', 'unknown', 'manual_review');

-- name: Doubt :many
-- What was sent, and denied by the provider since, is in doubt again: as after a send of its own, which outdates what earlier ones are told,
-- and whose absence is not proven yet. One that is being asked about is left alone.
UPDATE attempts a SET state = 'unknown', class = 'AMBIGUOUS', scope = '', code = @code, provider_code = '', sends = a.sends + 1,
    doubted_at = @at::timestamptz, closed_at = NULL, absent_reads = 0, first_absent_at = NULL, denied_at = NULL, next_lookup_at = @at::timestamptz, version = a.version + 1
FROM (SELECT unnest(@subject_ids::uuid[]) AS subject_id, unnest(@numbers::integer[]) AS number) k
WHERE a.subject_id = k.subject_id AND a.number = k.number AND a.state = 'not_sent' AND a.opened_at IS NOT NULL AND a.next_lookup_at IS NULL
RETURNING a.*;

-- name: MustTell :exec
UPDATE attempts a SET must_tell = @must_tell
FROM (SELECT unnest(@subject_ids::uuid[]) AS subject_id, unnest(@numbers::integer[]) AS number) k
WHERE a.subject_id = k.subject_id AND a.number = k.number;

-- name: Ageing :many
-- How many attempts are open, per state, and the oldest doubt: for metrics and alerts.
SELECT tenant, provider, state, count(*) AS count, min(opened_at)::timestamptz AS oldest FROM attempts
WHERE state IN ('processing', 'unknown', 'manual_review') GROUP BY tenant, provider, state;
