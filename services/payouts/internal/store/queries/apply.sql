-- name: LockPayouts :many
-- In id order, so that two transactions never wait for each other in a circle.
SELECT payout_id, tenant, payee_id, run_id, batch_id, page, period_date::text AS period_date, kind, seq, state,
       reason_class, reason_scope, reason_code, provider_code, currency, gross, commission, net, fee, item_count,
       provider, destination, attempt, counted, reference, retry_at, contradicted, approvals_needed, approvals, approval_expires_at,
       nominal_time, version
FROM payouts WHERE payout_id = ANY(@ids::uuid[]) ORDER BY payout_id FOR UPDATE;

-- name: LockFreePayouts :many
-- Those that nobody else has.
SELECT payout_id, tenant, payee_id, run_id, batch_id, page, period_date::text AS period_date, kind, seq, state,
       reason_class, reason_scope, reason_code, provider_code, currency, gross, commission, net, fee, item_count,
       provider, destination, attempt, counted, reference, retry_at, contradicted, approvals_needed, approvals, approval_expires_at,
       nominal_time, version
FROM payouts WHERE payout_id = ANY(@ids::uuid[]) ORDER BY payout_id FOR UPDATE SKIP LOCKED;

-- name: GetPayouts :many
SELECT payout_id, tenant, payee_id, run_id, batch_id, page, period_date::text AS period_date, kind, seq, state,
       reason_class, reason_scope, reason_code, provider_code, currency, gross, commission, net, fee, item_count,
       provider, destination, attempt, counted, reference, retry_at, contradicted, approvals_needed, approvals, approval_expires_at,
       nominal_time, version
FROM payouts WHERE payout_id = ANY(@ids::uuid[]) ORDER BY payout_id;

-- name: MovePayouts :execrows
-- fee -1 and the zero time stand for NULL, since arrays of a driver's nullable elements are clumsy. A row that is not as it was
-- read stays, and is missing from the count.
UPDATE payouts p SET
    state = c.state, reason_class = c.reason_class, reason_scope = c.reason_scope, reason_code = c.reason_code,
    provider_code = c.provider_code, provider = c.provider, attempt = c.attempt, counted = c.counted,
    reference = c.reference, fee = NULLIF(c.fee, -1), retry_at = NULLIF(c.retry_at, '0001-01-01 00:00:00+00'),
    cap_date = CASE WHEN c.cap_date = '' THEN p.cap_date ELSE c.cap_date::date END,
    approval_expires_at = NULLIF(c.approval_expires_at, '0001-01-01 00:00:00+00'), version = c.version, updated_at = @now::timestamptz
FROM (
    SELECT unnest(@ids::uuid[]) AS id, unnest(@states::text[]) AS state, unnest(@reason_classes::text[]) AS reason_class,
           unnest(@reason_scopes::text[]) AS reason_scope, unnest(@reason_codes::text[]) AS reason_code,
           unnest(@provider_codes::text[]) AS provider_code, unnest(@providers::text[]) AS provider,
           unnest(@attempts::integer[]) AS attempt, unnest(@counts::integer[]) AS counted,
           unnest(@refs::text[]) AS reference, unnest(@fees::bigint[]) AS fee,
           unnest(@retry_ats::timestamptz[]) AS retry_at, unnest(@cap_dates::text[]) AS cap_date,
           unnest(@approval_expires_ats::timestamptz[]) AS approval_expires_at, unnest(@versions::bigint[]) AS version
) c WHERE p.payout_id = c.id AND p.version = c.version - 1;

-- name: KeepHolds :exec
-- What holds payouts that leave it without having been released. Their rows are locked.
UPDATE payouts SET held_for = reason_code WHERE payout_id = ANY(@ids::uuid[]) AND state = 'held';

-- name: TakeHolds :many
-- What held payouts before they were taken over; it is forgotten with that. Their rows are locked.
UPDATE payouts p SET held_for = '' FROM (SELECT h.payout_id, h.held_for FROM payouts h WHERE h.payout_id = ANY(@ids::uuid[]) AND h.held_for <> '') k
WHERE p.payout_id = k.payout_id RETURNING p.payout_id, k.held_for;

-- name: Contradict :exec
UPDATE payouts SET contradicted = true, updated_at = @now::timestamptz WHERE payout_id = ANY(@ids::uuid[]);

-- name: ReversedOf :many
SELECT payout_id FROM payouts WHERE payout_id = ANY(@ids::uuid[]) AND state = 'reversed' ORDER BY payout_id;

-- name: PaidThere :many
-- Which of these attempts a statement that a day was closed by has as paid, and not as taken back.
SELECT k.subject_id::uuid AS subject_id, k.number::integer AS number FROM (
    SELECT unnest(@subject_ids::uuid[]) AS subject_id, unnest(@numbers::integer[]) AS number, unnest(@tenants::text[]) AS tenant,
           unnest(@providers::text[]) AS provider, unnest(@refs::text[]) AS ref) k
CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE l.kind = 'payout') AS paid, count(*) FILTER (WHERE l.kind = 'reversal') AS back
    FROM close_lines l JOIN closes c ON c.close_id = l.close_id AND c.state = 'completed'
    WHERE l.tenant = k.tenant AND l.provider = k.provider AND l.item_key = k.ref) s
WHERE s.paid > s.back;

-- name: ReleaseItems :exec
WITH released AS (
    UPDATE payout_items SET released_at = @now::timestamptz
    WHERE payout_id = ANY(@ids::uuid[]) AND released_at IS NULL
    RETURNING payout_id, tenant, item_kind, item_id
), freed AS (
    UPDATE payments p SET payout_id = NULL FROM released r
    WHERE r.item_kind = 'payment' AND p.tenant = r.tenant AND p.payment_id = r.item_id AND p.payout_id = r.payout_id
)
UPDATE carries c SET payout_id = NULL FROM released r
WHERE r.item_kind = 'carry' AND c.tenant = r.tenant AND c.carry_id = r.item_id AND c.payout_id = r.payout_id;

-- name: LockCarried :many
-- Refunded payments that these payouts had to do with (as a payment or as the carry against it) and that nothing claims.
-- Locked, so that no run claims one while its carry is voided.
SELECT p.tenant, p.payment_id FROM payments p
WHERE p.carried AND p.payout_id IS NULL AND (p.tenant, p.payment_id) IN (
    SELECT i.tenant, i.item_id FROM payout_items i WHERE i.payout_id = ANY(@ids::uuid[]) AND i.item_kind = 'payment'
    UNION
    SELECT c.tenant, c.payment_id FROM payout_items i
    JOIN carries c ON c.tenant = i.tenant AND c.carry_id = i.item_id
    WHERE i.payout_id = ANY(@ids::uuid[]) AND i.item_kind = 'carry'
)
ORDER BY p.tenant, p.payment_id FOR UPDATE OF p;

-- name: VoidCarries :exec
WITH voided AS (
    UPDATE carries c SET voided_at = @now::timestamptz
    FROM (SELECT unnest(@tenants::text[]) AS tenant, unnest(@payment_ids::text[]) AS payment_id) t
    WHERE c.tenant = t.tenant AND c.payment_id = t.payment_id AND c.payout_id IS NULL AND c.voided_at IS NULL
    RETURNING c.tenant, c.payment_id
)
UPDATE payments p SET carried = false FROM voided v WHERE p.tenant = v.tenant AND p.payment_id = v.payment_id;

-- name: ReleasedOf :many
-- Of these payouts, the ones with a released item.
SELECT DISTINCT payout_id FROM payout_items WHERE payout_id = ANY(@ids::uuid[]) AND released_at IS NOT NULL;

-- name: ReclaimPayments :execrows
UPDATE payments p SET payout_id = i.payout_id FROM payout_items i
WHERE i.payout_id = @payout_id AND i.item_kind = 'payment' AND i.released_at IS NOT NULL
  AND p.tenant = i.tenant AND p.payment_id = i.item_id
  AND p.payout_id IS NULL AND p.paid_reference = '' AND (p.status = 'completed' OR p.carried);

-- name: ReclaimCarries :execrows
UPDATE carries c SET payout_id = i.payout_id FROM payout_items i
WHERE i.payout_id = @payout_id AND i.item_kind = 'carry' AND i.released_at IS NOT NULL
  AND c.tenant = i.tenant AND c.carry_id = i.item_id AND c.payout_id IS NULL AND c.voided_at IS NULL;

-- name: ReclaimFreePayments :exec
-- What these payouts released and nobody has taken since, paid or refunded.
UPDATE payments p SET payout_id = i.payout_id FROM payout_items i
WHERE i.payout_id = ANY(@ids::uuid[]) AND i.item_kind = 'payment' AND i.released_at IS NOT NULL
  AND p.tenant = i.tenant AND p.payment_id = i.item_id
  AND p.payout_id IS NULL AND p.paid_reference = '' AND (p.status = 'completed' OR p.carried);

-- name: ReclaimFreeCarries :exec
UPDATE carries c SET payout_id = i.payout_id FROM payout_items i
WHERE i.payout_id = ANY(@ids::uuid[]) AND i.item_kind = 'carry' AND i.released_at IS NOT NULL
  AND c.tenant = i.tenant AND c.carry_id = i.item_id AND c.payout_id IS NULL AND c.voided_at IS NULL;

-- name: ReclaimFreeItems :exec
-- The released items whose payment or carry names their payout again.
UPDATE payout_items i SET released_at = NULL
WHERE i.payout_id = ANY(@ids::uuid[]) AND i.released_at IS NOT NULL AND CASE i.item_kind
    WHEN 'payment' THEN EXISTS (SELECT 1 FROM payments p WHERE p.tenant = i.tenant AND p.payment_id = i.item_id AND p.payout_id = i.payout_id)
    ELSE EXISTS (SELECT 1 FROM carries c WHERE c.tenant = i.tenant AND c.carry_id = i.item_id AND c.payout_id = i.payout_id) END;

-- name: TakersOf :many
-- The payouts that claim now what these released, and have not paid it.
SELECT DISTINCT o.payout_id FROM payout_items i
JOIN payout_items o ON o.tenant = i.tenant AND o.item_kind = i.item_kind AND o.item_id = i.item_id AND o.released_at IS NULL
JOIN payouts t ON t.payout_id = o.payout_id AND t.state <> 'succeeded' AND NOT t.contradicted
WHERE i.payout_id = ANY(@ids::uuid[]) AND i.released_at IS NOT NULL AND o.payout_id <> i.payout_id
ORDER BY o.payout_id;

-- name: CountReleased :one
SELECT count(*) FROM payout_items WHERE payout_id = @payout_id AND released_at IS NOT NULL;

-- name: ReclaimItems :exec
UPDATE payout_items SET released_at = NULL WHERE payout_id = @payout_id AND released_at IS NOT NULL;

-- name: CountPayeeFailures :many
UPDATE payees p SET failures = p.failures + c.failures, updated_at = @now::timestamptz
FROM (SELECT unnest(@tenants::text[]) AS tenant, unnest(@payee_ids::text[]) AS payee_id, unnest(@failures::integer[]) AS failures) c
WHERE p.tenant = c.tenant AND p.payee_id = c.payee_id
RETURNING p.tenant, p.payee_id, p.failures, p.state;

-- name: ResetPayeeFailures :exec
UPDATE payees p SET failures = 0, updated_at = @now::timestamptz
FROM (SELECT unnest(@tenants::text[]) AS tenant, unnest(@payee_ids::text[]) AS payee_id) c
WHERE p.tenant = c.tenant AND p.payee_id = c.payee_id AND p.failures <> 0;

-- name: PausePayees :many
UPDATE payees p SET state = 'paused', pause_reason = @reason, pause_detail = c.detail, paused_by = @actor, version = p.version + 1,
       updated_at = @now::timestamptz
FROM (SELECT unnest(@tenants::text[]) AS tenant, unnest(@payee_ids::text[]) AS payee_id, unnest(@details::text[]) AS detail) c
WHERE p.tenant = c.tenant AND p.payee_id = c.payee_id AND p.state = 'active'
RETURNING p.tenant, p.payee_id, p.state, p.pause_reason, p.provider, p.locale, p.version;

-- name: ApprovedOfPayees :many
SELECT p.payout_id FROM payouts p
JOIN (SELECT unnest(@tenants::text[]) AS tenant, unnest(@payee_ids::text[]) AS payee_id) c
  ON p.tenant = c.tenant AND p.payee_id = c.payee_id
WHERE p.state = 'approved';

-- name: BatchFailures :many
-- Failures of the batches as a share of what they want to pay (skipped ones never wanted to). What they want is counted no further
-- than it takes to know that the share is within the rate, and not at all where there are too few failures to mean something: so
-- this reads in proportion to the failures, not to the batch.
SELECT b.batch_id, b.tenant, b.failures_seen, f.failed, w.wanted
FROM (SELECT unnest(@ids::uuid[]) AS batch_id, unnest(@rates::float8[]) AS rate) x
JOIN batches b ON b.batch_id = x.batch_id AND b.control = 'open'
CROSS JOIN LATERAL (SELECT count(*)::bigint AS failed FROM payouts p WHERE p.run_id = b.run_id AND p.indexed_state IN ('failed', 'retrying')) f
CROSS JOIN LATERAL (
    SELECT count(*)::bigint AS wanted FROM (
        SELECT 1 FROM payouts p WHERE p.run_id = b.run_id AND p.state <> 'skipped'
        LIMIT CASE WHEN f.failed - b.failures_seen < @min_failures::bigint THEN 0 ELSE ceil((f.failed - b.failures_seen) / x.rate)::bigint END
    ) k
) w;

-- name: ResumePayee :many
UPDATE payees SET state = 'active', pause_reason = '', pause_detail = '', paused_by = '', failures = 0, version = version + 1, updated_at = @now::timestamptz
WHERE tenant = @tenant AND payee_id = @payee_id AND state = 'paused'
RETURNING tenant, payee_id, version, provider, locale;

-- name: LockReleased :many
-- Which of these payouts' released payments and carries could be claimed again, held until the transaction ends.
WITH payments_of AS (
    SELECT i.payout_id, p.payout_id IS NULL AND p.paid_reference = '' AND (p.status = 'completed' OR p.carried) AS free
    FROM payout_items i JOIN payments p ON p.tenant = i.tenant AND p.payment_id = i.item_id
    WHERE i.payout_id = ANY(@ids::uuid[]) AND i.item_kind = 'payment' AND i.released_at IS NOT NULL
    ORDER BY p.tenant, p.payment_id FOR UPDATE OF p
), carries_of AS (
    SELECT i.payout_id, c.payout_id IS NULL AND c.voided_at IS NULL AS free
    FROM payout_items i JOIN carries c ON c.tenant = i.tenant AND c.carry_id = i.item_id
    WHERE i.payout_id = ANY(@ids::uuid[]) AND i.item_kind = 'carry' AND i.released_at IS NOT NULL
    ORDER BY c.tenant, c.carry_id FOR UPDATE OF c
)
SELECT a.payout_id::uuid AS payout_id FROM (SELECT * FROM payments_of UNION ALL SELECT * FROM carries_of) a
GROUP BY a.payout_id HAVING bool_and(a.free) IS NOT TRUE;
