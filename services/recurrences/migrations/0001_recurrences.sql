-- +goose Up

-- A tokenised card. The token is the gateway's and worth nothing elsewhere; events carry card_id, which does not tell it.
CREATE TABLE cards (
    card_id    uuid PRIMARY KEY, -- UUIDv5 of (tenant, token)
    tenant     text NOT NULL,
    token      text NOT NULL,
    brand      text NOT NULL, -- visa, mastercard, elo, …
    state      text NOT NULL CHECK (state IN ('valid', 'invalid')),
    reason     text NOT NULL DEFAULT '',
    failures   integer NOT NULL DEFAULT 0, -- declined charges in a row, over all recurrences
    forbidden  boolean NOT NULL DEFAULT false, -- its network forbids another attempt with it; another card is needed
    wait_until timestamptz,             -- its network wants it left alone until then
    version    bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    UNIQUE (tenant, token)
);

CREATE TABLE recurrences (
    tenant           text NOT NULL,
    recurrence_id    text NOT NULL,
    customer_id      text NOT NULL,
    customer_name    text NOT NULL DEFAULT '', -- never leaves this table
    seller_id        text NOT NULL,
    currency         text NOT NULL,
    amount           bigint NOT NULL CHECK (amount > 0), -- minor units
    description      text NOT NULL DEFAULT '',
    period           text NOT NULL CHECK (period IN ('monthly', 'yearly', 'weekly', 'days')),
    anchor_day       integer NOT NULL DEFAULT 0, -- day of the month, or ISO weekday for weekly
    anchor_month     integer NOT NULL DEFAULT 0, -- yearly
    interval_days    integer NOT NULL DEFAULT 0, -- days
    next_cycle       date,              -- nominal date of the next cycle; NULL once there is none: the last one may still be unpaid
    next_charge_date date,              -- that date, moved by the tenant's business-day rule
    end_date         date,
    max_cycles       integer NOT NULL DEFAULT 0, -- 0: no limit
    cycles           integer NOT NULL DEFAULT 0, -- charged or missed so far
    card_id          uuid NOT NULL REFERENCES cards,
    state            text NOT NULL CHECK (state IN ('active', 'past_due', 'hold', 'paused', 'cancelled', 'completed', 'archived')),
    reason_class     text NOT NULL DEFAULT '',
    reason_scope     text NOT NULL DEFAULT '',
    reason_code      text NOT NULL DEFAULT '',
    provider_code    text NOT NULL DEFAULT '',
    held_by          timestamptz,       -- nominal time of the tick that put it on hold; NULL: imported so, or by a person
    ended_at         timestamptz,
    imported         jsonb NOT NULL,    -- the fields as first imported, without the name: a later row must say the same
    version          bigint NOT NULL DEFAULT 0,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    PRIMARY KEY (tenant, recurrence_id),
    CHECK ((next_cycle IS NULL) = (next_charge_date IS NULL)),
    CHECK (next_cycle IS NULL OR state NOT IN ('cancelled', 'completed', 'archived')),
    CHECK (ended_at IS NOT NULL OR state NOT IN ('cancelled', 'completed', 'archived'))
);
-- What a morning takes: small however many recurrences have ended.
CREATE INDEX recurrences_due ON recurrences (tenant, recurrence_id) INCLUDE (next_charge_date) WHERE state IN ('active', 'past_due');
CREATE INDEX recurrences_on_hold ON recurrences (tenant, seller_id, recurrence_id) WHERE state = 'hold';
CREATE INDEX recurrences_ended ON recurrences (tenant, recurrence_id) WHERE state IN ('completed', 'cancelled');
CREATE INDEX recurrences_by_card ON recurrences (card_id);
CREATE INDEX recurrences_listed ON recurrences (tenant, state, recurrence_id);
CREATE INDEX recurrences_by_seller ON recurrences (tenant, seller_id, recurrence_id);

-- Promise 6: one charge per cycle. The unique constraint is what keeps it, whatever else fails.
CREATE TABLE charges (
    charge_id          uuid PRIMARY KEY, -- UUIDv5 of (tenant, recurrence, cycle)
    tenant             text NOT NULL,
    recurrence_id      text NOT NULL,
    cycle              date NOT NULL,    -- nominal
    charge_date        date NOT NULL,
    customer_id        text NOT NULL,
    seller_id          text NOT NULL,
    card_id            uuid NOT NULL REFERENCES cards, -- of the newest attempt, or of the first to come
    gateway            text NOT NULL,
    currency           text NOT NULL,
    amount             bigint NOT NULL CHECK (amount > 0),
    state              text NOT NULL CHECK (state IN ('due', 'submitting', 'processing', 'unknown', 'manual_review', 'succeeded',
                           'failed_soft', 'failed_hard', 'requires_action', 'exhausted', 'cancelled')),
    reason_class       text NOT NULL DEFAULT '',
    reason_scope       text NOT NULL DEFAULT '',
    reason_code        text NOT NULL DEFAULT '',
    provider_code      text NOT NULL DEFAULT '',
    fee                bigint,
    refunded           bigint NOT NULL DEFAULT 0, -- in all, as the gateway tells it
    disputed           bigint NOT NULL DEFAULT 0, -- in disputes that were not won
    charged_back       bigint NOT NULL DEFAULT 0 CHECK (charged_back <= disputed), -- of these, in disputes that were lost
    attempt            integer NOT NULL DEFAULT 0, -- number of the newest attempt
    reference          text NOT NULL DEFAULT '',   -- of the newest attempt
    tries              integer NOT NULL DEFAULT 0, -- declined attempts: the first and its retries
    tried_attempt      integer NOT NULL DEFAULT 0, -- number of the attempt that was counted last: each is one try, however often its answer changes
    first_attempt_date date,                       -- D of the retry rule: local date of the tick of the first attempt
    last_attempt_date  date,                       -- local date of the tick of the newest attempt: never twice a day
    retry_on           date,                       -- failed_soft: local date of the next retry
    -- The run and page that are to send it, or are sending it now. NULL: nothing sends it. That, and not the state, is what a
    -- claim looks for. An answer clears it; a send that never left keeps it.
    send_run           uuid REFERENCES runs,
    send_page          integer,
    send_date          date,                       -- local date that the send belongs to, as it was wanted
    send_wanted_at     timestamptz,                -- when that was: a send that could not go for days is of a later date
    send_cause         text NOT NULL DEFAULT '' CHECK (send_cause IN ('', 'run', 'person', 'card')), -- kept until the next one is wanted
    not_before         timestamptz,                -- a send that never left, or that its card's network would count against us, rests until then
    -- The gateway says of a closed attempt that it was charged, or may be yet: nothing charges this one again.
    contradicted       boolean NOT NULL DEFAULT false,
    run_id             uuid NOT NULL REFERENCES runs, -- that made it
    nominal_time       timestamptz NOT NULL,
    version            bigint NOT NULL DEFAULT 0,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    UNIQUE (tenant, recurrence_id, cycle)
);
-- And the half of it that no constraint on cycles can keep: never while another charge of the recurrence is under way or in doubt.
CREATE UNIQUE INDEX charges_one_under_way ON charges (tenant, recurrence_id) WHERE state IN ('submitting', 'processing', 'unknown', 'manual_review');
CREATE INDEX charges_to_send ON charges (send_run, send_page, charge_id) WHERE send_run IS NOT NULL;
CREATE INDEX charges_submitting ON charges (send_run) WHERE state = 'submitting';
CREATE INDEX charges_retry ON charges (tenant, recurrence_id, cycle) INCLUDE (retry_on) WHERE state = 'failed_soft';
-- What keeps its recurrence from being charged, cleaned up or completed.
CREATE INDEX charges_open ON charges (tenant, recurrence_id) WHERE state IN ('due', 'submitting', 'processing', 'unknown', 'manual_review', 'failed_soft');
CREATE INDEX charges_unpaid ON charges (tenant, recurrence_id, cycle) WHERE state NOT IN ('succeeded', 'cancelled');
-- Never twice a day.
CREATE INDEX charges_attempted ON charges (tenant, recurrence_id, last_attempt_date);
CREATE INDEX charges_by_run ON charges (run_id, state) INCLUDE (amount, currency);
CREATE INDEX charges_listed ON charges (tenant, cycle DESC, charge_id);

-- Charges that stayed open when their recurrence was cancelled, since they may have been charged: the sweeper asks and ends them.
CREATE TABLE endings (
    charge_id uuid PRIMARY KEY REFERENCES charges,
    tenant    text NOT NULL
);

-- What was taken back of charges that succeeded, once each. The unique constraint is what keeps a refund or a dispute that is told
-- again from being booked again, whatever else fails.
CREATE TABLE reversals (
    reversal_id uuid PRIMARY KEY, -- UUIDv5 of (charge, kind, key)
    charge_id   uuid NOT NULL REFERENCES charges,
    tenant      text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('refund', 'dispute')),
    key         text NOT NULL, -- a refund: the gateway's total with it, in minor units; a dispute: the number of its case
    amount      bigint NOT NULL CHECK (amount > 0), -- of this one alone
    state       text NOT NULL,
    created_at  timestamptz NOT NULL,
    decided_at  timestamptz,
    UNIQUE (charge_id, kind, key),
    CHECK (CASE kind WHEN 'refund' THEN state = 'booked' ELSE state IN ('open', 'won', 'lost') END),
    CHECK ((decided_at IS NOT NULL) = (state IN ('won', 'lost')))
);

-- A cycle too late to charge by itself. An operator may charge it; it becomes a charge then.
CREATE TABLE missed_cycles (
    tenant        text NOT NULL,
    recurrence_id text NOT NULL,
    cycle         date NOT NULL,
    charge_date   date NOT NULL,
    missed_at     timestamptz NOT NULL,
    run_id        uuid NOT NULL REFERENCES runs,
    PRIMARY KEY (tenant, recurrence_id, cycle),
    FOREIGN KEY (tenant, recurrence_id) REFERENCES recurrences
);

-- One digest per seller and local date.
CREATE TABLE hold_digests (
    digest_id      uuid PRIMARY KEY, -- UUIDv5 of (tenant, seller, local date)
    tenant         text NOT NULL,
    seller_id      text NOT NULL,
    local_date     date NOT NULL,
    recurrence_ids text[] NOT NULL,
    currency       text NOT NULL,
    total          bigint NOT NULL,
    run_id         uuid NOT NULL REFERENCES runs,
    created_at     timestamptz NOT NULL,
    UNIQUE (tenant, seller_id, local_date)
);

-- What was sent: networks count it per card, amount and window, over all gateways of a tenant, and a run counts what it sent.
CREATE TABLE card_attempts (
    charge_id uuid NOT NULL REFERENCES charges,
    attempt   integer NOT NULL,
    tenant    text NOT NULL,
    card_id   uuid NOT NULL REFERENCES cards,
    amount    bigint NOT NULL,
    run_id    uuid NOT NULL, -- that sent it; no reference, or every claim would wait for the run's planning
    sent_at   timestamptz NOT NULL,
    declined  boolean NOT NULL DEFAULT false,
    -- Its reference went with another card before, and may have arrived then: nobody can tell which card an answer is about.
    two_cards boolean NOT NULL DEFAULT false,
    PRIMARY KEY (charge_id, attempt)
);
CREATE INDEX card_attempts_window ON card_attempts (card_id, sent_at);
CREATE INDEX card_attempts_by_run ON card_attempts (run_id, charge_id);

-- Cielo names a sale by its own id in webhooks. No other service's providers do, so the index is not among those of attempts.
CREATE INDEX attempts_by_provider_id ON attempts (tenant, provider, provider_id) WHERE provider_id <> '';
