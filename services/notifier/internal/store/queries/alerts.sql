-- name: LimitLockWait :exec
-- For this transaction.
SELECT set_config('lock_timeout', @wait::text, true);

-- name: EnsureAlerts :exec
INSERT INTO alerts (tenant, kind, scope, opened_at, updated_at)
SELECT i.tenant, i.kind, i.scope, @at, @at
FROM (SELECT unnest(@tenants::text[]) AS tenant, unnest(@kinds::text[]) AS kind, unnest(@scopes::text[]) AS scope) AS i
ORDER BY i.tenant, i.kind, i.scope
ON CONFLICT DO NOTHING;

-- name: LockAlerts :many
SELECT a.tenant, a.kind, a.scope, a.generation, a.open, a.total, a.told, a.minor, a.currency, a.last_order, a.opened_at
FROM alerts a
JOIN (SELECT unnest(@tenants::text[]) AS tenant, unnest(@kinds::text[]) AS kind, unnest(@scopes::text[]) AS scope) AS i
    ON a.tenant = i.tenant AND a.kind = i.kind AND a.scope = i.scope
ORDER BY a.tenant, a.kind, a.scope
FOR UPDATE OF a;

-- name: UpdateAlerts :exec
UPDATE alerts AS a
SET generation = i.generation, open = i.open, total = i.total, told = i.told, minor = i.minor, currency = i.currency,
    last_order = i.last_order, opened_at = i.opened_at, updated_at = @at
FROM (SELECT unnest(@tenants::text[]) AS tenant,
             unnest(@kinds::text[]) AS kind,
             unnest(@scopes::text[]) AS scope,
             unnest(@generations::bigint[]) AS generation,
             unnest(@opens::bigint[]) AS open,
             unnest(@totals::bigint[]) AS total,
             unnest(@tolds::bigint[]) AS told,
             unnest(@minors::bigint[]) AS minor,
             unnest(@currencies::text[]) AS currency,
             unnest(@last_orders::bigint[]) AS last_order,
             unnest(@opened_ats::timestamptz[]) AS opened_at) AS i
WHERE a.tenant = i.tenant AND a.kind = i.kind AND a.scope = i.scope;
