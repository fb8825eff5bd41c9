-- name: LockHead :one
-- Makes the chain's head or locks it; either way nobody else appends to this chain until the transaction ends.
INSERT INTO audit_heads (tenant, service, seq, hash) VALUES (@tenant, @service, 0, @genesis)
ON CONFLICT (tenant, service) DO UPDATE SET seq = audit_heads.seq
RETURNING seq, hash;

-- name: AppendEntry :exec
WITH head AS (
    UPDATE audit_heads h SET seq = @seq, hash = @hash WHERE h.tenant = @tenant AND h.service = @service
)
INSERT INTO audit_entries (tenant, service, seq, at, actor, role, action, target, detail, request_id, correlation_id, prev_hash, hash)
VALUES (@tenant, @service, @seq, @at, @actor, @role, @action, @target, @detail, @request_id, @correlation_id, @prev_hash, @hash);

-- name: Chains :many
-- Every chain of a tenant (of all with ''), also one whose head is gone.
SELECT s.tenant::text AS tenant, s.service::text AS service, coalesce(h.seq, 0)::bigint AS seq, coalesce(h.hash, '')::bytea AS hash
FROM (SELECT a.tenant, a.service FROM audit_heads a WHERE @tenant::text IN ('', a.tenant)
      UNION SELECT e.tenant, e.service FROM audit_entries e WHERE @tenant::text IN ('', e.tenant)) s
LEFT JOIN audit_heads h ON h.tenant = s.tenant AND h.service = s.service
ORDER BY s.tenant, s.service;

-- name: Entries :many
SELECT * FROM audit_entries WHERE tenant = @tenant AND service = @service AND seq > @after ORDER BY seq LIMIT @size;

-- name: ClaimRequest :execrows
-- Waits for a transaction that is answering the same request: if that commits nothing is inserted, else this one answers.
INSERT INTO idempotent_requests (tenant, actor, method, request_id, body_hash, result)
VALUES (@tenant, @actor, @method, @request_id, @body_hash, '')
ON CONFLICT DO NOTHING;

-- name: AnswerOf :one
SELECT body_hash, result FROM idempotent_requests
WHERE tenant = @tenant AND actor = @actor AND method = @method AND request_id = @request_id;

-- name: KeepAnswer :exec
UPDATE idempotent_requests SET result = @result
WHERE tenant = @tenant AND actor = @actor AND method = @method AND request_id = @request_id;

-- name: ForgetAnswers :execrows
-- What can be seen here is answered: the claim is committed with its answer. By place, since for so many keys at once the
-- planner reads the whole table; the lock keeps the places what they are.
DELETE FROM idempotent_requests WHERE ctid = ANY (ARRAY(
    SELECT r.ctid FROM idempotent_requests r
    WHERE r.created_at < now() - make_interval(secs => @older_than_seconds::float8)
    ORDER BY r.created_at LIMIT @batch FOR UPDATE SKIP LOCKED
));
