-- +goose Up

-- A schedule and how far it has been followed. Rows are never deleted: a name that comes back goes on with its version.
CREATE TABLE schedules (
    tenant          text NOT NULL,
    service         text NOT NULL, -- that runs the job
    name            text NOT NULL,
    job             text NOT NULL,
    cron            text NOT NULL,
    timezone        text NOT NULL,
    catch_up        text NOT NULL CHECK (catch_up IN ('all', 'latest', 'skip')),
    catch_up_window bigint NOT NULL, -- nanoseconds, 0: no limit
    catch_up_cap    integer NOT NULL,
    state           text NOT NULL CHECK (state IN ('active', 'paused', 'deleted')),
    pause_reason    text NOT NULL DEFAULT '',
    cursor_at       timestamptz NOT NULL, -- nominal times up to it are settled; never goes back
    next_time       timestamptz,          -- the nominal time after the cursor; null when there is none
    last_tick_id    text NOT NULL DEFAULT '', -- the newest that fired
    version         bigint NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    PRIMARY KEY (tenant, service, name),
    CHECK (pause_reason = '' OR state = 'paused')
);
CREATE INDEX schedules_due ON schedules (next_time) WHERE state <> 'deleted';

-- What became of every nominal time that fell due, and of every time that a person asked for. The primary key is the
-- guarantee that a tick fires once; leases and locks only save work.
CREATE TABLE ticks (
    tick_id      text PRIMARY KEY,
    tenant       text NOT NULL,
    service      text NOT NULL,
    schedule     text NOT NULL,
    job          text NOT NULL,
    nominal_time timestamptz NOT NULL,
    local_date   text NOT NULL,
    window_start timestamptz NOT NULL,
    timezone     text NOT NULL,
    trigger      text NOT NULL,
    state        text NOT NULL CHECK (state IN ('fired', 'missed', 'skipped')),
    reason       text NOT NULL DEFAULT '',
    request_id   text NOT NULL DEFAULT '',
    version      bigint NOT NULL DEFAULT 1,
    settled_at   timestamptz NOT NULL, -- when it was first decided about
    fired_at     timestamptz,
    FOREIGN KEY (tenant, service, schedule) REFERENCES schedules,
    CHECK ((state = 'fired') = (fired_at IS NOT NULL))
);
CREATE INDEX ticks_by_tenant ON ticks (tenant, nominal_time DESC, tick_id DESC);
CREATE INDEX ticks_by_schedule ON ticks (tenant, service, schedule, nominal_time DESC, tick_id DESC);

-- What the services report about the runs of ticks. A report is applied when it is newer than the last one: a higher epoch,
-- or the same epoch and a higher version. There is no foreign key: a report may outlive the tick's row in a restored backup.
CREATE TABLE runs (
    tick_id       text PRIMARY KEY,
    run_id        text NOT NULL UNIQUE,
    tenant        text NOT NULL,
    service       text NOT NULL,
    schedule      text NOT NULL,
    job           text NOT NULL,
    nominal_time  timestamptz NOT NULL,
    local_date    text NOT NULL,
    state         text NOT NULL,
    reason        text NOT NULL DEFAULT '',
    counts        jsonb NOT NULL,
    totals        jsonb NOT NULL,
    epoch         integer NOT NULL,
    agg_version   bigint NOT NULL,
    updated_at    timestamptz NOT NULL
);

-- Who wakes. Times are the database's.
CREATE TABLE leases (
    name       text PRIMARY KEY,
    leader_id  text NOT NULL,
    term       bigint NOT NULL,
    expires_at timestamptz NOT NULL
);
