-- +goose Up

-- What all replicas share about a connector. A connector without a row is open.
CREATE TABLE provider_states (
    tenant        text NOT NULL,
    provider      text NOT NULL,
    kind          text NOT NULL,
    state         text NOT NULL CHECK (state IN ('open', 'degraded', 'stopped')),
    reason_class  text NOT NULL DEFAULT '',
    reason_scope  text NOT NULL DEFAULT '',
    reason_code   text NOT NULL DEFAULT '',
    provider_code text NOT NULL DEFAULT '',
    faults        integer NOT NULL DEFAULT 0, -- in a row, up to now
    rests         integer NOT NULL DEFAULT 0, -- in a row, without an answer between them
    rest_until    timestamptz,                -- nothing is sent before; service clock
    rest_code     text NOT NULL DEFAULT '',
    float_state   text NOT NULL DEFAULT 'ok' CHECK (float_state IN ('ok', 'low', 'insufficient')),
    float_version bigint NOT NULL DEFAULT 0,
    float_needed  bigint NOT NULL DEFAULT 0, -- what the state was last judged by: what tonight needs, or what is due now
    -- The balance as the provider told it last (Funds). What was begun since is not in it; what was under way then may be.
    float_balance  bigint NOT NULL DEFAULT 0,
    float_currency text NOT NULL DEFAULT '',
    float_read_at  timestamptz,                -- when it was asked for; NULL: not known. Service clock
    float_asked    bigint NOT NULL DEFAULT 0,  -- how often it was asked for; what was reserved before one counts anew after it
    float_asked_at timestamptz,                -- NULL: at once
    float_asking   boolean NOT NULL DEFAULT false, -- the answer is outstanding
    float_spent    bigint NOT NULL DEFAULT 0,  -- begun since it was asked for
    float_next     bigint NOT NULL DEFAULT 0,  -- begun since it was last asked for
    float_clean    boolean NOT NULL DEFAULT false, -- nothing was under way when it was asked for, nor begun since
    float_unsure   bigint NOT NULL DEFAULT 0,  -- under way when it was asked for, or kept by a replica for its next sends
    float_fee_bps  integer NOT NULL DEFAULT 0, -- what fees come to, as far as they are known
    version       bigint NOT NULL DEFAULT 0,
    changed_at    timestamptz NOT NULL,       -- of the state
    stops            bigint NOT NULL DEFAULT 0, -- how often it was stopped: what was proven before one is not proven after it
    -- The one use of a credential that is not proven, where a provider locks an account after a few wrong ones (ADR 8).
    trial_owner      text NOT NULL DEFAULT '',
    trial_expires_at timestamptz,             -- a lease: database time
    trial_losses     integer NOT NULL DEFAULT 0, -- uses since the last proof whose answer is outstanding or was lost
    PRIMARY KEY (tenant, provider)
);

-- Who is there to share a provider's rate with. Database time on both sides: a lease, not a business time.
CREATE TABLE provider_replicas (
    replica    text PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
