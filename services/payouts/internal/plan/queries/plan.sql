-- name: DuePayees :many
-- Payees that a run may pay, after the last page's last one. What counts as due is the same as in ClaimPayments.
SELECT d.payee_id FROM (
    SELECT DISTINCT p.payee_id FROM payments p
    WHERE p.tenant = @tenant AND p.payee_id > @after AND (p.status = 'completed' OR p.carried)
      AND p.payout_id IS NULL AND p.paid_reference = ''
      AND p.completed_at <= @cut_off::timestamptz AND p.completed_at >= @accept_from::timestamptz AND p.method = ANY(@methods::text[])
    ORDER BY p.payee_id LIMIT @page_limit
) d ORDER BY d.payee_id;

-- name: Payees :many
SELECT payee_id, phone, provider, state,
       (unconfirmed OR COALESCE(destination_changed_at > @cooled_since::timestamptz, false))::boolean AS destination_rests FROM payees WHERE tenant = @tenant AND payee_id = ANY(@ids::text[]);

-- name: Existing :many
SELECT payout_id FROM payouts WHERE payout_id = ANY(@ids::uuid[]);

-- name: ClaimPayments :many
-- Claims what is due for the payees and says what was claimed, in one statement: a payment that is refunded or imported at
-- this moment is either in the sum and in the items, or in neither.
WITH wanted AS (
    SELECT unnest(@payout_ids::uuid[]) AS payout_id, unnest(@payee_ids::text[]) AS payee_id
), claimed AS (
    UPDATE payments p SET payout_id = w.payout_id FROM wanted w
    WHERE p.tenant = @tenant AND p.payee_id = w.payee_id AND (p.status = 'completed' OR p.carried)
      AND p.payout_id IS NULL AND p.paid_reference = ''
      AND p.completed_at <= @cut_off::timestamptz AND p.completed_at >= @accept_from::timestamptz AND p.method = ANY(@methods::text[])
    RETURNING p.payout_id, p.payment_id, p.gross, p.commission, p.net
), items AS (
    INSERT INTO payout_items (payout_id, tenant, item_kind, item_id, gross, commission, net)
    SELECT c.payout_id, @tenant, 'payment', c.payment_id, c.gross, c.commission, c.net FROM claimed c
)
SELECT c.payout_id::uuid AS payout_id, count(*)::bigint AS items, sum(c.gross)::bigint AS gross,
       sum(c.commission)::bigint AS commission, sum(c.net)::bigint AS net
FROM claimed c GROUP BY c.payout_id;

-- name: ClaimCarries :many
WITH wanted AS (
    SELECT unnest(@payout_ids::uuid[]) AS payout_id, unnest(@payee_ids::text[]) AS payee_id
), claimed AS (
    UPDATE carries c SET payout_id = w.payout_id FROM wanted w
    WHERE c.tenant = @tenant AND c.payee_id = w.payee_id AND c.payout_id IS NULL AND c.voided_at IS NULL
      AND c.occurred_at <= @cut_off::timestamptz
    RETURNING c.payout_id, c.carry_id, -c.gross AS gross, -c.commission AS commission, -c.net AS net
), items AS (
    INSERT INTO payout_items (payout_id, tenant, item_kind, item_id, gross, commission, net)
    SELECT c.payout_id, @tenant, 'carry', c.carry_id, c.gross, c.commission, c.net FROM claimed c
)
SELECT c.payout_id::uuid AS payout_id, count(*)::bigint AS items, sum(c.gross)::bigint AS gross,
       sum(c.commission)::bigint AS commission, sum(c.net)::bigint AS net
FROM claimed c GROUP BY c.payout_id;

-- name: ItemsOf :many
-- The items of payouts that must be divided, in the order in which payments were completed.
SELECT i.payout_id, i.item_kind, i.item_id, i.gross, i.commission, i.net FROM payout_items i
LEFT JOIN payments p ON i.item_kind = 'payment' AND p.tenant = i.tenant AND p.payment_id = i.item_id
WHERE i.payout_id = ANY(@ids::uuid[])
ORDER BY i.payout_id, p.completed_at, i.item_id;

-- name: MoveItems :exec
WITH moved AS (
    SELECT unnest(@from_ids::uuid[]) AS from_id, unnest(@to_ids::uuid[]) AS to_id, unnest(@item_ids::text[]) AS item_id
), items AS (
    UPDATE payout_items i SET payout_id = m.to_id FROM moved m
    WHERE i.payout_id = m.from_id AND i.item_kind = 'payment' AND i.item_id = m.item_id
)
UPDATE payments p SET payout_id = m.to_id FROM moved m
WHERE p.tenant = @tenant AND p.payment_id = m.item_id AND p.payout_id = m.from_id;

-- name: MoveCarries :exec
WITH moved AS (
    SELECT unnest(@from_ids::uuid[]) AS from_id, unnest(@to_ids::uuid[]) AS to_id, unnest(@item_ids::text[]) AS item_id
), items AS (
    UPDATE payout_items i SET payout_id = m.to_id FROM moved m
    WHERE i.payout_id = m.from_id AND i.item_kind = 'carry' AND i.item_id = m.item_id
)
UPDATE carries c SET payout_id = m.to_id FROM moved m
WHERE c.tenant = @tenant AND c.carry_id = m.item_id AND c.payout_id = m.from_id;

-- name: InsertPayouts :exec
-- cap_date '' stands for NULL.
INSERT INTO payouts (payout_id, tenant, payee_id, run_id, batch_id, page, period_date, kind, seq, state, currency, gross, commission,
                     net, item_count, provider, by_default, destination, approvals_needed, cap_date, nominal_time, version, created_at, updated_at)
SELECT r.payout_id, @tenant::text, r.payee_id, @run_id::uuid, @batch_id::uuid, @page::integer, (@period_date::text)::date, @kind::text,
       r.seq, r.state, @currency::text, r.gross, r.commission, r.net, r.item_count, r.provider, r.by_default, r.destination, r.approvals_needed,
       NULLIF(r.cap_date, '')::date, @nominal_time::timestamptz, r.version, @now::timestamptz, @now::timestamptz
FROM (
    SELECT unnest(@payout_ids::uuid[]) AS payout_id, unnest(@payee_ids::text[]) AS payee_id, unnest(@seqs::integer[]) AS seq,
           unnest(@gross::bigint[]) AS gross, unnest(@commissions::bigint[]) AS commission, unnest(@nets::bigint[]) AS net,
           unnest(@item_counts::integer[]) AS item_count, unnest(@providers::text[]) AS provider,
           unnest(@by_defaults::boolean[]) AS by_default, unnest(@destinations::text[]) AS destination, unnest(@approvals_needed::integer[]) AS approvals_needed,
           unnest(@states::text[]) AS state, unnest(@versions::bigint[]) AS version, unnest(@cap_dates::text[]) AS cap_date
) r;
