-- name: ListStates :many
SELECT * FROM provider_states WHERE tenant = @tenant ORDER BY provider;

-- name: StoppedConnectors :many
-- Stopped, or resting for longer than anybody should wait for. What waits for float is held, however short the rest still is; where that is
-- about to happen it is asked for without.
SELECT tenant, provider FROM provider_states
WHERE state = 'stopped' OR CASE WHEN rest_code = ANY(@float_codes::text[]) THEN NOT @but_float::boolean AND rest_until > @now::timestamptz
                                ELSE rest_until > @rest_beyond::timestamptz END
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
    float_needed = @float_needed, float_read_at = @float_read_at,
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

-- name: ShortConnectors :many
-- Whose balance, as it was told not long ago, does not cover what is due.
SELECT tenant, provider FROM provider_states
WHERE float_state = 'insufficient' AND (float_read_at > @known_since::timestamptz OR (rest_code = ANY(@float_codes::text[]) AND rest_until > @now::timestamptz))
ORDER BY tenant, provider;

-- name: AskFunds :one
-- One at a time over all replicas: not while an answer is outstanding that may still come, and not too often.
UPDATE provider_states SET float_asked = float_asked + 1, float_asked_at = @now::timestamptz, float_asking = true, float_next = 0
WHERE tenant = @tenant AND provider = @provider AND (float_asked_at IS NULL OR float_asked_at > @now::timestamptz
      OR (float_asked_at <= @not_since::timestamptz AND (NOT float_asking OR float_asked_at <= @given_up::timestamptz)))
RETURNING float_asked;

-- name: AnswerFunds :execrows
-- An answer that somebody did not wait for, who has asked again, is none.
UPDATE provider_states SET float_balance = @balance, float_currency = @currency, float_read_at = @read_at::timestamptz, float_asking = false,
    float_spent = float_next + @doubtful::bigint, float_unsure = @under_way::bigint,
    float_clean = float_next = 0 AND @under_way::bigint = 0, float_fee_bps = @fee_bps
WHERE tenant = @tenant AND provider = @provider AND float_asked = @asked AND float_asking;

-- name: NoFunds :exec
-- Nothing was told. A balance that somebody has to rely on now is not known any more.
UPDATE provider_states SET float_asking = false, float_read_at = CASE WHEN @forget::boolean THEN NULL ELSE float_read_at END
WHERE tenant = @tenant AND provider = @provider AND float_asked = @asked AND float_asking;

-- name: SpendFunds :exec
UPDATE provider_states SET float_spent = float_spent + @amount::bigint, float_next = float_next + @amount::bigint, float_unsure = float_unsure + @extra::bigint, float_clean = false
WHERE tenant = @tenant AND provider = @provider;

-- name: GiveBackFunds :exec
-- What a replica has put by is its own until the balance is asked for again, and worth nothing after that.
UPDATE provider_states SET float_unsure = float_unsure - @amount::bigint WHERE tenant = @tenant AND provider = @provider AND float_asked = @asked;

-- name: AddFunds :exec
-- Money was sent to the provider: it is asked about at once, and taken for there until the provider has told.
UPDATE provider_states SET float_spent = float_spent - @amount::bigint, float_asked_at = NULL WHERE tenant = @tenant AND provider = @provider;
