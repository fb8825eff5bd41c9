-- +goose Up

-- What two people decided about money in suspense: whose it is. The second gives the first one's words; until then nothing is posted.
CREATE TABLE suspense_decisions (
    decision_id uuid PRIMARY KEY, -- UUIDv5 of (tenant, provider, subject, attempt, number)
    tenant      text NOT NULL,
    provider    text NOT NULL,
    recon_id    uuid NOT NULL, -- the finding that was named
    subject_id  uuid NOT NULL, -- of the finding, as attempt and reference: what is in suspense is counted by them
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
    close_id    uuid, -- whose report tells it
    UNIQUE (subject_id, attempt, tenant, provider, number)
);
CREATE INDEX suspense_decisions_untold ON suspense_decisions (tenant, provider) WHERE close_id IS NULL;
CREATE INDEX suspense_decisions_of_finding ON suspense_decisions (recon_id);
CREATE INDEX suspense_decisions_of_line ON suspense_decisions (tenant, provider, reference);

-- What the books are recomputed from (internal/ledger): each line is what a payment, a payout, an attempt or a finding is to
-- have moved on an account, debits positive. Only what has no other source is taken from the postings themselves: top-ups.
CREATE OR REPLACE VIEW ledger_facts AS
SELECT f.tenant, f.account COLLATE "C" AS account, f.currency, f.amount FROM (
    SELECT p.tenant, 'collections'::text AS account, p.currency, p.gross AS amount FROM payments p WHERE p.status = 'completed'
    UNION ALL
    SELECT p.tenant, 'commission', p.currency, -p.commission FROM payments p WHERE p.status = 'completed'
    UNION ALL
    SELECT p.tenant, 'payable:' || p.payee_id, p.currency, -p.net FROM payments p WHERE p.status = 'completed'
    UNION ALL
    SELECT p.tenant, 'payable:' || p.payee_id, p.currency, p.net FROM payments p
    WHERE p.status IN ('completed', 'refunded') AND p.paid_reference <> ''
    UNION ALL
    SELECT p.tenant, 'treasury', p.currency, -p.net FROM payments p WHERE p.status IN ('completed', 'refunded') AND p.paid_reference <> ''
    UNION ALL
    SELECT o.tenant, 'payable:' || o.payee_id, o.currency, o.net FROM payouts o
    WHERE o.state IN ('submitting', 'processing', 'unknown', 'manual_review', 'succeeded')
    UNION ALL
    SELECT a.tenant, 'in_transit:' || a.provider, a.currency, -a.amount FROM attempts a
    WHERE a.state IN ('submitting', 'processing', 'unknown', 'manual_review')
    UNION ALL
    SELECT a.tenant, 'float:' || a.provider, a.currency, -a.amount FROM attempts a JOIN payouts o ON o.payout_id = a.subject_id
    WHERE a.state = 'succeeded' AND o.state <> 'reversed'
    UNION ALL
    SELECT a.tenant, 'float:' || a.provider, a.currency, -CASE o.state WHEN 'reversed' THEN COALESCE(o.fee, a.fee) ELSE a.fee END
    FROM attempts a JOIN payouts o ON o.payout_id = a.subject_id WHERE a.state = 'succeeded' AND (a.fee > 0 OR o.state = 'reversed' AND o.fee > 0)
    UNION ALL
    SELECT a.tenant, 'fees', a.currency, CASE o.state WHEN 'reversed' THEN COALESCE(o.fee, a.fee) ELSE a.fee END
    FROM attempts a JOIN payouts o ON o.payout_id = a.subject_id WHERE a.state = 'succeeded' AND (a.fee > 0 OR o.state = 'reversed' AND o.fee > 0)
    UNION ALL
    SELECT d.tenant, s.account, d.currency, CASE s.account WHEN 'suspense' THEN d.difference ELSE -d.difference END
    FROM (SELECT * FROM (SELECT DISTINCT ON (r.tenant, r.subject_id, r.attempt, sign(r.difference), r.code LIKE 'another_amount%') r.tenant, r.provider, r.currency, r.difference
          FROM recon_findings r WHERE r.difference <> 0 AND r.source = 'lookup') l
          UNION ALL
          SELECT r.tenant, r.provider, r.currency, r.difference FROM recon_findings r WHERE r.difference <> 0 AND r.source = 'statement') d
    CROSS JOIN LATERAL (VALUES ('suspense'), ('float:' || d.provider)) s(account)
    UNION ALL
    SELECT h.tenant, s.account, h.currency, CASE s.account WHEN 'suspense' THEN -h.amount ELSE h.amount END
    FROM suspense_decisions h CROSS JOIN LATERAL (VALUES ('suspense'), (h.account)) s(account) WHERE h.agreed_by <> ''
    UNION ALL
    SELECT t.tenant, s.account, t.currency, CASE s.account WHEN t.debit THEN t.amount ELSE -t.amount END
    FROM ledger_postings t CROSS JOIN LATERAL (VALUES (t.debit), (t.credit)) s(account)
    WHERE t.kind = 'float.topped_up'
) f;

-- What is in suspense, by what it is about. What lookups say of one attempt in one direction is one movement; of a statement each finding
-- is a step. Each row is a part: the sum over a reference is what is there.
CREATE VIEW suspense_groups AS
SELECT l.tenant, l.provider, l.subject_id, l.attempt, l.currency, l.difference AS amount
FROM (SELECT DISTINCT ON (r.tenant, r.subject_id, r.attempt, sign(r.difference), r.code LIKE 'another_amount%') r.tenant, r.provider, r.subject_id, r.attempt, r.currency, r.difference
      FROM recon_findings r WHERE r.difference <> 0 AND r.source = 'lookup') l
UNION ALL
SELECT r.tenant, r.provider, r.subject_id, r.attempt, r.currency, r.difference FROM recon_findings r WHERE r.difference <> 0 AND r.source = 'statement'
UNION ALL
SELECT h.tenant, h.provider, h.subject_id, h.attempt, h.currency, -h.amount FROM suspense_decisions h WHERE h.agreed_by <> '';
