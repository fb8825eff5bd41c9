-- +goose Up

-- Database time orders nothing here and reaches no message: it only decides which partition a row lies in, how long it is
-- kept and how old the oldest unpublished one is. seq decides the order.
CREATE SEQUENCE outbox_seq;

-- A row is a parcel: what one transaction tells one stream, message by message in its arrays. Rows are what Postgres charges
-- for, so a page of payouts costs as many as it has streams, not as it has events.
CREATE TABLE outbox_parcels (
    seq        bigint NOT NULL DEFAULT nextval('outbox_seq'),
    created_at timestamptz NOT NULL DEFAULT now(),
    part       smallint NOT NULL, -- fnv-1a of the group of its keys, modulo the number of leases
    stream     text NOT NULL,
    messages   integer NOT NULL, -- how many; the arrays are in their order
    common     text NOT NULL,    -- headers that all of them have, "name:value" on a line each
    keys       text[] NOT NULL,
    msg_ids    text[] NOT NULL,
    subjects   text[] NOT NULL,
    headers    text[] NOT NULL,  -- those of its own
    payloads   bytea[] NOT NULL,
    waits      boolean NOT NULL DEFAULT true,
    waiting    integer[],        -- places (from 1) that wait while others of the parcel are published; NULL: all of them, or none
    marked_at  timestamptz,      -- when the stream's last acknowledgement was noted
    PRIMARY KEY (seq, created_at),
    CHECK (waits OR waiting IS NULL)
) PARTITION BY RANGE (created_at);
-- Messages of one transaction are much alike. LZ4 makes a third of them, for less than it costs to write the rest and its log;
-- Postgres's own method costs more than that, so where the server has no LZ4 they are stored as they are.
-- +goose StatementBegin
DO $$
DECLARE
    col text;
BEGIN
    FOREACH col IN ARRAY ARRAY['keys', 'msg_ids', 'subjects', 'headers', 'payloads'] LOOP
        BEGIN
            EXECUTE format('ALTER TABLE outbox_parcels ALTER %I SET STORAGE EXTENDED, ALTER %I SET COMPRESSION lz4', col, col);
        EXCEPTION WHEN feature_not_supported THEN
            EXECUTE format('ALTER TABLE outbox_parcels ALTER %I SET STORAGE EXTERNAL', col);
        END;
    END LOOP;
END $$;
-- +goose StatementEnd

-- What waits, however much was published: its size is the backlog.
CREATE INDEX outbox_waiting ON outbox_parcels (stream, seq) WHERE waits;

-- The net: takes rows of days that nobody made a partition for. outbox_add_partition moves them where they belong.
CREATE TABLE outbox_default PARTITION OF outbox_parcels DEFAULT;

-- +goose StatementBegin
CREATE FUNCTION outbox_headers(lines text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_object_agg(split_part(l, ':', 1), substr(l, strpos(l, ':') + 1)), '{}')
    FROM unnest(string_to_array(lines, E'\n')) AS l WHERE l <> ''
$$;
-- +goose StatementEnd

-- For people: the messages one by one.
CREATE VIEW outbox AS
SELECT p.seq * 1000 + m.place AS seq, p.created_at, p.part, p.stream, m.key, m.msg_id, m.subject,
       outbox_headers(p.common || m.headers) AS headers, m.payload,
       CASE WHEN p.waits AND (p.waiting IS NULL OR m.place = ANY(p.waiting)) THEN NULL ELSE p.marked_at END AS published_at
FROM outbox_parcels p
CROSS JOIN LATERAL unnest(p.keys, p.msg_ids, p.subjects, p.headers, p.payloads)
    WITH ORDINALITY AS m (key, msg_id, subject, headers, payload, place);

-- The highest seq among what was dropped. With what the table holds it says which messages these tables have ever committed: a stream
-- that has a higher one has seen more than they have.
CREATE TABLE outbox_dropped (
    seq bigint NOT NULL
);
INSERT INTO outbox_dropped VALUES (0);

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
    EXECUTE format('CREATE TABLE %I (LIKE outbox_parcels INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING COMPRESSION)
        WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)', name);
    -- Writers wait here, before they look for the partition of their row. One that had chosen the net already would fail when
    -- the net ceases to be the place for that row.
    LOCK TABLE outbox_parcels IN SHARE ROW EXCLUSIVE MODE;
    EXECUTE format('WITH moved AS (DELETE FROM outbox_default WHERE created_at >= %L AND created_at < %L RETURNING *)
        INSERT INTO %I SELECT * FROM moved', low, high, name);
    EXECUTE format('ALTER TABLE outbox_parcels ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, low, high);
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
        WHERE i.inhparent = 'outbox_parcels'::regclass AND c.relname ~ '^outbox_\d{8}$'
          AND (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC' <= before
        ORDER BY c.relname
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE waits)', name) INTO waiting;
        CONTINUE WHEN waiting;
        LOCK TABLE outbox_parcels IN ACCESS EXCLUSIVE MODE;
        -- A replay may have come in between.
        EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE waits)', name) INTO waiting;
        CONTINUE WHEN waiting;
        EXECUTE format('UPDATE outbox_dropped d SET seq = greatest(d.seq, (SELECT coalesce(max(o.seq), 0) FROM %I o))', name);
        EXECUTE format('DROP TABLE %I', name);
        dropped := dropped + 1;
    END LOOP;
    -- In one statement: a row that is marked while it runs is neither deleted nor forgotten.
    WITH gone AS (DELETE FROM outbox_default WHERE NOT waits AND created_at < before RETURNING seq)
    UPDATE outbox_dropped d SET seq = g.seq FROM (SELECT max(seq) AS seq FROM gone) g WHERE g.seq > d.seq;
    RETURN dropped;
END $$;
-- +goose StatementEnd

-- The first days. The relay's upkeep goes on from here.
SELECT outbox_add_partition((now() AT TIME ZONE 'UTC')::date + ahead) FROM generate_series(0, 3) AS ahead;
