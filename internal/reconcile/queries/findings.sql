-- name: InsertFindings :many
INSERT INTO recon_findings (recon_id, tenant, provider, subject_id, attempt, reference, code, expected, found, difference, currency, found_at)
SELECT unnest(@ids::uuid[]), unnest(@tenants::text[]), unnest(@providers::text[]), unnest(@subject_ids::uuid[]),
       unnest(@attempts::integer[]), unnest(@refs::text[]), unnest(@codes::text[]), unnest(@expecteds::text[]),
       unnest(@founds::text[]), unnest(@differences::bigint[]), unnest(@currencies::text[]), @found_at::timestamptz
ON CONFLICT DO NOTHING
RETURNING recon_id;
