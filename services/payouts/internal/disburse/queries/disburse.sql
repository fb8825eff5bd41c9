-- name: PageProviders :many
SELECT DISTINCT provider FROM payouts WHERE run_id = @run_id AND page = @page AND indexed_state = 'approved' ORDER BY provider;

-- name: PageToHelp :many
-- The last page of a run, other than some, of which something may go: whoever has it comes to it last.
SELECT p.page FROM payouts p
WHERE p.run_id = @run_id AND p.indexed_state = 'approved' AND NOT (p.page = ANY(@passed::integer[])) AND NOT p.contradicted
  AND (p.retry_at IS NULL OR p.retry_at <= @now::timestamptz)
ORDER BY p.page DESC LIMIT 1;

-- name: Controls :one
SELECT b.batch_id, b.control, b.control_reason, (b.approvals < b.approvals_needed)::boolean AS unapproved, r.planned, COALESCE(o.stopped, false)::boolean AS stopped
FROM batches b JOIN runs r ON r.run_id = b.run_id LEFT JOIN outflows o ON o.tenant = b.tenant WHERE b.run_id = @run_id;

-- name: Claim :many
-- Approved payouts of a page whose attempts are all proven over. An attempt of which a webhook has just spoken is read
-- again first, and a payout that the provider contradicts is never sent. All that there is of a payout is read here, for its row is
-- held from now on: what moves it needs to read nothing again.
SELECT p.payout_id, p.tenant, p.payee_id, p.run_id, p.batch_id, p.page, p.period_date::text AS period_date, p.kind, p.seq, p.state,
       p.reason_class, p.reason_scope, p.reason_code, p.provider_code, p.currency, p.gross, p.commission, p.net, p.fee, p.item_count,
       p.provider, p.destination, p.attempt, p.counted, p.reference, p.retry_at, p.contradicted, p.approvals_needed, p.approvals,
       p.approval_expires_at, p.nominal_time, p.version,
       (CASE WHEN p.attempt = 0 THEN '' ELSE COALESCE((SELECT a.state FROM attempts a WHERE a.subject_id = p.payout_id AND a.number = p.attempt), '') END)::text AS attempt_state,
       -- Refused without a trace behind as many as there may be: that takes more attempts than nearly all have.
       (CASE WHEN p.attempt <= @traceless::integer THEN false ELSE COALESCE((
           SELECT a.state = 'failed' AND a.behind >= @traceless AND NOT a.accepted AND a.opened_at IS NULL AND a.provider_id = '' AND a.provider = p.provider
           FROM attempts a WHERE a.subject_id = p.payout_id AND a.number = p.attempt
       ), false) END)::boolean AS spent,
       -- Denied too long ago to go again under the same reference, or sent too long ago; asked only of what has an attempt.
       (CASE WHEN p.attempt = 0 THEN false ELSE COALESCE((
           SELECT a.state = 'not_sent' AND a.opened_at IS NOT NULL AND (COALESCE(a.denied_at < @denied_since::timestamptz, true)
                  OR LEAST(a.opened_at, a.submitted_at) < @sent_since::timestamptz)
           FROM attempts a WHERE a.subject_id = p.payout_id AND a.number = p.attempt
       ), false) END)::boolean AS lapsed,
       y.state AS payee_state, (y.phone <> p.destination OR (CASE WHEN y.provider <> '' THEN y.provider <> p.provider WHEN p.by_default THEN false ELSE COALESCE(NULLIF(@default_provider::text, ''), p.provider) <> p.provider END) OR y.unconfirmed
        OR COALESCE(y.destination_changed_at > @cooled_since::timestamptz, false))::boolean AS destination_rests,
       -- Something of the payee's was told before a restore that may have paid, and does not stand here again: for the same sum, and
       -- not given up. What has failed for good is given up: it comes again only when a person has it tried again, as somebody may have in the
       -- lost hours. Unless it had failed by then as well, or its provider was asked since about all that can have been sent for it.
       -- Or this one was told of, through another provider, who is not the one that is asked: a word about the payee's others does not speak of that.
       EXISTS (
           SELECT 1 FROM restore_lost x WHERE x.tenant = p.tenant AND x.owner_id = p.payee_id AND x.settled_at IS NULL AND CASE
               WHEN x.subject_id = p.payout_id THEN x.provider <> p.provider
               ELSE x.passed_at IS NULL AND NOT EXISTS (SELECT 1 FROM payouts k WHERE k.payout_id = x.subject_id AND k.net = x.amount
                                AND k.state NOT IN ('skipped', 'rejected', 'cancelled', 'reversed')
                                AND (k.state <> 'failed' OR k.retry_at IS NOT NULL OR x.state = 'failed'
                                     OR EXISTS (SELECT 1 FROM prechecks w WHERE w.subject_id = k.payout_id AND w.state = 'adopted' AND w.epoch > x.epoch)))
                    AND NOT EXISTS (SELECT 1 FROM prechecks w WHERE w.subject_id = x.subject_id AND w.state = 'absent' AND w.epoch > x.epoch) END
       )::boolean AS restored,
       -- Nothing is read of recipients where nobody is to be verified.
       (CASE WHEN @verify::text = '' THEN '' ELSE COALESCE((
           SELECT CASE WHEN v.name_digest <> md5(y.name) OR (v.rule <> @verify AND v.state <> 'confirmed') THEN 'stale'
               WHEN v.state = 'verified' AND v.covers < p.net THEN 'above' ELSE v.state END
           FROM recipients v WHERE v.tenant = p.tenant AND v.payee_id = p.payee_id AND v.provider = p.provider AND v.destination = p.destination
       ), 'stale') END)::text AS recipient
FROM payouts p
JOIN payees y ON y.tenant = p.tenant AND y.payee_id = p.payee_id
WHERE p.run_id = @run_id AND p.page = @page AND p.indexed_state = 'approved' AND p.provider = @provider AND NOT p.contradicted
  AND (p.retry_at IS NULL OR p.retry_at <= @now::timestamptz)
  AND NOT (p.payout_id = ANY(@resting::uuid[]))
  AND (NOT @to_send::boolean OR NOT EXISTS (SELECT 1 FROM prechecks w WHERE w.subject_id = p.payout_id AND w.state = 'asking'))
  AND NOT EXISTS (SELECT 1 FROM attempts o WHERE o.subject_id = p.payout_id
                  AND (o.state NOT IN ('failed', 'not_sent') OR o.next_lookup_at IS NOT NULL))
ORDER BY p.payout_id LIMIT @page_limit FOR UPDATE OF p SKIP LOCKED;

-- name: NewestAttempts :many
-- The newest attempts of payouts that the caller holds, and whether one of theirs is not over.
SELECT p.payout_id, a.state, (a.state = 'failed' AND a.behind >= @traceless::integer AND NOT a.accepted AND a.opened_at IS NULL AND a.provider_id = '' AND a.provider = p.provider)::boolean AS spent,
       EXISTS (SELECT 1 FROM attempts o WHERE o.subject_id = p.payout_id
               AND (o.state NOT IN ('failed', 'not_sent') OR o.next_lookup_at IS NOT NULL)) AS open
FROM payouts p JOIN attempts a ON a.subject_id = p.payout_id AND a.number = p.attempt WHERE p.payout_id = ANY(@ids::uuid[]);

-- name: CountFaults :many
-- Faults in a row of a batch, and of the provider rather than of payments.
UPDATE batches SET provider_faults = CASE WHEN @answered::boolean THEN 0 ELSE provider_faults END + @faults::integer
WHERE run_id = @run_id AND control = 'open' AND (@faults::integer > 0 OR provider_faults > 0)
RETURNING batch_id, provider_faults;
