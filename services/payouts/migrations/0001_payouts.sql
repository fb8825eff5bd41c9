-- +goose Up

-- A tenant's outflow switch and the row that serialises its planning.
CREATE TABLE outflows (
    tenant     text PRIMARY KEY,
    stopped    boolean NOT NULL DEFAULT false,
    reason     text NOT NULL DEFAULT '',
    actor      text NOT NULL DEFAULT '',
    changed_at timestamptz NOT NULL
);

-- What of a tenant's daily cap is used at most, on one local date. Adding up the day with every page of a run would read more with each of
-- them; this is enough while it fits. Whoever reads or writes it holds the tenant's row of outflows.
CREATE TABLE cap_uses (
    tenant   text PRIMARY KEY,
    cap_date date NOT NULL,
    used     bigint NOT NULL
);

CREATE TABLE payees (
    tenant       text NOT NULL,
    payee_id     text NOT NULL,
    name         text NOT NULL DEFAULT '',
    phone        text NOT NULL DEFAULT '', -- E.164, or '' when there is no wallet
    provider     text NOT NULL DEFAULT '', -- '' means the tenant's default_provider
    locale       text NOT NULL DEFAULT '',
    state        text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused')),
    pause_reason text NOT NULL DEFAULT '', -- a code
    pause_detail text NOT NULL DEFAULT '', -- what failed last, or a person's words
    paused_by    text NOT NULL DEFAULT '',
    -- A wallet that an import has put in another one's place waits for a second person, and for the tenant's cool-off. The
    -- trusted one is what was confirmed last, or came first: back there, nothing waits.
    unconfirmed  boolean NOT NULL DEFAULT false,
    trusted_phone text NOT NULL DEFAULT '',
    trusted_provider text NOT NULL DEFAULT '',
    destination_changed_at timestamptz,
    destination_changed_by text NOT NULL DEFAULT '',
    destination_confirmed_by text NOT NULL DEFAULT '',
    wallet_by    text NOT NULL DEFAULT '', -- who imported its number, and its name, last: neither of them confirms that they belong together
    name_by      text NOT NULL DEFAULT '',
    failures     integer NOT NULL DEFAULT 0, -- payee-scope failures in a row
    version      bigint NOT NULL DEFAULT 0,
    updated_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant, payee_id)
);

-- What of payees asks for people.
CREATE INDEX payees_attention ON payees (tenant, payee_id) WHERE state = 'paused' OR unconfirmed;

-- What providers say of wallets before anything is paid into them, where the tenants file asks for it (verify_recipients): a row for each
-- wallet that a payout was to go to. Names stay in payees; the digest tells whether it is still the one that was compared.
CREATE TABLE recipients (
    tenant       text NOT NULL,
    payee_id     text NOT NULL,
    provider     text NOT NULL,
    destination  text NOT NULL,
    name_digest  text NOT NULL,
    rule         text NOT NULL, -- of verify_recipients: an answer counts while that stands
    amount       bigint NOT NULL DEFAULT 0, -- what the provider is asked about
    currency     text NOT NULL DEFAULT '',
    state        text NOT NULL CHECK (state IN ('unverified', 'verified', 'mismatch', 'refused', 'confirmed')),
    code         text NOT NULL DEFAULT '', -- why it is a mismatch or refused
    confirmed_by text NOT NULL DEFAULT '',
    since        timestamptz NOT NULL, -- in this state
    checked_at   timestamptz,          -- the last answer
    covers       bigint,  -- while verified: the largest amount that the provider has said yes to; null: it was asked about none, and any goes
    refuses      bigint,  -- while verified: the smallest amount above it that it has said no to; null: none
    noes         integer NOT NULL DEFAULT 0, -- in a row, of one kind; the next question comes the later the more there are
    unanswered   integer NOT NULL DEFAULT 0, -- questions in a row without an answer
    next_at      timestamptz,          -- service clock: when it is asked about; null: not by itself
    lease_expires_at timestamptz,      -- database time: it is being asked about until then
    PRIMARY KEY (tenant, payee_id, provider, destination),
    FOREIGN KEY (tenant, payee_id) REFERENCES payees
);
CREATE INDEX recipients_due ON recipients (tenant, provider, next_at) WHERE next_at IS NOT NULL;

-- Amounts are minor units of the currency. net = gross - commission, computed once, when the payment is recorded.
CREATE TABLE payments (
    tenant         text NOT NULL,
    payment_id     text NOT NULL,
    payee_id       text NOT NULL,
    currency       text NOT NULL,
    gross          bigint NOT NULL CHECK (gross > 0),
    commission     bigint NOT NULL CHECK (commission >= 0),
    net            bigint NOT NULL CHECK (net >= 0),
    method         text NOT NULL,
    status         text NOT NULL CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'refunded')),
    completed_at   timestamptz,
    paid_reference text NOT NULL DEFAULT '', -- paid elsewhere, before or beside Agogo
    payout_id      uuid,                     -- the live claim, kept equal to payout_items
    -- Refunded while claimed or paid: a carry stands against it. Should its payout release it, payment and carry cancel:
    -- both are void while unclaimed, and if another payout has already taken the carry, the payment is owed back.
    carried        boolean NOT NULL DEFAULT false,
    recorded_at    timestamptz NOT NULL,
    -- Who imported it, first (and so its payee and its amount) or any step of it since, each once: none of them approves it.
    recorded_by    text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant, payment_id),
    FOREIGN KEY (tenant, payee_id) REFERENCES payees,
    CHECK (gross = commission + net),
    CHECK (status NOT IN ('completed', 'refunded') OR completed_at IS NOT NULL)
);
-- What a run may take. Its size is what is owed, not what was ever paid: the cost of a run does not grow with history.
CREATE INDEX payments_claimable ON payments (tenant, payee_id, completed_at)
    WHERE (status = 'completed' OR carried) AND payout_id IS NULL AND paid_reference = '';
-- What was completed in the last days, for the forecast of the float: it costs next to nothing to keep.
CREATE INDEX payments_completed ON payments USING brin (completed_at) WITH (autosummarize = on);
CREATE INDEX payments_listed ON payments (tenant, payee_id, payment_id);

-- A payment refunded while claimed or paid is taken off the payee's next payout. Amounts are positive: they are owed back.
CREATE TABLE carries (
    tenant      text NOT NULL,
    carry_id    text NOT NULL, -- "refund/<payment id>"
    payment_id  text NOT NULL,
    payee_id    text NOT NULL,
    currency    text NOT NULL,
    gross       bigint NOT NULL CHECK (gross > 0),
    commission  bigint NOT NULL,
    net         bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    payout_id   uuid,
    voided_at   timestamptz, -- its payment was released unpaid, so nothing is owed back
    PRIMARY KEY (tenant, carry_id),
    UNIQUE (tenant, payment_id)
);
CREATE INDEX carries_claimable ON carries (tenant, payee_id, occurred_at) WHERE payout_id IS NULL AND voided_at IS NULL;

-- Promise 1: an item is in at most one live payout. The unique index below is what keeps it, whatever else fails.
CREATE TABLE payout_items (
    payout_id   uuid NOT NULL,
    tenant      text NOT NULL,
    item_kind   text NOT NULL CHECK (item_kind IN ('payment', 'carry')),
    item_id     text NOT NULL,
    gross       bigint NOT NULL, -- negative for carries
    commission  bigint NOT NULL,
    net         bigint NOT NULL,
    released_at timestamptz,
    PRIMARY KEY (payout_id, item_kind, item_id)
);
CREATE UNIQUE INDEX payout_items_live ON payout_items (tenant, item_kind, item_id) WHERE released_at IS NULL;

CREATE TABLE batches (
    batch_id       uuid PRIMARY KEY,
    tenant         text NOT NULL,
    run_id         uuid NOT NULL REFERENCES runs,
    period_date    date NOT NULL,
    state          text NOT NULL,
    control        text NOT NULL DEFAULT 'open' CHECK (control IN ('open', 'paused', 'cancelled')),
    control_reason text NOT NULL DEFAULT '',
    currency       text NOT NULL,
    provider_faults integer NOT NULL DEFAULT 0, -- consecutive
    failures_seen  bigint NOT NULL DEFAULT 0, -- failed payouts that a person accepted by resuming
    -- Approvals that its sum needs and has, by people counted in approvals. Set when its planning ends.
    approvals_needed integer NOT NULL DEFAULT 0,
    approvals      integer NOT NULL DEFAULT 0,
    approval_expires_at timestamptz, -- while it waits for them
    version        bigint NOT NULL DEFAULT 0,
    created_at     timestamptz NOT NULL,
    UNIQUE (run_id)
);
CREATE INDEX batches_open ON batches (batch_id) WHERE state IN ('created', 'approved', 'partially_completed');
CREATE INDEX batches_awaiting ON batches (approval_expires_at) WHERE state = 'awaiting_approval';
CREATE INDEX batches_cancelled ON batches (run_id) WHERE control = 'cancelled';
CREATE INDEX batches_listed ON batches (tenant, period_date DESC, batch_id);

CREATE TABLE payouts (
    payout_id     uuid PRIMARY KEY, -- UUIDv5 of (tenant, payee, period date, kind, seq)
    tenant        text NOT NULL,
    payee_id      text NOT NULL,
    run_id        uuid NOT NULL, -- the batch's
    batch_id      uuid NOT NULL, -- of batches: its run's first page writes it, in the same transaction or an earlier one, so no key looks for it with every row
    page          integer NOT NULL,
    period_date   date NOT NULL,
    kind          text NOT NULL, -- the job
    seq           integer NOT NULL,
    state         text NOT NULL CHECK (state IN ('created', 'skipped', 'awaiting_approval', 'approved', 'rejected', 'held',
                      'submitting', 'processing', 'unknown', 'manual_review', 'succeeded', 'failed', 'reversed', 'cancelled')),
    reason_class  text NOT NULL DEFAULT '',
    reason_scope  text NOT NULL DEFAULT '',
    reason_code   text NOT NULL DEFAULT '',
    provider_code text NOT NULL DEFAULT '',
    currency      text NOT NULL,
    gross         bigint NOT NULL,
    commission    bigint NOT NULL,
    net           bigint NOT NULL,
    fee           bigint,
    item_count    integer NOT NULL,
    provider      text NOT NULL,
    by_default    boolean NOT NULL DEFAULT false, -- its payee named no provider: it keeps the one that was the tenant's default then
    destination   text NOT NULL, -- as it was when planned
    attempt       integer NOT NULL DEFAULT 0,  -- number of the newest attempt
    counted       integer NOT NULL DEFAULT 0,  -- attempts that count toward max_attempts
    reference     text NOT NULL DEFAULT '',    -- of the newest attempt
    retry_at      timestamptz,                 -- failed: when it is approved again; approved, held: not before
    cap_date      date,                        -- the local date against whose daily caps it counts
    -- The provider says of a closed attempt that it was paid, or may be yet, or moved something else: nothing sends this
    -- payout or frees its items until the books are corrected.
    contradicted  boolean NOT NULL DEFAULT false,
    held_for      text NOT NULL DEFAULT '', -- what held it when it was taken over after a restore: it is held for it again before another try
    -- Approvals that it needs, by what its payee got in the run when it was planned, and those that it has, counted in
    -- approvals. It keeps them: what was approved once and failed is not approved again.
    approvals_needed integer NOT NULL DEFAULT 0,
    approvals     integer NOT NULL DEFAULT 0,
    approval_expires_at timestamptz, -- while it waits for them
    nominal_time  timestamptz NOT NULL,
    version       bigint NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    -- The state as indexes know it, and nothing while the payout is sent, paid or skipped: see below.
    indexed_state text GENERATED ALWAYS AS (CASE WHEN state IN ('submitting', 'succeeded', 'skipped') THEN NULL
                      WHEN state = 'failed' AND retry_at IS NOT NULL THEN 'retrying' ELSE state END) STORED,
    UNIQUE (tenant, payee_id, period_date, kind, seq),
    CHECK (gross = commission + net)
) WITH (fillfactor = 60);
-- A change of what any index names, be it in a condition, writes the row's entries anew in all of them. So none of these names the
-- state: from submitting to succeeded, which is what becomes of nearly all payouts, indexed_state stays NULL, and the row is written into
-- the room that its page has left and into no index. What is under way is found by its attempt. A batch is what one run made: what is
-- asked by batch is found by run.
-- Work that is waiting, or was given up: small however many payouts are paid.
CREATE INDEX payouts_by_state ON payouts (indexed_state, run_id, page, payout_id) WHERE indexed_state IS NOT NULL;
CREATE INDEX payouts_held ON payouts (tenant, provider, created_at, payout_id) WHERE indexed_state = 'held';
CREATE INDEX payouts_unverified ON payouts (tenant, payee_id) WHERE indexed_state = 'held';
CREATE INDEX payouts_awaiting ON payouts (approval_expires_at, payout_id) WHERE indexed_state = 'awaiting_approval';
CREATE INDEX payouts_resting ON payouts (run_id, page, payout_id) WHERE indexed_state IN ('held', 'awaiting_approval'); -- in the order of payouts_by_state: what of a run was not sent
CREATE INDEX payouts_waiting ON payouts (batch_id, payout_id) WHERE indexed_state = 'awaiting_approval';
CREATE INDEX payouts_retry ON payouts (retry_at) WHERE indexed_state = 'retrying';
CREATE INDEX payouts_by_run ON payouts (run_id, payee_id, seq);
CREATE INDEX payouts_capped ON payouts (tenant, cap_date, payee_id) WHERE cap_date IS NOT NULL;
CREATE INDEX payouts_listed ON payouts (tenant, period_date DESC, payout_id);

-- What people said about a payout or a batch that needs approval. The key keeps each person to one word: who asked for it
-- cannot approve it, and nobody approves twice.
CREATE TABLE approvals (
    subject_id uuid NOT NULL, -- the payout or the batch
    actor      text NOT NULL,
    word       text NOT NULL CHECK (word IN ('asked', 'approved', 'rejected')),
    reason     text NOT NULL DEFAULT '',
    net        bigint NOT NULL, -- of what was spoken about
    said_at    timestamptz NOT NULL,
    PRIMARY KEY (subject_id, actor)
);

-- What providers said of balances. The newest of each is in provider_states, with what is drawn on it.
CREATE TABLE float_readings (
    tenant      text NOT NULL,
    provider    text NOT NULL,
    read_at     timestamptz NOT NULL, -- when it was asked for
    balance     bigint NOT NULL,
    currency    text NOT NULL,
    outstanding bigint NOT NULL,      -- sends under way or in doubt at that time: taken from it already, or not
    PRIMARY KEY (tenant, provider, read_at)
);
CREATE INDEX float_readings_old ON float_readings (read_at);

CREATE TABLE breaks (
    tenant          text NOT NULL,
    payee_id        text NOT NULL,
    local_date      date NOT NULL,      -- the day that total_seconds counts
    total_seconds   bigint NOT NULL DEFAULT 0,
    open_since      timestamptz,
    last_reset_date date,
    version         bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, payee_id)
);

-- A payout's attempt has no more than this many right before it that were refused and left nothing at the provider: a look for what a restore has
-- lost comes to all of them, and to the one behind them. The last one goes again under its own reference.
ALTER TABLE attempts ADD CONSTRAINT attempts_behind_bounded CHECK (behind <= 4);
