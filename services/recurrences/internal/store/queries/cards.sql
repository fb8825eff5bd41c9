-- name: InsertCards :exec
INSERT INTO cards (card_id, tenant, token, brand, state, created_at, updated_at)
SELECT unnest(@ids::uuid[]), unnest(@tenants::text[]), unnest(@tokens::text[]), unnest(@brands::text[]), 'valid', @now::timestamptz, @now::timestamptz
ON CONFLICT DO NOTHING;

-- name: LockCards :many
SELECT card_id, tenant, token, brand, state, reason, failures, version FROM cards
WHERE card_id = ANY(@ids::uuid[]) ORDER BY card_id FOR NO KEY UPDATE;

-- name: GetCards :many
SELECT card_id, tenant, token, brand, state, reason, failures, version FROM cards
WHERE card_id = ANY(@ids::uuid[]) ORDER BY card_id;

-- name: MoveCards :execrows
UPDATE cards k SET state = c.state, reason = c.reason, version = c.version, updated_at = @now::timestamptz
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@states::text[]) AS state, unnest(@reasons::text[]) AS reason,
             unnest(@versions::bigint[]) AS version) c
WHERE k.card_id = c.id;

-- name: CountCardFailures :exec
UPDATE cards k SET failures = c.failures, updated_at = @now::timestamptz
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@failures::integer[]) AS failures) c
WHERE k.card_id = c.id AND k.failures <> c.failures;
