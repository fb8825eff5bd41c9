-- +goose Up

-- The close of a connector's day: what the books say moved, what the provider says, and what does not agree. Revision 1 is the
-- day's close, later ones are made when people have it reconciled again. A completed row never changes: its report is signed.
CREATE TABLE closes (
    close_id     uuid PRIMARY KEY, -- UUIDv5 of (tenant, provider, local date, revision)
    tenant       text NOT NULL,
    provider     text NOT NULL,
    local_date   date NOT NULL,
    revision     integer NOT NULL,
    timezone     text NOT NULL,
    day_start    timestamptz NOT NULL,
    day_end      timestamptz NOT NULL,
    currency     text NOT NULL,
    run_id       uuid,                     -- of the schedule's tick; by hand there is none
    state        text NOT NULL CHECK (state IN ('open', 'completed')),
    tries        integer NOT NULL DEFAULT 0, -- that failed
    reason       text NOT NULL DEFAULT '', -- why the last one did; of what was not tried yet, why it waits
    next_try_at  timestamptz NOT NULL,     -- service clock
    lease_owner  text NOT NULL DEFAULT '',
    lease_expires_at timestamptz,          -- database time
    requested_at timestamptz NOT NULL,

    sequence     bigint, -- the place of its report in the connector's chain
    opening      bigint NOT NULL DEFAULT 0,
    late         bigint NOT NULL DEFAULT 0,
    top_ups      bigint NOT NULL DEFAULT 0,
    paid         bigint NOT NULL DEFAULT 0,
    fees         bigint NOT NULL DEFAULT 0,
    reversed     bigint NOT NULL DEFAULT 0,
    corrections  bigint NOT NULL DEFAULT 0,
    closing      bigint NOT NULL DEFAULT 0,
    statement    text NOT NULL DEFAULT '', -- read, none, not_compared
    waived_by    text NOT NULL DEFAULT '', -- of a day that was not compared: the two people who had it closed, and why
    waived_because text NOT NULL DEFAULT '',
    lines        bigint NOT NULL DEFAULT 0,
    repeated     bigint NOT NULL DEFAULT 0,
    matched      bigint NOT NULL DEFAULT 0,
    matched_sum  bigint NOT NULL DEFAULT 0,
    lines_sum    bigint NOT NULL DEFAULT 0,
    provider_opening bigint,
    provider_closing bigint,
    closing_source text NOT NULL DEFAULT '',
    carried      bigint NOT NULL DEFAULT 0,
    difference   bigint,
    items        bigint NOT NULL DEFAULT 0,
    exceptions   bigint NOT NULL DEFAULT 0,
    suspense     bigint NOT NULL DEFAULT 0, -- what is there after it
    previous     text NOT NULL DEFAULT '', -- digest of the report before
    digest       text NOT NULL DEFAULT '',
    key_id       text NOT NULL DEFAULT '',
    signature    text NOT NULL DEFAULT '',
    completed_at timestamptz,
    -- What of the books is summed up for good, so that the next day need not read it: of the float's postings up to settled_id, all that is
    -- dated before the day's end. Up to seen_id there may have been some that were not committed yet, by transactions before seen_xid.
    settled_id   bigint NOT NULL DEFAULT 0,
    settled_sum  bigint NOT NULL DEFAULT 0,
    seen_id      bigint NOT NULL DEFAULT 0,
    seen_xid     bigint NOT NULL DEFAULT 0,
    asks_due     boolean NOT NULL DEFAULT false, -- its attempts are still to be asked about
    UNIQUE (tenant, provider, local_date, revision),
    UNIQUE (tenant, provider, sequence),
    CHECK (state = 'open' OR sequence IS NOT NULL AND digest <> '' AND signature <> '' AND completed_at IS NOT NULL),
    CHECK (opening + late + top_ups - paid - fees + reversed + corrections = closing)
);
CREATE INDEX closes_open ON closes (tenant, provider, revision, local_date) WHERE state = 'open';
CREATE INDEX closes_asks_due ON closes (completed_at) WHERE asks_due;
CREATE INDEX closes_of_run ON closes (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX closes_listed ON closes (tenant, local_date DESC, provider, revision DESC);

-- Two people may have a day closed whose statement the provider does not give: the second gives the first one's reason. The statement
-- is tried once more then, and compared if it is there after all.
CREATE TABLE close_waivers (
    close_id    uuid PRIMARY KEY REFERENCES closes,
    reason      text NOT NULL,
    proposed_by text NOT NULL,
    proposed_at timestamptz NOT NULL,
    agreed_by   text NOT NULL DEFAULT '' CHECK (agreed_by <> proposed_by),
    agreed_at   timestamptz
);

-- The provider's statement of a day as it was read. What a reading that failed has left is cleared before the next one; what a
-- close was judged by is kept for a while: lines of one day are of payouts that are booked in the next.
CREATE TABLE close_lines (
    close_id    uuid NOT NULL,
    line        bigint NOT NULL, -- its number in the reading
    tenant      text NOT NULL,
    provider    text NOT NULL,
    local_date  date NOT NULL,
    provider_id text NOT NULL,
    reference   text NOT NULL,
    kind        text NOT NULL,
    amount      bigint NOT NULL, -- what it did to the float, without the fee
    fee         bigint NOT NULL,
    currency    text NOT NULL,
    at          timestamptz NOT NULL,
    state       text NOT NULL,
    item_key    text NOT NULL, -- the reference of an attempt of ours, or # and the line's own id
    PRIMARY KEY (close_id, line)
);
CREATE INDEX close_lines_of_key ON close_lines (tenant, provider, item_key);

-- What does not simply agree: exceptions, and amounts that the two sides have in different days.
CREATE TABLE close_items (
    close_id    uuid NOT NULL REFERENCES closes,
    kind        text COLLATE "C" NOT NULL CHECK (kind IN ('missing_there', 'missing_here', 'amount_differs', 'state_differs', 'unknown', 'duplicate',
                    'balance_differs', 'not_compared', 'awaited', 'timing', 'resolved')),
    item_key    text COLLATE "C" NOT NULL,
    tenant      text NOT NULL,
    provider    text NOT NULL,
    code        text NOT NULL,
    reference   text NOT NULL DEFAULT '',
    provider_id text NOT NULL DEFAULT '',
    subject_id  uuid,
    attempt     integer NOT NULL DEFAULT 0,
    expected    text NOT NULL DEFAULT '',
    found       text NOT NULL DEFAULT '',
    difference  bigint NOT NULL, -- what the provider moved more than the books
    flow        bigint NOT NULL, -- this day's part of it, as the float changes
    currency    text NOT NULL,
    at          timestamptz,
    settled_by  uuid, -- the close in which its other half was found; not part of the report
    PRIMARY KEY (close_id, kind, item_key)
);
-- Halves that wait for the other one. They are few.
CREATE INDEX close_items_waiting ON close_items (tenant, provider, kind) WHERE settled_by IS NULL AND kind IN ('missing_here', 'awaited');

-- What closes put into suspense for a reference: what all its lines moved beyond what is booked of it. Each close books the step from
-- what is held to what is wanted, so that a line which goes, comes back, or turns up a second time is booked and told once each.
CREATE TABLE close_suspense (
    tenant     text NOT NULL,
    provider   text NOT NULL,
    item_key   text NOT NULL,
    subject_id uuid,
    attempt    integer NOT NULL DEFAULT 0,
    looked_up  bigint NOT NULL, -- what lookups have put there
    wanted     bigint NOT NULL, -- beside that
    held       bigint NOT NULL,
    PRIMARY KEY (tenant, provider, item_key)
);
CREATE INDEX close_suspense_owed ON close_suspense (tenant, provider, item_key) WHERE wanted <> held;

-- A day's movements of a float, and its balance at a day's end, read from the index alone. Few debits, a credit for each payout.
CREATE INDEX ledger_postings_float_out ON ledger_postings (tenant, credit, occurred_at) INCLUDE (kind, ref, currency, amount, posting_id)
    WHERE credit LIKE 'float:%';
CREATE INDEX ledger_postings_float_in ON ledger_postings (tenant, debit, occurred_at) INCLUDE (kind, ref, currency, amount, posting_id)
    WHERE debit LIKE 'float:%';
