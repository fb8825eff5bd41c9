-- name: ListStates :many
SELECT * FROM provider_states WHERE tenant = @tenant ORDER BY provider;

-- name: StoppedConnectors :many
-- Stopped, or resting for longer than anybody should wait for. What waits for float is held, however short the rest still is.
SELECT tenant, provider FROM provider_states
WHERE state = 'stopped' OR rest_until > @rest_beyond::timestamptz OR (rest_code = @float_code::text AND rest_until > @now::timestamptz)
ORDER BY tenant, provider;

-- name: GetState :one
SELECT * FROM provider_states WHERE tenant = @tenant AND provider = @provider;

-- name: EnsureState :exec
INSERT INTO provider_states (tenant, provider, kind, state, changed_at)
VALUES (@tenant, @provider, @kind, 'open', @now) ON CONFLICT DO NOTHING;

-- name: LockState :one
SELECT * FROM provider_states WHERE tenant = @tenant AND provider = @provider FOR UPDATE;

-- name: SetState :exec
UPDATE provider_states SET state = @state, reason_class = @reason_class, reason_scope = @reason_scope,
    reason_code = @reason_code, provider_code = @provider_code, faults = @faults, rests = @rests,
    rest_until = @rest_until, rest_code = @rest_code, float_state = @float_state, float_version = @float_version,
    version = @version, changed_at = @changed_at,
    stops = stops + CASE WHEN @state = 'stopped' AND state <> 'stopped' THEN 1 ELSE 0 END,
    -- Whoever opens a stopped connector answers for its credentials: what was lost before counts no more.
    trial_losses = CASE WHEN state = 'stopped' AND @state <> 'stopped' THEN 0 ELSE trial_losses END
WHERE tenant = @tenant AND provider = @provider;

-- name: LockTrial :one
SELECT state, trial_losses, COALESCE(trial_expires_at >= now(), false)::boolean AS under_way
FROM provider_states WHERE tenant = @tenant AND provider = @provider FOR UPDATE;

-- name: BeginTrial :exec
UPDATE provider_states SET trial_owner = @owner, trial_expires_at = now() + make_interval(secs => @lease_seconds), trial_losses = trial_losses + 1
WHERE tenant = @tenant AND provider = @provider;

-- name: EndTrial :exec
-- A use that was answered, whatever the answer, is not lost; one that proves the credential forgets those that were.
UPDATE provider_states SET trial_owner = '', trial_expires_at = NULL,
    trial_losses = CASE WHEN @proven::boolean THEN 0 WHEN @lost::boolean THEN trial_losses ELSE GREATEST(trial_losses - 1, 0) END
WHERE tenant = @tenant AND provider = @provider AND trial_owner = @owner;

-- name: Beat :exec
INSERT INTO provider_replicas (replica, expires_at) VALUES (@replica, now() + make_interval(secs => @ttl_seconds))
ON CONFLICT (replica) DO UPDATE SET expires_at = EXCLUDED.expires_at;

-- name: CountReplicas :one
SELECT count(*) FROM provider_replicas WHERE expires_at > now();

-- name: ForgetReplicas :exec
DELETE FROM provider_replicas WHERE expires_at < now() - interval '1 hour';

-- name: LeaveReplica :exec
DELETE FROM provider_replicas WHERE replica = @replica;
