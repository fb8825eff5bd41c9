-- +goose Up

-- One row per try to move money. It is committed before the call, with the reference the provider will know it by, and it
-- outlives every doubt about what became of the call.
CREATE TABLE attempts (
    subject_id        uuid NOT NULL,    -- the payout or charge
    number            integer NOT NULL CHECK (number >= 1),
    tenant            text NOT NULL,
    provider          text NOT NULL,
    reference         text NOT NULL,    -- follows from subject and number, and never changes
    amount            bigint NOT NULL CHECK (amount > 0),
    currency          text NOT NULL,
    destination       text NOT NULL,
    state             text NOT NULL CHECK (state IN ('submitting', 'processing', 'unknown', 'manual_review', 'succeeded', 'failed', 'not_sent')),
    class             text NOT NULL DEFAULT '',
    scope             text NOT NULL DEFAULT '',
    code              text NOT NULL DEFAULT '',
    provider_code     text NOT NULL DEFAULT '',
    provider_id       text NOT NULL DEFAULT '', -- the provider's id of the transfer
    fee               bigint,
    sends             integer NOT NULL DEFAULT 1, -- how often this reference was begun; a fence against answers to earlier sends
    reached           boolean NOT NULL DEFAULT false, -- an earlier send of it may have come to the provider
    lease_owner       text NOT NULL DEFAULT '',
    lease_expires_at  timestamptz,      -- database time; only while submitting
    submitted_at      timestamptz NOT NULL, -- of the newest send
    accepted          boolean NOT NULL DEFAULT false, -- the provider has had it at some time: it was not "never created"
    opened_at         timestamptz,      -- first accepted or in doubt
    doubted_at        timestamptz,      -- in doubt once more, after it was denied: the schedule of lookups begins anew
    closed_at         timestamptz,
    next_lookup_at    timestamptz,      -- service clock; set while open, and on a closed one when a webhook speaks of it
    lookup_expires_at timestamptz,      -- database time; a lookup is under way until then
    lookups           integer NOT NULL DEFAULT 0,
    looked_up_at      timestamptz,
    absent_reads      integer NOT NULL DEFAULT 0, -- in a row, and late enough to count
    first_absent_at   timestamptz,
    denied_at         timestamptz,      -- it was proven last then that the provider knows nothing of it
    take_back_at      timestamptz,      -- the provider was asked to give it back then, and nobody knows yet whether it has
    -- Of one that a restore has lost and its provider knows: what an answer has to tell before it is believed, its amount, or its payee as well.
    must_tell         text NOT NULL DEFAULT '' CHECK (must_tell IN ('', 'amount', 'payee')),
    -- How many attempts right before it were refused and left nothing at the provider. Payouts have a bound for it: a reference behind more
    -- would not be come to by a look for what a restore has lost.
    behind            integer NOT NULL DEFAULT 0 CHECK (behind >= 0),
    -- What the provider told last that it moves under the reference, or has moved, where what it tells is not ours or too little to go by; 0: nothing.
    told              bigint NOT NULL DEFAULT 0,
    version           bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (subject_id, number),
    UNIQUE (tenant, provider, reference),
    CHECK (state <> 'submitting' OR lease_expires_at IS NOT NULL),
    -- Lookups without end: an open attempt that nobody asks about cannot be stored.
    CHECK (state NOT IN ('processing', 'unknown', 'manual_review') OR (next_lookup_at IS NOT NULL AND opened_at IS NOT NULL))
);
-- Work that is waiting: small however many attempts are closed.
CREATE INDEX attempts_leased ON attempts (lease_expires_at) WHERE state = 'submitting';
CREATE INDEX attempts_due ON attempts (tenant, provider, next_lookup_at) WHERE next_lookup_at IS NOT NULL;
CREATE INDEX attempts_open ON attempts (tenant, subject_id, number) WHERE state IN ('processing', 'unknown', 'manual_review');
