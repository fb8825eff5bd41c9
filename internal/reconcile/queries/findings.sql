-- name: InsertFindings :many
INSERT INTO recon_findings (recon_id, tenant, provider, subject_id, attempt, reference, code, expected, found, difference, currency, found_at, source)
SELECT unnest(@ids::uuid[]), unnest(@tenants::text[]), unnest(@providers::text[]), unnest(@subject_ids::uuid[]),
       unnest(@attempts::integer[]), unnest(@refs::text[]), unnest(@codes::text[]), unnest(@expecteds::text[]),
       unnest(@founds::text[]), unnest(@differences::bigint[]), unnest(@currencies::text[]), @found_at::timestamptz, @source::text
ON CONFLICT DO NOTHING
RETURNING recon_id;

-- name: ListFindings :many
SELECT * FROM recon_findings WHERE tenant = @tenant AND (@provider::text = '' OR provider = @provider) AND code <> 'explained'
  AND (found_at, recon_id) < (@before::timestamptz, @after::uuid)
ORDER BY found_at DESC, recon_id DESC LIMIT @page_limit;
