-- name: InsertFindings :many
INSERT INTO recon_findings (recon_id, tenant, provider, subject_id, attempt, reference, code, expected, found, difference, currency, found_at, source, told)
SELECT unnest(@ids::uuid[]), unnest(@tenants::text[]), unnest(@providers::text[]), unnest(@subject_ids::uuid[]),
       unnest(@attempts::integer[]), unnest(@refs::text[]), unnest(@codes::text[]), unnest(@expecteds::text[]),
       unnest(@founds::text[]), unnest(@differences::bigint[]), unnest(@currencies::text[]), @found_at::timestamptz, @source::text, unnest(@told::boolean[])
ON CONFLICT DO NOTHING
RETURNING recon_id;

-- name: ListFindings :many
SELECT * FROM recon_findings WHERE tenant = @tenant AND (@provider::text = '' OR provider = @provider) AND code <> 'explained'
  AND (found_at, recon_id) < (@before::timestamptz, @after::uuid)
ORDER BY found_at DESC, recon_id DESC LIMIT @page_limit;

-- name: Suspended :many
-- Which of these attempts have paid something into suspense that is there still. What lookups say in one direction is one movement.
SELECT k.subject_id::uuid AS subject_id, k.attempt::integer AS attempt
FROM (SELECT unnest(@subject_ids::uuid[]) AS subject_id, unnest(@attempts::integer[]) AS attempt) k
WHERE (SELECT sum(d.difference) FROM (
         SELECT * FROM (SELECT DISTINCT ON (sign(l.difference), l.code LIKE 'another_amount%') l.difference FROM recon_findings l
            WHERE l.subject_id = k.subject_id AND l.attempt = k.attempt AND l.source = 'lookup' AND l.difference <> 0) w
         UNION ALL
         SELECT s.difference FROM recon_findings s WHERE s.subject_id = k.subject_id AND s.attempt = k.attempt AND s.source = 'statement') d) > 0
ORDER BY 1, 2;

-- name: Beyond :many
-- What these attempts have in suspense by the word of lookups because another amount moved than was asked for. Where a statement has had a
-- say, it is the next one that puts right what is there.
SELECT r.subject_id, r.attempt, r.difference FROM recon_findings r
WHERE (r.subject_id, r.attempt) IN (SELECT unnest(@subject_ids::uuid[]), unnest(@attempts::integer[])) AND r.code = 'another_amount'
  AND (SELECT COALESCE(sum(s.difference), 0) FROM recon_findings s WHERE s.subject_id = r.subject_id AND s.attempt = r.attempt AND s.source = 'statement') = 0
ORDER BY 1, 2;

-- name: Denied :many
-- Which of these attempts have something in suspense because lookups denied what was booked as paid. Statements as above.
SELECT r.subject_id, r.attempt FROM recon_findings r
WHERE (r.subject_id, r.attempt) IN (SELECT unnest(@subject_ids::uuid[]), unnest(@attempts::integer[])) AND r.code = 'failed_after_success' AND r.source = 'lookup'
  AND (SELECT COALESCE(sum(s.difference), 0) FROM recon_findings s WHERE s.subject_id = r.subject_id AND s.attempt = r.attempt AND s.source = 'statement') = 0
ORDER BY 1, 2;

-- name: Stated :many
-- Of which of these attempts statements have something in suspense.
SELECT r.subject_id, r.attempt FROM recon_findings r
WHERE (r.subject_id, r.attempt) IN (SELECT unnest(@subject_ids::uuid[]), unnest(@attempts::integer[])) AND r.source = 'statement'
GROUP BY r.subject_id, r.attempt HAVING sum(r.difference) <> 0;
