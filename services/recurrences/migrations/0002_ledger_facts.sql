-- +goose Up

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
    FROM (SELECT DISTINCT ON (r.tenant, r.subject_id, r.attempt, sign(r.difference)) r.tenant, r.provider, r.currency, r.difference
          FROM recon_findings r WHERE r.difference <> 0) d
    CROSS JOIN LATERAL (VALUES ('suspense'), ('gateway_receivable:' || d.provider)) s(account)
) f;
