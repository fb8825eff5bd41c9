-- +goose Up

CREATE TABLE runs (
    run_id       uuid PRIMARY KEY,
    tick_id      text NOT NULL UNIQUE,
    tenant       text NOT NULL,
    schedule     text NOT NULL,
    job          text NOT NULL,
    nominal_time timestamptz NOT NULL,
    local_date   date NOT NULL,
    window_start timestamptz NOT NULL,
    window_end   timestamptz NOT NULL,
    timezone     text NOT NULL,
    trigger      text NOT NULL,
    requester    text NOT NULL DEFAULT '', -- who asked for it by hand; '' when the schedule did
    correlation  text NOT NULL DEFAULT '',
    causation    text NOT NULL DEFAULT '',
    state        text NOT NULL CHECK (state IN ('queued', 'running', 'completed', 'failed')),
    reason       text NOT NULL DEFAULT '',
    cursor       text NOT NULL DEFAULT '', -- where planning goes on: the last id of the last page
    page         integer NOT NULL DEFAULT 0, -- the next page to plan
    planned      boolean NOT NULL DEFAULT false,
    done         bigint NOT NULL DEFAULT 0, -- what a job without items of its own did: questions asked, breaks reset
    version      bigint NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL,
    started_at   timestamptz,
    moved_at     timestamptz, -- last planned page: the sweeper wakes runs that stand still
    finished_at  timestamptz
);
CREATE INDEX runs_serial ON runs (tenant, schedule, nominal_time) WHERE state IN ('queued', 'running');
-- Runs of one schedule follow each other: this refuses a second one, whatever raced to start it.
CREATE UNIQUE INDEX runs_one_at_a_time ON runs (tenant, schedule) WHERE state = 'running';
CREATE INDEX runs_listed ON runs (tenant, nominal_time DESC, run_id);
