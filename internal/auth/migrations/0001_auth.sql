-- +goose Up

-- The audit trail: one chain of hashes per tenant and service. Rows are written once.
CREATE TABLE audit_entries (
    tenant         text NOT NULL,
    service        text NOT NULL,
    seq            bigint NOT NULL, -- contiguous from 1
    at             timestamptz NOT NULL,
    actor          text NOT NULL,
    role           text NOT NULL,
    action         text NOT NULL,
    target         text NOT NULL,
    detail         text NOT NULL,
    request_id     text NOT NULL,
    correlation_id text NOT NULL,
    prev_hash      bytea NOT NULL,
    hash           bytea NOT NULL,
    PRIMARY KEY (tenant, service, seq)
);

-- The end of each chain. Its row lock puts writers of a chain in order, and it tells when the newest entries are gone.
CREATE TABLE audit_heads (
    tenant  text NOT NULL,
    service text NOT NULL,
    seq     bigint NOT NULL,
    hash    bytea NOT NULL,
    PRIMARY KEY (tenant, service)
);

-- Against accidents and careless scripts. Whoever may alter the table can still do it, which is what the hashes and the
-- copy in the AUDIT stream are for.
-- +goose StatementBegin
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

-- Answers of mutations that carried a request id. An actor's ids are its own: two people who approve with the same id are
-- still two people.
CREATE TABLE idempotent_requests (
    tenant     text NOT NULL,
    actor      text NOT NULL,
    method     text NOT NULL,
    request_id text NOT NULL,
    body_hash  bytea NOT NULL,
    result     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(), -- decides how long the row may be kept, nothing else
    PRIMARY KEY (tenant, actor, method, request_id)
);
