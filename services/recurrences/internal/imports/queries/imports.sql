-- name: Known :many
-- One step of the primary key per id, whatever is known of a table that is just being filled.
SELECT r.recurrence_id, r.customer_name, r.imported
FROM (SELECT unnest(@ids::text[]) AS id) i JOIN recurrences r ON r.tenant = @tenant AND r.recurrence_id = i.id;

-- name: PlanAnew :exec
-- A plan made for an empty table must not be kept while it fills: until the next analyze it would read all of it each time.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true);
