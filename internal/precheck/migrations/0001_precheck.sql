-- +goose Up

-- What is about to be sent for the first time after a restore, and what providers say of it. Its attempts before the restore have no
-- rows: only the provider can tell of them.
CREATE TABLE prechecks (
    subject_id       uuid PRIMARY KEY,   -- the payout or charge
    epoch            integer NOT NULL,   -- of the restore that it is about
    tenant           text NOT NULL,
    provider         text NOT NULL,
    number           integer NOT NULL CHECK (number >= 1), -- of the reference that is about to be sent: it and later ones are asked about
    amount           bigint NOT NULL,
    currency         text NOT NULL,
    destination      text NOT NULL,
    run_id           uuid NOT NULL,      -- whose dispatch is woken
    page             integer NOT NULL,
    sent_since       timestamptz,        -- when it may have been sent, at the earliest; null: nobody can tell
    sent_until       timestamptz NOT NULL, -- and at the latest
    -- asking · absent: none of the references is there, and it may go · found: some are, up to number found · adopted: attempts of these
    -- were made
    state            text NOT NULL CHECK (state IN ('asking', 'absent', 'found', 'adopted')),
    found            integer NOT NULL DEFAULT 0,
    absent_reads     integer NOT NULL DEFAULT 0, -- in a row, and late enough to count
    first_absent_at  timestamptz,
    proven_at        timestamptz,        -- when what is absent was asked about last
    wanted           boolean NOT NULL DEFAULT false, -- somebody waits for it to be asked about anew: what was absent may be there by now
    unanswered       integer NOT NULL DEFAULT 0, -- in a row
    next_at          timestamptz NOT NULL, -- service clock
    lease_expires_at timestamptz,          -- database time: it is being asked about until then
    version          integer NOT NULL DEFAULT 0, -- of the question: an answer to an older one decides nothing
    CHECK ((state IN ('found', 'adopted')) = (found >= number)),
    CHECK (state <> 'absent' OR proven_at IS NOT NULL)
);
CREATE INDEX prechecks_due ON prechecks (tenant, provider, next_at) WHERE state = 'asking';
CREATE INDEX prechecks_answered ON prechecks (tenant, provider, next_at) WHERE state = 'asking' AND unanswered = 0;
CREATE INDEX prechecks_proven ON prechecks (tenant, provider, proven_at) WHERE state = 'absent'; -- what is believed still
CREATE INDEX prechecks_wanted ON prechecks (subject_id) WHERE wanted; -- few, and nearly always none
CREATE INDEX prechecks_found ON prechecks (subject_id) WHERE state = 'found'; -- what is not taken over yet

-- Which references are asked about, so that a webhook finds them: they have no attempts. A reference is of one subject
-- for ever; it is forgotten a month after it was proven absent, and noted again when it is asked about anew.
CREATE TABLE precheck_references (
    tenant     text NOT NULL,
    provider   text NOT NULL,
    reference  text NOT NULL,
    subject_id uuid NOT NULL,
    number     integer NOT NULL,
    PRIMARY KEY (tenant, provider, reference)
);
