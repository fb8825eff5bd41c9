-- +goose Up

-- Push tokens. A token is an address, not a name: it is stored because nothing can be sent without it, and it appears in
-- no event, log or answer. The device id follows from tenant and token.
CREATE TABLE devices (
    device_id      uuid PRIMARY KEY,
    tenant         text NOT NULL,
    user_id        text NOT NULL, -- a payee's id, or 'operators'
    token          text NOT NULL,
    platform       text NOT NULL CHECK (platform IN ('android', 'ios', 'web')),
    locale         text NOT NULL, -- '' means the tenant's
    state          text NOT NULL CHECK (state IN ('registered', 'removed')),
    removed_reason text NOT NULL DEFAULT '',
    version        bigint NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    UNIQUE (tenant, token)
);
CREATE INDEX devices_by_user ON devices (tenant, user_id, device_id);

-- What was told to whom: one row per recipient and cause, whatever is redelivered or replayed. The id is computed from
-- them, and push and events carry it too. The row is the message: pushes only point at it.
CREATE TABLE notifications (
    id             uuid PRIMARY KEY,
    tenant         text NOT NULL,
    recipient_kind text NOT NULL CHECK (recipient_kind IN ('payee', 'customer', 'seller', 'operator')),
    recipient_id   text NOT NULL,
    kind           text NOT NULL,            -- event type
    subject_id     text NOT NULL,
    subject_order  bigint NOT NULL,          -- epoch and version of the subject: later knows more; 0: an alert
    locale         text NOT NULL,
    title          text NOT NULL,
    body           text NOT NULL,
    data           jsonb NOT NULL,           -- string to string, sent along with the push
    state          text NOT NULL CHECK (state IN ('created', 'delivered', 'suppressed', 'failed')),
    reason         text NOT NULL DEFAULT '',
    pushes         integer NOT NULL,
    correlation    text NOT NULL,
    version        bigint NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL
);
CREATE INDEX notifications_listed ON notifications (tenant, created_at DESC, id DESC);
CREATE INDEX notifications_by_recipient ON notifications (tenant, recipient_id, created_at DESC, id DESC);
CREATE INDEX notifications_by_subject ON notifications (tenant, subject_id, created_at DESC, id DESC);

-- The queue of pushes, one per notification and device. A worker takes pending rows by a lease, sends outside any
-- transaction, and records what became of them.
CREATE TABLE pushes (
    notification_id uuid NOT NULL REFERENCES notifications,
    device_id       uuid NOT NULL REFERENCES devices,
    -- failed: refused, or too old; dropped: not sent on purpose (device gone or taken over, overtaken by newer word)
    state           text NOT NULL CHECK (state IN ('pending', 'sent', 'failed', 'dropped')),
    code            text NOT NULL DEFAULT '', -- the service's last word
    tries           integer NOT NULL DEFAULT 0,
    next_try_at     timestamptz NOT NULL,
    lease           uuid,
    leased_until    timestamptz, -- database time
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    PRIMARY KEY (notification_id, device_id)
);
-- Its size is what waits, not what was ever sent.
CREATE INDEX pushes_due ON pushes (next_try_at) WHERE state = 'pending';

-- One open alert per tenant, kind and scope (run, day, connector), with a count: a storm of causes is not a storm of
-- messages.
CREATE TABLE alerts (
    tenant       text NOT NULL,
    kind         text NOT NULL,
    scope        text NOT NULL,
    generation   bigint NOT NULL DEFAULT 0,
    open         bigint NOT NULL DEFAULT 0,
    total        bigint NOT NULL DEFAULT 0,
    told         bigint NOT NULL DEFAULT 0,
    minor        bigint NOT NULL DEFAULT 0,
    currency     text NOT NULL DEFAULT '',
    last_order   bigint NOT NULL DEFAULT 0,
    opened_at    timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant, kind, scope)
);
