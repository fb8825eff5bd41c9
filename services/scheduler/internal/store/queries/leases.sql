-- name: TakeLease :one
-- Succeeds when nobody holds the lease or its holder let it expire. No row: somebody else holds it.
INSERT INTO leases AS l (name, leader_id, term, expires_at)
VALUES (@name, @leader_id, 1, now() + make_interval(secs => @ttl_seconds::float8))
ON CONFLICT (name) DO UPDATE
SET leader_id = excluded.leader_id, term = l.term + 1, expires_at = excluded.expires_at
WHERE l.expires_at <= now()
RETURNING term;

-- name: RenewLease :execrows
-- A term that expired is over, even if nobody took its place yet: its holder must not have trusted it any more.
UPDATE leases SET expires_at = now() + make_interval(secs => @ttl_seconds::float8)
WHERE name = @name AND leader_id = @leader_id AND term = @term AND expires_at > now();

-- name: ResignLease :exec
UPDATE leases SET expires_at = now() WHERE name = @name AND leader_id = @leader_id AND term = @term AND expires_at > now();
