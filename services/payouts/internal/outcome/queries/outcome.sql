-- name: InsertFindings :many
INSERT INTO recon_findings (recon_id, tenant, provider, subject_id, attempt, reference, code, expected, found, difference, currency, found_at)
SELECT unnest(@ids::uuid[]), unnest(@tenants::text[]), unnest(@providers::text[]), unnest(@subject_ids::uuid[]),
       unnest(@attempts::integer[]), unnest(@refs::text[]), unnest(@codes::text[]), unnest(@expecteds::text[]),
       unnest(@founds::text[]), unnest(@differences::bigint[]), unnest(@currencies::text[]), @found_at::timestamptz
ON CONFLICT DO NOTHING
RETURNING recon_id;

-- name: NoteLookups :exec
-- What the newest lookup said, for the two people who decide about an attempt. Older proposals than the lookup only: asking
-- at a proposal voids lookups that were under way.
UPDATE proposals p SET lookup_at = @at::timestamptz, lookup_said = l.said
FROM (SELECT unnest(@ids::uuid[]) AS payout_id, unnest(@attempts::integer[]) AS attempt, unnest(@said::text[]) AS said) l
WHERE p.payout_id = l.payout_id AND p.attempt = l.attempt;
