-- +goose Up

-- One row is one double entry: amount is debited to one account and credited to another, so the books cannot lean.
-- Accounts sort by bytes, whatever the database's language, for pages go on behind an account's name.
CREATE TABLE ledger_postings (
    posting_id  bigint GENERATED ALWAYS AS IDENTITY,
    tenant      text NOT NULL,
    kind        text NOT NULL,
    ref         text NOT NULL,
    leg         integer NOT NULL,
    debit       text COLLATE "C" NOT NULL,
    credit      text COLLATE "C" NOT NULL,
    currency    text NOT NULL,
    amount      bigint NOT NULL CHECK (amount > 0),
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, posting_id), -- the number alone is unique; in this order it is also the index of a tenant's book
    UNIQUE (tenant, ref, kind, leg), -- in this order also the index of what was posted about a payment or an attempt
    CHECK (debit <> credit)
);
-- Balances are sums over one of these two, read from the index alone.
CREATE INDEX ledger_postings_debit ON ledger_postings (tenant, debit, posting_id) INCLUDE (currency, amount);
CREATE INDEX ledger_postings_credit ON ledger_postings (tenant, credit, posting_id) INCLUDE (currency, amount);

-- Also how Post learns that a repeated posting differs from the one there is: its ON CONFLICT tries to update it then.
-- +goose StatementBegin
CREATE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'posting %/% leg % exists with another amount or other accounts', OLD.kind, OLD.ref, OLD.leg
            USING ERRCODE = 'LG001';
    END IF;
    RAISE EXCEPTION 'the ledger is append-only: undo a posting by a posting' USING ERRCODE = 'LG002';
END $$;
-- +goose StatementEnd
CREATE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE ON ledger_postings FOR EACH ROW EXECUTE FUNCTION ledger_append_only();
CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON ledger_postings FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only();

-- What the books are recomputed from: a line for each amount that something is to have moved on an account, debits positive.
-- Nothing is to have moved anything until the service that keeps these books replaces the view with what its own tables say.
CREATE VIEW ledger_facts AS
SELECT p.tenant, p.debit AS account, p.currency, p.amount FROM ledger_postings p WHERE false;
