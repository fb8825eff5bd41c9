-- name: AppendParcel :exec
INSERT INTO outbox_parcels (part, stream, messages, common, keys, msg_ids, subjects, headers, payloads)
VALUES (@part, @stream, @messages, @common, @keys, @msg_ids, @subjects, @headers, @payloads);

-- name: Waiting :many
-- The streams that have something unpublished, and how long their oldest row has waited: one step of the index per stream.
WITH RECURSIVE s AS (
    (SELECT o.stream, o.seq, o.created_at FROM outbox_parcels o WHERE o.waits ORDER BY o.stream, o.seq LIMIT 1)
    UNION ALL
    SELECT n.stream, n.seq, n.created_at FROM s CROSS JOIN LATERAL (
        SELECT o.stream, o.seq, o.created_at FROM outbox_parcels o
        WHERE o.waits AND o.stream > s.stream ORDER BY o.stream, o.seq LIMIT 1) n
)
SELECT s.stream::text AS stream, extract(epoch FROM clock_timestamp() - s.created_at)::float8 AS age_seconds FROM s;

-- name: Batch :many
-- Parcels in their order, until they hold as many messages as one batch wants: the last one may pass it.
SELECT b.seq, b.created_at, b.part, b.common, b.keys, b.msg_ids, b.subjects, b.headers, b.payloads, b.waiting FROM (
    SELECT o.*, sum(o.messages) OVER (ORDER BY o.seq) - o.messages AS before FROM (
        SELECT * FROM outbox_parcels p
        WHERE p.waits AND p.stream = @stream AND p.part = ANY(@parts::smallint[]) AND NOT p.seq = ANY(@parked::bigint[])
        ORDER BY p.seq LIMIT @size
    ) o
) b WHERE b.before < @size::bigint ORDER BY b.seq;

-- name: Mark :exec
-- Parcels that were read whole and are published whole. created_at only narrows the partitions down.
UPDATE outbox_parcels SET waits = false, marked_at = now()
WHERE seq = ANY(@seqs::bigint[]) AND created_at BETWEEN @oldest AND @newest AND waiting IS NULL;

-- name: MarkSome :exec
-- Parcels read or published in part: the places that waited and those that wait now, as an array's text each; nothing for a
-- parcel read whole. One that is not as it was read has been replayed, or marked by another relay: it stays as it is, and what
-- waits of it is published again under the same ids.
UPDATE outbox_parcels p SET marked_at = now(), waits = r.waiting <> '{}', waiting = NULLIF(r.waiting, '{}')::integer[]
FROM (SELECT unnest(@seqs::bigint[]) AS seq, unnest(@was::text[]) AS was, unnest(@waiting::text[]) AS waiting) r
WHERE p.seq = r.seq AND p.created_at BETWEEN @oldest AND @newest
  AND p.waits AND p.waiting IS NOT DISTINCT FROM NULLIF(r.was, '')::integer[];

-- name: Unmark :one
-- One page of a replay: rows published before it began are published again, under the same ids.
WITH page AS (
    SELECT o.seq, o.created_at, o.messages - CASE WHEN o.waits THEN coalesce(cardinality(o.waiting), o.messages) ELSE 0 END AS done
    FROM outbox_parcels o
    WHERE o.created_at >= @created_from AND o.seq > @after_seq AND o.seq <= @last_seq ORDER BY o.seq LIMIT @size
), again AS (
    UPDATE outbox_parcels u SET waits = true, waiting = NULL, marked_at = NULL FROM page
    WHERE u.seq = page.seq AND u.created_at = page.created_at AND page.done > 0
    RETURNING page.done
)
SELECT coalesce((SELECT max(seq) FROM page), 0)::bigint AS last_seq, (SELECT coalesce(sum(done), 0) FROM again)::bigint AS unmarked;

-- name: LastSeq :one
SELECT coalesce(max(seq), 0)::bigint AS last_seq FROM outbox_parcels;

-- name: Known :one
-- The newest parcel that was ever committed here, and how long ago by database time; -1 when no row is left to tell that. The highest
-- seq is a step of an index. The latest time would be found by reading all there are, and this is asked every second.
SELECT greatest(coalesce(n.seq, 0), d.seq)::bigint AS seq, coalesce(extract(epoch FROM clock_timestamp() - n.created_at), -1)::float8 AS idle_seconds
FROM outbox_dropped d LEFT JOIN (SELECT o.seq, o.created_at FROM outbox_parcels o ORDER BY o.seq DESC LIMIT 1) n ON true;

-- name: NewestParcel :one
SELECT seq, created_at FROM outbox_parcels ORDER BY seq DESC LIMIT 1;

-- name: HasParcel :one
-- Whether a parcel is there, or may have been dropped.
SELECT (d.seq >= @seq::bigint OR EXISTS (SELECT FROM outbox_parcels o WHERE o.seq = @seq::bigint AND o.created_at = @created_at::timestamptz))::boolean AS has
FROM outbox_dropped d;

-- name: Absent :one
-- The highest place of a published message that is not among these, nor dropped; 0 when all are there. A message that was told again
-- after a restore has another suffix.
SELECT coalesce(max(t.seq), 0)::bigint AS seq
FROM (SELECT unnest(@seqs::bigint[]) AS seq, unnest(@ids::text[]) AS id) t, outbox_dropped d
WHERE t.seq > d.seq AND NOT EXISTS (
    SELECT FROM outbox_parcels o CROSS JOIN LATERAL unnest(o.msg_ids) AS m (id)
    WHERE o.seq = t.seq AND regexp_replace(m.id, '#e[0-9]+$', '') = regexp_replace(t.id, '#e[0-9]+$', ''));

-- name: Resend :execrows
-- What was written in the last moments that these tables know of is published again, under other message ids: with a suffix that
-- tells the epoch, in place of an earlier one.
UPDATE outbox_parcels p SET waits = true, waiting = NULL,
    msg_ids = ARRAY(SELECT regexp_replace(m.id, '#e[0-9]+$', '') || '#e' || @epoch::integer FROM unnest(p.msg_ids) WITH ORDINALITY AS m (id, place) ORDER BY m.place)
WHERE p.stream = @stream::text AND (NOT p.waits OR p.waiting IS NOT NULL)
  AND p.created_at >= (SELECT max(n.created_at) FROM outbox_parcels n) - make_interval(secs => @seconds::float8);

-- name: Rename :execrows
-- What is still to be published gets the suffix too: a copy of it may have been published since the backup was taken.
UPDATE outbox_parcels p SET
    msg_ids = ARRAY(SELECT regexp_replace(m.id, '#e[0-9]+$', '') || '#e' || @epoch::integer FROM unnest(p.msg_ids) WITH ORDINALITY AS m (id, place) ORDER BY m.place)
WHERE p.stream = ANY(@streams::text[]) AND p.waits;

-- name: AddPartition :exec
SELECT outbox_add_partition((now() AT TIME ZONE 'UTC')::date + @ahead::int);

-- name: DropPartitions :one
SELECT outbox_drop_partitions(now() - make_interval(secs => @keep_seconds::float8))::int AS dropped;

-- name: TryUpkeep :one
-- One replica is enough, and the others need not wait.
SELECT pg_try_advisory_xact_lock(hashtextextended('outbox/' || current_schema(), 0)) AS mine;

-- name: LimitLockWait :exec
SELECT set_config('lock_timeout', @wait::text, true);

-- name: Heartbeat :one
-- Who I am among those that are there: the quota of parts follows from both numbers.
WITH gone AS (
    DELETE FROM outbox_relays r WHERE r.expires_at < now() AND r.owner <> @owner
), me AS (
    INSERT INTO outbox_relays (owner, expires_at) VALUES (@owner, now() + make_interval(secs => @ttl_seconds::float8))
    ON CONFLICT (owner) DO UPDATE SET expires_at = excluded.expires_at
)
SELECT count(*) + 1 AS members, count(*) FILTER (WHERE o.owner < @owner) AS before_me
FROM outbox_relays o WHERE o.owner <> @owner AND o.expires_at >= now();

-- name: Renew :many
-- A lease that ran out is not renewed, even if nobody took it: its owner has stopped using it.
UPDATE outbox_leases l SET expires_at = now() + make_interval(secs => @ttl_seconds::float8)
FROM (SELECT unnest(@parts::smallint[]) AS part, unnest(@terms::bigint[]) AS term) h
WHERE l.part = h.part AND l.term = h.term AND l.owner = @owner AND l.expires_at > now()
RETURNING l.part;

-- name: Take :many
-- Free parts, and those that are ours in the table only, because a renewal was answered too late.
UPDATE outbox_leases l SET owner = @owner, term = l.term + 1, expires_at = now() + make_interval(secs => @ttl_seconds::float8)
WHERE l.part IN (
    SELECT f.part FROM outbox_leases f
    WHERE (f.expires_at <= now() OR f.owner = @owner) AND NOT f.part = ANY(@held::smallint[])
    ORDER BY f.part LIMIT @size FOR UPDATE SKIP LOCKED)
RETURNING l.part, l.term;

-- name: Release :exec
UPDATE outbox_leases l SET expires_at = '-infinity'
FROM (SELECT unnest(@parts::smallint[]) AS part, unnest(@terms::bigint[]) AS term) h
WHERE l.part = h.part AND l.term = h.term AND l.owner = @owner;

-- name: ReleaseAll :exec
-- By owner: a lease may be ours in the table only, when the answer to its taking was cut off.
UPDATE outbox_leases SET expires_at = '-infinity' WHERE owner = @owner;

-- name: Leave :exec
DELETE FROM outbox_relays WHERE owner = @owner;
