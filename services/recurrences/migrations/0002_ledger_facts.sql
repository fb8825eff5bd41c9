-- +goose Up

-- What two people decided about money in suspense: whose it is. The second gives the first one's words; until then nothing is posted.
CREATE TABLE suspense_decisions (
    decision_id uuid PRIMARY KEY, -- UUIDv5 of (tenant, gateway, charge, attempt, number)
    tenant      text NOT NULL,
    provider    text NOT NULL,
    recon_id    uuid NOT NULL, -- the finding that was named
    subject_id  uuid NOT NULL, -- the charge: what is in suspense is counted by it and its attempt
    attempt     integer NOT NULL,
    reference   text NOT NULL,
    number      integer NOT NULL,
    currency    text NOT NULL,
    amount      bigint NOT NULL CHECK (amount <> 0), -- out of suspense: to the account's debit; negative: to its credit
    account     text COLLATE "C" NOT NULL,
    reason      text NOT NULL,
    evidence    text NOT NULL,
    proposed_by text NOT NULL,
    proposed_at timestamptz NOT NULL,
    agreed_by   text NOT NULL DEFAULT '' CHECK (agreed_by <> proposed_by),
    agreed_at   timestamptz,
    UNIQUE (subject_id, attempt, tenant, provider, number)
);
CREATE INDEX suspense_decisions_of_finding ON suspense_decisions (recon_id);
CREATE INDEX charges_refunded_beyond ON charges (tenant, charge_id) WHERE refunded > amount;

-- What the books are recomputed from (internal/ledger): what an attempt, a charge or a finding is to have moved on an account,
-- debits positive. A charge that is under way, in doubt or declined moves nothing.
CREATE OR REPLACE VIEW ledger_facts AS
SELECT f.tenant, f.account COLLATE "C" AS account, f.currency, f.amount FROM (
    SELECT c.tenant, 'seller_payable:' || c.seller_id AS account, c.currency, -c.amount AS amount FROM charges c WHERE c.state = 'succeeded'
    UNION ALL
    SELECT a.tenant, 'gateway_receivable:' || a.provider, a.currency, a.amount FROM attempts a WHERE a.state = 'succeeded'
    UNION ALL
    SELECT a.tenant, 'gateway_receivable:' || a.provider, a.currency, -a.fee FROM attempts a WHERE a.state = 'succeeded' AND a.fee > 0
    UNION ALL
    SELECT a.tenant, 'fees', a.currency, a.fee FROM attempts a WHERE a.state = 'succeeded' AND a.fee > 0
    UNION ALL
    -- What was taken back of a charge, by whoever bears it: the seller what is refunded or lost, chargebacks what is disputed and not
    -- decided, suspense what was refunded beyond the charge. The gateway takes the same money once.
    SELECT c.tenant, b.account, c.currency, b.amount FROM charges c CROSS JOIN LATERAL (VALUES
        ('gateway_receivable:' || c.gateway, -LEAST(c.amount, c.refunded + c.disputed) - GREATEST(0, c.refunded - c.amount)),
        ('seller_payable:' || c.seller_id, LEAST(c.amount, c.refunded + c.charged_back)),
        ('chargebacks', LEAST(c.amount, c.refunded + c.disputed) - LEAST(c.amount, c.refunded + c.charged_back)),
        ('suspense', GREATEST(0, c.refunded - c.amount))) b(account, amount)
    WHERE c.state = 'succeeded' AND (c.refunded > 0 OR c.disputed > 0)
    UNION ALL
    -- What the gateway took more than we know of is what it owes us more, until somebody has explained it.
    SELECT d.tenant, s.account, d.currency, CASE s.account WHEN 'suspense' THEN -d.difference ELSE d.difference END
    FROM (SELECT DISTINCT ON (r.tenant, r.subject_id, r.attempt, sign(r.difference), r.code LIKE 'another_amount%') r.tenant, r.provider, r.currency, r.difference
          FROM recon_findings r WHERE r.difference <> 0) d
    CROSS JOIN LATERAL (VALUES ('suspense'), ('gateway_receivable:' || d.provider)) s(account)
    UNION ALL
    SELECT h.tenant, s.account, h.currency, CASE s.account WHEN 'suspense' THEN -h.amount ELSE h.amount END
    FROM suspense_decisions h CROSS JOIN LATERAL (VALUES ('suspense'), (h.account)) s(account) WHERE h.agreed_by <> ''
) f;

-- What is in suspense, debits positive, by the attempt that it is about: what lookups found in each direction is one movement; what was refunded
-- beyond the charge; and what people have taken out. The sum over an attempt is what is there.
CREATE VIEW suspense_groups AS
SELECT l.tenant, l.provider, l.subject_id, l.attempt, l.currency, -l.difference AS amount
FROM (SELECT DISTINCT ON (r.tenant, r.subject_id, r.attempt, sign(r.difference), r.code LIKE 'another_amount%') r.tenant, r.provider, r.subject_id, r.attempt, r.currency, r.difference
      FROM recon_findings r WHERE r.difference <> 0) l
UNION ALL
SELECT c.tenant, c.gateway, c.charge_id, a.number, c.currency, c.refunded - c.amount
FROM charges c JOIN attempts a ON a.subject_id = c.charge_id AND a.state = 'succeeded' WHERE c.state = 'succeeded' AND c.refunded > c.amount
UNION ALL
SELECT h.tenant, h.provider, h.subject_id, h.attempt, h.currency, -h.amount FROM suspense_decisions h WHERE h.agreed_by <> '';
