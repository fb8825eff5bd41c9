-- +goose Up

-- Each restore from a backup that people have told of. The highest epoch is the present one; before the first it is 0.
CREATE TABLE restore_marks (
    epoch         integer PRIMARY KEY CHECK (epoch > 0),
    marked_at     timestamptz NOT NULL, -- service clock: nothing was sent after it that these tables do not know
    sent_since    timestamptz,          -- and what they do not know was sent after this; null: nobody can tell
    careful_until date NOT NULL,        -- what was sent before the mark is of this day or an earlier one
    reason        text NOT NULL,
    actor         text NOT NULL
);

-- What was published after the backup was taken and may have paid. Until these tables hold the same again, nothing else is sent to
-- the same owner.
CREATE TABLE restore_lost (
    subject_id  uuid PRIMARY KEY,
    tenant      text NOT NULL,
    owner_id    text NOT NULL, -- the payee
    provider    text NOT NULL,
    amount      bigint NOT NULL,
    state       text NOT NULL, -- as it was told last
    epoch       integer NOT NULL,
    version     bigint NOT NULL,
    passed_at   timestamptz,   -- a person has looked into it for something else of the owner's, and it holds nothing else any more
    passed_by   text NOT NULL DEFAULT '',
    settled_at  timestamptz,   -- a person has said of the subject itself that it was not paid through another provider; passed_at is set with it
    settled_by  text NOT NULL DEFAULT ''
);
CREATE INDEX restore_lost_owner ON restore_lost (tenant, owner_id) WHERE settled_at IS NULL;
