-- +goose Up

-- Raw bodies hold personal data: they stay in this table only, and for 30 days. A row is written once: what is to be done about
-- it stands in the queue, for changing a row would write its body and all its index entries again.
CREATE TABLE webhooks (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant      text NOT NULL,
    provider    text NOT NULL,
    digest      bytea NOT NULL, -- SHA-256 of the body: the same bytes again at once are the same news
    body        bytea NOT NULL,
    refs        text[] NOT NULL,
    unmatched   boolean NOT NULL DEFAULT false, -- given up: nothing here has its references
    received_at timestamptz NOT NULL,
    before_at   timestamptz, -- when the same bytes came the time before
    UNIQUE (tenant, provider, digest)
);
-- They come in the order of their age, so where a page begins and ends is all that need be known.
CREATE INDEX webhooks_old ON webhooks USING brin (received_at) WITH (pages_per_range = 16, autosummarize = on);

-- What is to be matched, and when. Its size is what waits.
CREATE TABLE webhook_queue (
    webhook_id  bigint PRIMARY KEY, -- of webhooks; what is forgotten there is forgotten here
    next_try_at timestamptz NOT NULL,
    waits_for   text[] -- what nothing here had of its references when it was tried last; null: not tried yet, or all was known
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX webhook_queue_due ON webhook_queue (next_try_at, webhook_id);
-- Nearly all are matched at their first try and never come in here.
CREATE INDEX webhook_queue_waiting ON webhook_queue USING gin (waits_for) WITH (fastupdate = off) WHERE waits_for IS NOT NULL;

-- What providers said, after a restore, of the ids by which their webhooks name transfers that nothing here knows.
CREATE TABLE webhook_names (
    tenant      text NOT NULL,
    provider    text NOT NULL,
    id          text NOT NULL, -- the provider's, of a transfer
    reference   text,          -- what it is there, mostly ours; null: not told yet
    missed      boolean NOT NULL DEFAULT false, -- it was asked and did not tell
    asked_at    timestamptz NOT NULL,
    next_ask_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, provider, id)
);
CREATE INDEX webhook_names_told ON webhook_names (tenant, provider, reference) WHERE reference IS NOT NULL;
CREATE INDEX webhook_names_untold ON webhook_names (tenant, provider) WHERE reference IS NULL;
CREATE INDEX webhook_names_old ON webhook_names (asked_at);

-- For people: what became of each.
CREATE VIEW webhook_states AS
SELECT w.id, w.tenant, w.provider, w.refs, w.received_at, q.next_try_at,
       CASE WHEN q.webhook_id IS NOT NULL THEN 'received' WHEN w.unmatched THEN 'unmatched' ELSE 'matched' END AS state
FROM webhooks w LEFT JOIN webhook_queue q ON q.webhook_id = w.id;
