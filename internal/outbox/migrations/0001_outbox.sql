-- +goose Up

-- Database time orders nothing here and reaches no message: it only decides which partition a row lies in, how long it is
-- kept and how old the oldest unpublished one is. seq decides the order.
CREATE SEQUENCE outbox_seq;

CREATE TABLE outbox (
    seq          bigint NOT NULL DEFAULT nextval('outbox_seq'),
    created_at   timestamptz NOT NULL DEFAULT now(),
    part         smallint NOT NULL, -- fnv-1a of key, modulo the number of leases
    stream       text NOT NULL,
    key          text NOT NULL,
    msg_id       text NOT NULL,
    subject      text NOT NULL,
    headers      jsonb NOT NULL,
    payload      bytea NOT NULL,
    published_at timestamptz,
    PRIMARY KEY (seq, created_at)
) PARTITION BY RANGE (created_at);

-- What waits, however much was published: its size is the backlog.
CREATE INDEX outbox_waiting ON outbox (stream, seq) WHERE published_at IS NULL;

-- The net: takes rows of days that nobody made a partition for. outbox_add_partition moves them where they belong.
CREATE TABLE outbox_default PARTITION OF outbox DEFAULT;

-- One owner at a time per part. The term rises with every change of owner and fences the old one's renewals.
CREATE TABLE outbox_leases (
    part       smallint PRIMARY KEY,
    owner      text NOT NULL DEFAULT '',
    term       bigint NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO outbox_leases (part) SELECT generate_series(0, 15);

-- Who is there to share the parts with.
CREATE TABLE outbox_relays (
    owner      text PRIMARY KEY,
    expires_at timestamptz NOT NULL
);

-- outbox_add_partition makes the partition of one day (UTC) unless it is there.
-- +goose StatementBegin
CREATE FUNCTION outbox_add_partition(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text := 'outbox_' || to_char(day, 'YYYYMMDD');
    low  timestamptz := day::timestamp AT TIME ZONE 'UTC';
    high timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass(name) IS NOT NULL THEN
        RETURN;
    END IF;
    -- A published row leaves the index of waiting ones; without an early vacuum its dead entries slow every poll.
    EXECUTE format('CREATE TABLE %I (LIKE outbox INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
        WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000)', name);
    -- Writers wait here, before they look for the partition of their row. One that had chosen the net already would fail when
    -- the net ceases to be the place for that row.
    LOCK TABLE outbox IN SHARE ROW EXCLUSIVE MODE;
    EXECUTE format('WITH moved AS (DELETE FROM outbox_default WHERE created_at >= %L AND created_at < %L RETURNING *)
        INSERT INTO %I SELECT * FROM moved', low, high, name);
    EXECUTE format('ALTER TABLE outbox ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, low, high);
END $$;
-- +goose StatementEnd

-- outbox_drop_partitions drops the partitions of days that ended before the time given and hold nothing unpublished, and
-- returns how many those were. A day with an unpublished row stays, however old.
-- +goose StatementBegin
CREATE FUNCTION outbox_drop_partitions(before timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    name    text;
    waiting boolean;
    dropped integer := 0;
BEGIN
    FOR name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'outbox'::regclass AND c.relname ~ '^outbox_\d{8}$'
          AND (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC' <= before
        ORDER BY c.relname
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE published_at IS NULL)', name) INTO waiting;
        CONTINUE WHEN waiting;
        LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE;
        -- A replay may have come in between.
        EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE published_at IS NULL)', name) INTO waiting;
        CONTINUE WHEN waiting;
        EXECUTE format('DROP TABLE %I', name);
        dropped := dropped + 1;
    END LOOP;
    DELETE FROM outbox_default WHERE published_at IS NOT NULL AND created_at < before;
    RETURN dropped;
END $$;
-- +goose StatementEnd

-- The first days. The relay's upkeep goes on from here.
SELECT outbox_add_partition((now() AT TIME ZONE 'UTC')::date + ahead) FROM generate_series(0, 3) AS ahead;
