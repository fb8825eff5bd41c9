-- +goose Up

-- What a provider says against what is booked. One row per contradiction, however often it is heard.
CREATE TABLE recon_findings (
    recon_id   uuid PRIMARY KEY, -- UUIDv5 of (subject, attempt, code), or of what a statement's line is known by
    tenant     text NOT NULL,
    provider   text NOT NULL,
    subject_id uuid NOT NULL, -- the payout or charge; of a line that is nobody's, an id of its own
    attempt    integer NOT NULL,
    reference  text NOT NULL,
    code       text NOT NULL,
    expected   text NOT NULL, -- the attempt's state here
    found      text NOT NULL, -- the class of the provider's answer
    difference bigint NOT NULL, -- what the provider moved more (or less) than the books, as far as it is in suspense
    currency   text NOT NULL,
    found_at   timestamptz NOT NULL,
    -- What lookups say of one attempt in one direction is one movement, however often and in whatever words; each line of a
    -- statement is its own.
    source     text NOT NULL DEFAULT 'lookup' CHECK (source IN ('lookup', 'statement')),
    told       boolean NOT NULL DEFAULT true -- in an event of its own; its decisions' events come after that one
);
CREATE INDEX recon_findings_listed ON recon_findings (tenant, found_at DESC, recon_id);
CREATE INDEX recon_findings_by_subject ON recon_findings (subject_id);
