-- +goose Up

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
    FROM attempts a JOIN payouts o ON o.payout_id = a.subject_id WHERE a.state = 'succeeded' AND a.fee > 0
    UNION ALL
    SELECT a.tenant, 'fees', a.currency, CASE o.state WHEN 'reversed' THEN COALESCE(o.fee, a.fee) ELSE a.fee END
    FROM attempts a JOIN payouts o ON o.payout_id = a.subject_id WHERE a.state = 'succeeded' AND a.fee > 0
    UNION ALL
    SELECT d.tenant, s.account, d.currency, CASE s.account WHEN 'suspense' THEN d.difference ELSE -d.difference END
    FROM (SELECT * FROM (SELECT DISTINCT ON (r.tenant, r.subject_id, r.attempt, sign(r.difference)) r.tenant, r.provider, r.currency, r.difference
          FROM recon_findings r WHERE r.difference <> 0 AND r.source = 'lookup') l
          UNION ALL
          SELECT r.tenant, r.provider, r.currency, r.difference FROM recon_findings r WHERE r.difference <> 0 AND r.source = 'statement') d
    CROSS JOIN LATERAL (VALUES ('suspense'), ('float:' || d.provider)) s(account)
    UNION ALL
    SELECT t.tenant, s.account, t.currency, CASE s.account WHEN t.debit THEN t.amount ELSE -t.amount END
    FROM ledger_postings t CROSS JOIN LATERAL (VALUES (t.debit), (t.credit)) s(account)
    WHERE t.kind = 'float.topped_up'
) f;
