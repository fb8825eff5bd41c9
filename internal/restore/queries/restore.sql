-- name: Newest :one
SELECT epoch, marked_at, sent_since, careful_until::text AS careful_until, reason, actor FROM restore_marks ORDER BY epoch DESC LIMIT 1;

-- name: LockMarks :exec
-- Marks are made one after the other.
LOCK TABLE restore_marks IN SHARE ROW EXCLUSIVE MODE;

-- name: InsertMark :exec
INSERT INTO restore_marks (epoch, marked_at, sent_since, careful_until, reason, actor)
VALUES (@epoch, @marked_at, sqlc.narg('sent_since'), (@careful_until::text)::date, @reason, @actor);

-- name: KeepLost :exec
-- What was told later counts.
INSERT INTO restore_lost AS l (subject_id, tenant, owner_id, provider, amount, state, epoch, version)
SELECT unnest(@subject_ids::uuid[]), unnest(@tenants::text[]), unnest(@owner_ids::text[]), unnest(@providers::text[]),
       unnest(@amounts::bigint[]), unnest(@states::text[]), unnest(@epochs::integer[]), unnest(@versions::bigint[])
ON CONFLICT (subject_id) DO UPDATE SET provider = EXCLUDED.provider, amount = EXCLUDED.amount, state = EXCLUDED.state,
    epoch = EXCLUDED.epoch, version = EXCLUDED.version, passed_at = NULL, passed_by = '', settled_at = NULL, settled_by = ''
WHERE (EXCLUDED.epoch, EXCLUDED.version) > (l.epoch, l.version);

-- name: ForgetLost :execrows
-- What was told to have ended without paying, for good, is no danger.
DELETE FROM restore_lost WHERE state = ANY(@states::text[]);

-- name: CountLost :one
SELECT count(*) FROM restore_lost WHERE passed_at IS NULL;

-- name: PassLost :exec
UPDATE restore_lost SET passed_at = @at::timestamptz, passed_by = @actor
WHERE tenant = @tenant AND owner_id = @owner_id AND settled_at IS NULL AND passed_at IS NULL;

-- name: SettleLost :exec
UPDATE restore_lost SET settled_at = @at::timestamptz, settled_by = @actor, passed_at = COALESCE(passed_at, @at), passed_by = CASE WHEN passed_at IS NULL THEN @actor ELSE passed_by END
WHERE subject_id = @subject_id AND settled_at IS NULL;

-- name: Timeline :one
-- Of the write-ahead log that is written now: a promotion changes it at once, in the control file only with its first checkpoint.
SELECT (CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END)::text AS line;
