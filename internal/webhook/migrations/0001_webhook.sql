-- +goose Up

-- Raw bodies hold personal data: they stay in this table only, and for 30 days.
CREATE TABLE webhooks (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant      text NOT NULL,
    provider    text NOT NULL,
    digest      bytea NOT NULL, -- SHA-256 of the body: the same bytes again at once are the same news
    body        bytea NOT NULL,
    refs        text[] NOT NULL,
    state       text NOT NULL DEFAULT 'received' CHECK (state IN ('received', 'matched', 'unmatched')),
    received_at timestamptz NOT NULL,
    next_try_at timestamptz NOT NULL,
    UNIQUE (tenant, provider, digest)
);
CREATE INDEX webhooks_due ON webhooks (next_try_at) WHERE state = 'received';
CREATE INDEX webhooks_old ON webhooks (received_at);
