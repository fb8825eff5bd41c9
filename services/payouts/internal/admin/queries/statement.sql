-- name: OwedBefore :one
-- What was owed to a payee before a time.
SELECT COALESCE(sum(m.moved), 0)::bigint AS owed FROM (
    SELECT p.amount AS moved FROM ledger_postings p WHERE p.tenant = @tenant AND p.credit = @account AND p.occurred_at < @before::timestamptz AND p.currency = @currency
    UNION ALL
    SELECT -p.amount FROM ledger_postings p WHERE p.tenant = @tenant AND p.debit = @account AND p.occurred_at < @before::timestamptz AND p.currency = @currency
) m;

-- name: PayeeMovements :many
-- What moved on a payee's account, in the order of writing, with what each movement is about. LIMIT keeps each look-up to one step
-- into an index.
SELECT m.posting_id, m.kind, m.ref, m.moved, m.occurred_at, COALESCE(y.gross, 0)::bigint AS gross, COALESCE(y.commission, 0)::bigint AS commission,
       COALESCE(y.paid_reference, '')::text AS paid_reference, COALESCE(o.state, '')::text AS state, COALESCE(a.reference, '')::text AS reference
FROM (
    SELECT p.posting_id, p.kind, p.ref, p.amount AS moved, p.occurred_at FROM ledger_postings p
    WHERE p.tenant = @tenant AND p.credit = @account AND p.posting_id > @after_id::bigint AND p.occurred_at >= @since::timestamptz
      AND p.occurred_at < @until::timestamptz AND p.currency = @currency
    UNION ALL
    SELECT p.posting_id, p.kind, p.ref, -p.amount, p.occurred_at FROM ledger_postings p
    WHERE p.tenant = @tenant AND p.debit = @account AND p.posting_id > @after_id::bigint AND p.occurred_at >= @since::timestamptz
      AND p.occurred_at < @until::timestamptz AND p.currency = @currency
    ORDER BY 1 LIMIT @page_limit
) m
LEFT JOIN LATERAL (SELECT x.gross, x.commission, x.paid_reference FROM payments x
                   WHERE m.kind LIKE 'payment.%' AND x.tenant = @tenant AND x.payment_id = m.ref LIMIT 1) y ON true
LEFT JOIN LATERAL (SELECT x.state FROM payouts x WHERE m.kind LIKE 'attempt.%' AND x.payout_id = CASE WHEN m.kind LIKE 'attempt.%' THEN split_part(m.ref, '/', 1)::uuid END LIMIT 1) o ON true
LEFT JOIN LATERAL (SELECT x.reference FROM attempts x WHERE m.kind LIKE 'attempt.%' AND x.subject_id = CASE WHEN m.kind LIKE 'attempt.%' THEN split_part(m.ref, '/', 1)::uuid END
                   AND x.number = CASE WHEN m.kind LIKE 'attempt.%' THEN split_part(m.ref, '/', 2)::integer END LIMIT 1) a ON true
ORDER BY m.posting_id;
