-- name: InsertCards :exec
INSERT INTO cards (card_id, tenant, token, brand, state, created_at, updated_at)
SELECT unnest(@ids::uuid[]), unnest(@tenants::text[]), unnest(@tokens::text[]), unnest(@brands::text[]), 'valid', @now::timestamptz, @now::timestamptz
ON CONFLICT DO NOTHING;

-- name: LockCards :many
SELECT card_id, tenant, token, brand, state, reason, failures, forbidden, wait_until, version FROM cards
WHERE card_id = ANY(@ids::uuid[]) ORDER BY card_id FOR NO KEY UPDATE;

-- name: GetCards :many
SELECT card_id, tenant, token, brand, state, reason, failures, forbidden, wait_until, version FROM cards
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

-- name: NoteNetworkWords :exec
-- A prohibition is for ever, and the longest wait counts; the zero time stands for none.
UPDATE cards k SET forbidden = k.forbidden OR c.forbidden,
    wait_until = GREATEST(k.wait_until, NULLIF(c.wait_until, '0001-01-01 00:00:00+00')), updated_at = @now::timestamptz
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@forbiddens::boolean[]) AS forbidden, unnest(@wait_untils::timestamptz[]) AS wait_until) c
WHERE k.card_id = c.id;
