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
