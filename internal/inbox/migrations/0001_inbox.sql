-- +goose Up

CREATE TABLE inbox (
    consumer    text NOT NULL,
    msg_id      text NOT NULL,
    -- Database time on purpose: it is only compared with itself, by the purge.
    accepted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, msg_id)
);
CREATE INDEX inbox_age ON inbox (accepted_at);
