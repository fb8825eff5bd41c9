-- name: OfSubjects :many
SELECT subject_id, epoch, provider, number, state, found, proven_at FROM prechecks WHERE subject_id = ANY(@subject_ids::uuid[]);

-- name: Ask :exec
INSERT INTO prechecks (subject_id, epoch, tenant, provider, number, amount, currency, destination, run_id, page, sent_since, sent_until,
                       state, next_at)
SELECT unnest(@subject_ids::uuid[]), @epoch, @tenant, @provider, unnest(@numbers::integer[]), unnest(@amounts::bigint[]),
       unnest(@currencies::text[]), unnest(@destinations::text[]), unnest(@run_ids::uuid[]), unnest(@pages::integer[]), sqlc.narg('sent_since'), @sent_until, 'asking', @at::timestamptz
ON CONFLICT (subject_id) DO UPDATE SET
    epoch = EXCLUDED.epoch, provider = EXCLUDED.provider, number = EXCLUDED.number, amount = EXCLUDED.amount, currency = EXCLUDED.currency,
    destination = EXCLUDED.destination, run_id = EXCLUDED.run_id, page = EXCLUDED.page, sent_since = EXCLUDED.sent_since,
    sent_until = EXCLUDED.sent_until, state = 'asking', found = 0, absent_reads = 0, first_absent_at = NULL, proven_at = NULL, wanted = false, unanswered = 0,
    next_at = EXCLUDED.next_at, lease_expires_at = NULL, version = prechecks.version + 1;

-- name: Refer :exec
INSERT INTO precheck_references (tenant, provider, reference, subject_id, number)
SELECT @tenant, @provider, unnest(@refs::text[]), unnest(@subject_ids::uuid[]), unnest(@numbers::integer[])
ON CONFLICT DO NOTHING;

-- name: Spoken :many
-- Which of the references the outcome of a question hangs on, and nothing has been made of yet.
SELECT x.reference, x.subject_id FROM precheck_references x JOIN prechecks p ON p.subject_id = x.subject_id AND p.tenant = x.tenant AND p.provider = x.provider
WHERE x.tenant = @tenant AND x.provider = @provider AND x.reference = ANY(@refs::text[])
  AND x.number >= p.number AND p.state IN ('asking', 'absent', 'found') AND x.number > p.found;

-- name: Hear :many
-- A webhook spoke of these references: what was read before it proves nothing after it, and the version keeps what is being read from being
-- recorded. Whoever holds a row is asking or recording, and is not waited for: the webhook comes again in a moment.
UPDATE prechecks p SET state = 'asking', found = 0, absent_reads = 0, first_absent_at = NULL, proven_at = NULL, wanted = false,
    next_at = @at::timestamptz, lease_expires_at = NULL, version = p.version + 1
FROM (
    SELECT k.subject_id FROM prechecks k
    WHERE k.tenant = @tenant AND k.provider = @provider AND k.state IN ('asking', 'absent', 'found')
      AND k.subject_id IN (SELECT x.subject_id FROM precheck_references x
                           WHERE x.tenant = @tenant AND x.provider = @provider AND x.reference = ANY(@refs::text[])
                             AND x.number >= k.number AND x.number > k.found)
    FOR UPDATE SKIP LOCKED
) h
WHERE p.subject_id = h.subject_id
RETURNING p.subject_id;


-- name: CountAsking :one
-- How many questions to a connector are due, or will be when it can be told what absence is worth, up to a number: those may all come due at
-- one moment. What it does not answer is only counted when it is due, or a few such questions would keep all others from being asked.
SELECT count(*)::integer AS asking FROM (
    SELECT true FROM prechecks d WHERE d.tenant = @tenant AND d.provider = @provider AND d.state = 'asking' AND d.next_at <= @at::timestamptz
    UNION ALL
    SELECT true FROM prechecks s WHERE s.tenant = @tenant AND s.provider = @provider AND s.state = 'asking' AND s.unanswered = 0 AND s.next_at > @at::timestamptz
    LIMIT @most) d;

-- name: Listens :one
-- Whether anything is asked, or believed still, so that what a webhook is about may matter.
SELECT (EXISTS (SELECT FROM prechecks a WHERE a.tenant = @tenant AND a.provider = @provider AND a.state = 'asking')
    OR EXISTS (SELECT FROM prechecks b WHERE b.tenant = @tenant AND b.provider = @provider AND b.state = 'absent'
               AND b.proven_at >= @since AND b.proven_at <= @until))::boolean AS listens;

-- name: Claim :many
-- The longest due of a connector. What another read may prove absent is left while nothing of its time is proven.
UPDATE prechecks p SET lease_expires_at = now() + make_interval(secs => @lease_seconds::float8)
WHERE p.subject_id IN (
    SELECT d.subject_id FROM prechecks d
    WHERE d.tenant = @tenant AND d.provider = @provider AND d.state = 'asking' AND d.next_at <= @at::timestamptz
      AND (d.lease_expires_at IS NULL OR d.lease_expires_at < now()) AND (d.absent_reads = 0 OR d.sent_until <= @provable_until)
    ORDER BY d.next_at LIMIT @page_limit FOR UPDATE SKIP LOCKED
)
RETURNING p.subject_id, p.epoch, p.tenant, p.provider, p.number, p.amount, p.currency, p.destination, p.run_id, p.page, p.sent_since,
          p.sent_until, p.state, p.found, p.absent_reads, p.first_absent_at, p.proven_at, p.unanswered, p.next_at, p.version;

-- name: Record :exec
-- What was asked anew meanwhile, after another restore, of another number or because a webhook spoke of it, is not answered by this.
UPDATE prechecks p SET state = r.state, found = r.found, absent_reads = r.absent_reads,
    first_absent_at = NULLIF(r.first_absent_at, '0001-01-01 00:00:00+00'),
    proven_at = NULLIF(r.proven_at, '0001-01-01 00:00:00+00'), unanswered = r.unanswered, next_at = r.next_at, lease_expires_at = NULL
FROM (
    SELECT unnest(@subject_ids::uuid[]) AS subject_id, unnest(@epochs::integer[]) AS epoch, unnest(@numbers::integer[]) AS number,
           unnest(@providers::text[]) AS provider, unnest(@states::text[]) AS state, unnest(@founds::integer[]) AS found,
           unnest(@absent_reads::integer[]) AS absent_reads, unnest(@first_absents::timestamptz[]) AS first_absent_at,
           unnest(@provens::timestamptz[]) AS proven_at,
           unnest(@unanswereds::integer[]) AS unanswered, unnest(@next_ats::timestamptz[]) AS next_at, unnest(@versions::integer[]) AS version
) r
WHERE p.subject_id = r.subject_id AND p.epoch = r.epoch AND p.number = r.number AND p.provider = r.provider AND p.version = r.version AND p.state = 'asking';

-- name: Adopted :exec
UPDATE prechecks SET state = 'adopted' WHERE subject_id = ANY(@subject_ids::uuid[]) AND state = 'found';

-- name: LockFound :many
SELECT subject_id, tenant, provider, number, found, amount, currency, destination FROM prechecks
WHERE subject_id = ANY(@subject_ids::uuid[]) AND state = 'found' ORDER BY subject_id FOR UPDATE;

-- name: AskOn :exec
UPDATE prechecks p SET number = n.number, state = 'asking', found = 0, absent_reads = 0, first_absent_at = NULL, proven_at = NULL, wanted = false,
    unanswered = 0, next_at = @at::timestamptz, lease_expires_at = NULL, version = p.version + 1
FROM (SELECT unnest(@subject_ids::uuid[]) AS subject_id, unnest(@numbers::integer[]) AS number) n
WHERE p.subject_id = n.subject_id AND p.state = 'found';

-- name: Count :one
-- What is to be asked about anew is as good as being asked about.
SELECT count(*) FILTER (WHERE state = 'asking' OR state = 'absent' AND wanted) AS asking, count(*) FILTER (WHERE state = 'asking' AND unanswered > 0) AS unanswered,
       count(*) FILTER (WHERE state = 'absent' AND NOT wanted) AS absent, count(*) FILTER (WHERE state IN ('found', 'adopted')) AS found
FROM prechecks WHERE epoch = @epoch;

-- name: ForgetReferences :execrows
-- Of questions that were answered long ago, or whose attempts were made. Their questions are held meanwhile: one that is put anew at this
-- moment notes its references after this, and its own are left.
DELETE FROM precheck_references WHERE (tenant, provider, reference) IN (
    SELECT x.tenant, x.provider, x.reference FROM precheck_references x JOIN prechecks p ON p.subject_id = x.subject_id
    WHERE p.state = 'adopted' OR p.state = 'absent' AND p.proven_at < @before::timestamptz
    LIMIT @batch FOR UPDATE SKIP LOCKED
);
