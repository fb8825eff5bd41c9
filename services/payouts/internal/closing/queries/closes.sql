-- name: LastDay :one
-- The newest day of a connector that was closed, or is to be.
SELECT max(local_date)::date AS last, min(local_date)::date AS first FROM closes WHERE tenant = @tenant AND provider = @provider
HAVING count(*) > 0;

-- name: FirstMovement :one
-- When a float first moved by the books; without one, what is given.
SELECT COALESCE(LEAST((SELECT min(p.occurred_at) FROM ledger_postings p WHERE p.tenant = @tenant AND p.credit = @float AND p.credit LIKE 'float:%'),
                      (SELECT min(p.occurred_at) FROM ledger_postings p WHERE p.tenant = @tenant AND p.debit = @float AND p.debit LIKE 'float:%')),
                @never::timestamptz)::timestamptz AS at;

-- name: OldestOpen :one
-- When the day ended whose close has been waiting longest; now, where none waits.
SELECT COALESCE(min(day_end), @now::timestamptz)::timestamptz AS ended FROM closes WHERE state = 'open' AND day_end <= @now::timestamptz;

-- name: Request :exec
INSERT INTO closes (close_id, tenant, provider, local_date, revision, timezone, day_start, day_end, currency, run_id, state, next_try_at, requested_at)
SELECT s.close_id, @tenant, @provider, s.local_date, s.revision, @timezone, s.day_start, s.day_end, @currency, sqlc.narg(run_id)::uuid, 'open',
       GREATEST(@now::timestamptz, s.day_end + make_interval(secs => @settle_seconds)), @now::timestamptz
FROM (SELECT unnest(@close_ids::uuid[]) AS close_id, unnest(@dates::date[]) AS local_date, unnest(@revisions::integer[]) AS revision,
             unnest(@starts::timestamptz[]) AS day_start, unnest(@ends::timestamptz[]) AS day_end) s
ON CONFLICT DO NOTHING;

-- name: LockConnector :exec
-- Days are asked for one caller at a time, so that none is left out between two of them.
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/' || @tenant::text || '/' || @provider::text, 7121));

-- name: OfDay :many
SELECT * FROM closes WHERE tenant = @tenant AND local_date = @local_date AND (@provider::text = '' OR provider = @provider)
ORDER BY provider, revision;

-- name: Hurry :exec
-- What was not tried yet waits for an earlier day's close no longer than that is being tried again.
UPDATE closes SET next_try_at = GREATEST(@now::timestamptz, day_end + make_interval(secs => @settle_seconds)), reason = CASE tries WHEN 0 THEN '' ELSE reason END
WHERE tenant = @tenant AND provider = @provider AND state = 'open' AND (next_try_at > @now::timestamptz OR tries = 0 AND reason <> '');

-- name: Claim :many
-- The earliest open day of each connector, first closes before repetitions; one close of a connector is worked on at a time.
UPDATE closes c SET lease_owner = @owner, lease_expires_at = now() + make_interval(secs => @lease_seconds), reason = CASE c.tries WHEN 0 THEN '' ELSE c.reason END
WHERE c.close_id IN (
    SELECT d.close_id FROM closes d
    WHERE d.state = 'open' AND d.next_try_at <= @now::timestamptz AND (d.lease_expires_at IS NULL OR d.lease_expires_at < now())
      AND NOT EXISTS (SELECT 1 FROM closes e WHERE e.tenant = d.tenant AND e.provider = d.provider AND e.state = 'open' AND e.close_id <> d.close_id
                      AND ((e.revision, e.local_date) < (d.revision, d.local_date) OR e.lease_expires_at >= now()))
    ORDER BY d.local_date, d.tenant, d.provider LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING c.*;

-- name: Keep :execrows
UPDATE closes SET lease_expires_at = now() + make_interval(secs => @lease_seconds) WHERE close_id = @close_id AND lease_owner = @owner;

-- name: Hold :one
-- Holds the row of a close that is still ours to judge.
SELECT close_id FROM closes WHERE close_id = @close_id AND lease_owner = @owner AND state = 'open' FOR UPDATE;

-- name: Fail :execrows
UPDATE closes SET tries = tries + 1, reason = @reason, next_try_at = @next_try_at::timestamptz, lease_owner = '', lease_expires_at = NULL
WHERE close_id = @close_id AND lease_owner = @owner AND state = 'open';

-- name: PutOffBehind :many
-- What was not tried yet and has to wait for a close that has failed: until that is tried again, it is behind the provider, too.
UPDATE closes SET reason = @reason, next_try_at = GREATEST(next_try_at, @next_try_at::timestamptz)
WHERE tenant = @tenant AND provider = @provider AND state = 'open' AND tries = 0 AND (revision, local_date) > (@revision::integer, @local_date::date)
RETURNING run_id;

-- name: Previous :many
-- The newest report about an earlier day: what this day begins with.
SELECT * FROM closes WHERE tenant = @tenant AND provider = @provider AND local_date < @local_date AND state = 'completed'
ORDER BY local_date DESC, revision DESC LIMIT 1;

-- name: PreviousCompared :many
-- The newest report about an earlier day that was compared with a statement: what of it waits for its other half, or is in doubt.
SELECT close_id FROM closes WHERE tenant = @tenant AND provider = @provider AND local_date < @local_date AND state = 'completed' AND statement = 'read'
ORDER BY local_date DESC, revision DESC LIMIT 1;

-- name: NotCompared :many
-- Earlier days that were closed without their statement, and that nobody has compared since.
SELECT n.local_date, n.day_start, n.day_end FROM (
    SELECT DISTINCT ON (c.local_date) c.local_date, c.day_start, c.day_end, c.statement FROM closes c
    WHERE c.tenant = @tenant AND c.provider = @provider AND c.local_date >= @since::date AND c.local_date < @local_date AND c.state = 'completed'
    ORDER BY c.local_date, c.revision DESC) n
WHERE n.statement = 'not_compared' ORDER BY n.local_date;

-- name: LockNewest :many
-- The newest revision of a day's close. Whoever judges it holds it for minutes, and is not waited for: the caller holds what everybody who asks
-- for a day of the connector waits behind.
SELECT * FROM closes WHERE tenant = @tenant AND provider = @provider AND local_date = @local_date ORDER BY revision DESC LIMIT 1 FOR UPDATE NOWAIT;

-- name: Waiver :many
SELECT * FROM close_waivers WHERE close_id = @close_id;

-- name: Waivers :many
-- What people have said of days that are listed.
SELECT * FROM close_waivers WHERE close_id = ANY(@close_ids::uuid[]);

-- name: ProposeWaiver :exec
-- The first of two, or another reason, which begins anew.
INSERT INTO close_waivers (close_id, reason, proposed_by, proposed_at) VALUES (@close_id, @reason, @proposed_by, @now::timestamptz)
ON CONFLICT (close_id) DO UPDATE SET reason = EXCLUDED.reason, proposed_by = EXCLUDED.proposed_by, proposed_at = EXCLUDED.proposed_at,
    agreed_by = '', agreed_at = NULL;

-- name: AgreeWaiver :exec
UPDATE close_waivers SET agreed_by = @agreed_by, agreed_at = @now::timestamptz WHERE close_id = @close_id;

-- name: Since :one
-- When the connector's first day began.
SELECT COALESCE(min(day_start), @day_start::timestamptz)::timestamptz AS since FROM closes WHERE tenant = @tenant AND provider = @provider;

-- name: Restated :one
-- What the provider had when an earlier day ended, as its statements say by now: the last balance that was read, and the lines since,
-- each day's as its newest report has them. A day that is reconciled again changes what the next one begins with; of one without lines
-- the books' movements are taken. Not known before the provider has told anything.
WITH newest AS (
    SELECT DISTINCT ON (c.local_date) c.local_date, c.closing_source, c.opening, c.provider_opening, c.provider_closing,
           CASE c.statement WHEN 'read' THEN c.lines_sum ELSE c.top_ups - c.paid - c.fees + c.reversed END AS moved FROM closes c
    WHERE c.tenant = @tenant AND c.provider = @provider AND c.local_date < @local_date AND c.state = 'completed'
    ORDER BY c.local_date, c.revision DESC
), base AS (
    SELECT b.local_date, b.provider_closing AS amount FROM newest b WHERE b.closing_source IN ('balance', 'balance_less_books')
    ORDER BY b.local_date DESC LIMIT 1
)
SELECT (COALESCE((SELECT b.amount FROM base b), (SELECT COALESCE(f.provider_opening, f.opening) FROM newest f ORDER BY f.local_date LIMIT 1), 0)
        + COALESCE((SELECT sum(n.moved) FROM newest n WHERE n.local_date > COALESCE((SELECT b.local_date FROM base b), '-infinity'::date)), 0))::bigint AS closing,
       EXISTS (SELECT 1 FROM newest k WHERE k.provider_closing IS NOT NULL) AS known;

-- name: BalanceOfDay :many
-- What an earlier revision knew of the day's end from a balance that cannot be read any more.
SELECT provider_closing FROM closes WHERE tenant = @tenant AND provider = @provider AND local_date = @local_date AND revision < @revision::integer
  AND state = 'completed' AND closing_source = 'balance' AND provider_closing IS NOT NULL ORDER BY revision DESC LIMIT 1;

-- name: ToAsk :many
-- A close whose attempts are still to be asked about.
SELECT close_id, tenant, provider FROM closes WHERE asks_due AND state = 'completed' ORDER BY completed_at LIMIT 1;

-- name: Asked :exec
UPDATE closes SET asks_due = false WHERE close_id = @close_id AND asks_due;

-- name: AskItems :many
-- What the provider is to be asked about: a statement is a hint, the lookup decides.
SELECT * FROM close_items WHERE close_id = @close_id AND (kind, item_key) > (@after_kind::text, @after_key::text)
  AND kind IN ('unknown', 'state_differs', 'missing_there') AND subject_id IS NOT NULL
ORDER BY kind, item_key LIMIT @page_limit;

-- name: LastReport :many
SELECT sequence, digest FROM closes WHERE tenant = @tenant AND provider = @provider AND state = 'completed' ORDER BY sequence DESC LIMIT 1;

-- name: ClearLines :exec
DELETE FROM close_lines WHERE close_id = @close_id;

-- name: CopyLines :copyfrom
INSERT INTO close_lines (close_id, line, tenant, provider, local_date, provider_id, reference, kind, amount, fee, currency, at, state, item_key)
VALUES (@close_id, @line, @tenant, @provider, @local_date, @provider_id, @reference, @kind, @amount, @fee, @currency, @at, @state, @item_key);

-- name: Complete :exec
UPDATE closes SET state = 'completed', reason = '', lease_owner = '', lease_expires_at = NULL, sequence = @sequence,
    opening = @opening, late = @late, top_ups = @top_ups, paid = @paid, fees = @fees, reversed = @reversed, corrections = @corrections,
    closing = @closing, statement = @statement, lines = @lines, repeated = @repeated, matched = @matched, matched_sum = @matched_sum,
    lines_sum = @lines_sum, provider_opening = @provider_opening, provider_closing = @provider_closing, closing_source = @closing_source,
    carried = @carried, difference = @difference, waived_by = @waived_by, waived_because = @waived_because,
    suspense = @suspense, settled_id = @settled_id, settled_sum = @settled_sum, seen_id = @seen_id, seen_xid = @seen_xid, items = @items, exceptions = @exceptions, previous = @previous, digest = @digest,
    key_id = @key_id, signature = @signature, completed_at = @completed_at::timestamptz, asks_due = true
WHERE close_id = @close_id;

-- name: List :many
SELECT * FROM closes WHERE tenant = @tenant AND (@provider::text = '' OR provider = @provider)
  AND (local_date, provider, -revision) < (@before_date::date, @before_provider::text, @before_revision::integer)
ORDER BY local_date DESC, provider DESC, -revision DESC LIMIT @page_limit;

-- name: Find :many
-- The revision that is asked for, or the newest that is complete.
SELECT * FROM closes WHERE tenant = @tenant AND provider = @provider AND local_date = @local_date AND state = 'completed'
  AND (@revision::integer = 0 OR revision = @revision)
ORDER BY revision DESC LIMIT 1;

-- name: Items :many
SELECT * FROM close_items WHERE close_id = @close_id AND (kind, item_key) > (@after_kind::text, @after_key::text)
ORDER BY kind, item_key LIMIT @page_limit;

-- name: OldLines :execrows
DELETE FROM close_lines d WHERE (d.close_id, d.line) IN (
    SELECT l.close_id, l.line FROM closes c JOIN close_lines l ON l.close_id = c.close_id
    WHERE c.completed_at < @before::timestamptz LIMIT @page_limit);
