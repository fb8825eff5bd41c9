-- name: PageGateways :many
SELECT DISTINCT gateway FROM charges WHERE send_run = @run_id::uuid AND send_page = @page::integer AND state <> 'submitting' ORDER BY gateway;

-- name: Claim :many
-- What a page is to send, with no attempt that is open or that a webhook has just spoken of, and with no other charge of the
-- recurrence under way or in doubt. The recurrence is locked too: whoever claims another charge of it has to look again.
SELECT c.charge_id, c.tenant, c.recurrence_id, c.cycle, c.state, c.amount, c.currency, c.attempt, c.send_cause, c.card_id AS last_card_id,
       c.charge_date, c.first_attempt_date, c.send_date, c.send_wanted_at, c.provider_code, COALESCE(a.state, '')::text AS attempt_state,
       -- Denied too long ago to go again under the same reference, or sent too long ago.
       COALESCE(a.state = 'not_sent' AND a.opened_at IS NOT NULL AND (COALESCE(a.denied_at < @denied_since::timestamptz, true)
                OR LEAST(a.opened_at, a.submitted_at) < @sent_since::timestamptz), false)::boolean AS lapsed,
       r.state AS recurrence_state, r.reason_code AS recurrence_code,
       k.card_id, k.token, k.brand, k.state AS card_state, k.forbidden, k.wait_until
FROM charges c
JOIN recurrences r ON r.tenant = c.tenant AND r.recurrence_id = c.recurrence_id
JOIN cards k ON k.card_id = r.card_id
LEFT JOIN attempts a ON a.subject_id = c.charge_id AND a.number = c.attempt
WHERE c.send_run = @run_id::uuid AND c.send_page = @page::integer AND c.gateway = @gateway AND c.state <> 'submitting' AND NOT c.contradicted
  AND (c.not_before IS NULL OR c.not_before <= @now::timestamptz)
  AND NOT (c.charge_id = ANY(@resting::uuid[]))
  AND (NOT @only_lapsed::boolean OR a.state = 'not_sent' AND a.opened_at IS NOT NULL
       AND (COALESCE(a.denied_at < @denied_since::timestamptz, true) OR LEAST(a.opened_at, a.submitted_at) < @sent_since::timestamptz))
  AND NOT EXISTS (SELECT 1 FROM prechecks w WHERE w.subject_id = c.charge_id AND w.state = 'asking')
  AND NOT EXISTS (SELECT 1 FROM attempts o WHERE o.subject_id = c.charge_id
                  AND (o.state NOT IN ('failed', 'not_sent') OR o.next_lookup_at IS NOT NULL))
  AND NOT EXISTS (SELECT 1 FROM charges o WHERE o.tenant = c.tenant AND o.recurrence_id = c.recurrence_id
                  AND o.state IN ('submitting', 'processing', 'unknown', 'manual_review'))
ORDER BY c.charge_id LIMIT @page_limit FOR NO KEY UPDATE OF c, r SKIP LOCKED;

-- name: UnderWay :many
-- Of recurrences that are locked now, those with a charge under way or in doubt: one may have begun since the claim looked.
SELECT DISTINCT c.tenant, c.recurrence_id FROM charges c
JOIN (SELECT unnest(@tenants::text[]) AS tenant, unnest(@ids::text[]) AS id) k ON c.tenant = k.tenant AND c.recurrence_id = k.id
WHERE c.state IN ('submitting', 'processing', 'unknown', 'manual_review');

-- name: CardAttempts :many
-- How often cards were declined within windows, and how often they may yet be: sends whose answer is outstanding.
SELECT w.n::integer AS n, count(k.charge_id) FILTER (WHERE k.declined)::integer AS declined,
       count(k.charge_id) FILTER (WHERE a.state IN ('submitting', 'processing', 'unknown', 'manual_review'))::integer AS open,
       COALESCE(min(k.sent_at) FILTER (WHERE k.declined), @now::timestamptz)::timestamptz AS oldest
FROM (
    SELECT unnest(@ns::integer[]) AS n, unnest(@card_ids::uuid[]) AS card_id, unnest(@amounts::bigint[]) AS amount,
           unnest(@same_amounts::boolean[]) AS same_amount, unnest(@sinces::timestamptz[]) AS since
) w
LEFT JOIN card_attempts k ON k.card_id = w.card_id AND k.sent_at > w.since AND (NOT w.same_amount OR k.amount = w.amount)
LEFT JOIN attempts a ON a.subject_id = k.charge_id AND a.number = k.attempt
GROUP BY w.n ORDER BY w.n;

-- name: InsertCardAttempts :exec
-- A reference that was never sent goes again under its number. Where its gateway has only denied it, an earlier send may have arrived since.
INSERT INTO card_attempts AS k (charge_id, attempt, tenant, card_id, amount, run_id, sent_at, declined)
SELECT unnest(@ids::uuid[]), unnest(@attempts::integer[]), unnest(@tenants::text[]), unnest(@card_ids::uuid[]), unnest(@amounts::bigint[]),
       @run_id::uuid, @now::timestamptz, unnest(@declineds::boolean[])
ON CONFLICT (charge_id, attempt) DO UPDATE SET card_id = EXCLUDED.card_id, run_id = EXCLUDED.run_id, sent_at = EXCLUDED.sent_at,
    two_cards = k.two_cards OR k.card_id <> EXCLUDED.card_id AND k.charge_id = ANY(@denied::uuid[]);

-- name: UnservedCharges :many
SELECT charge_id FROM charges
WHERE send_run = @run_id::uuid AND send_page = @page::integer AND gateway = @gateway AND state <> 'submitting'
  AND (not_before IS NULL OR not_before <= @now::timestamptz)
ORDER BY charge_id LIMIT @page_limit FOR NO KEY UPDATE SKIP LOCKED;

-- name: StandingSends :many
-- Pages of sends, of a tenant or of all (''), that nothing hinders and that have stood still since a time.
SELECT DISTINCT c.send_run::uuid AS send_run, c.send_page::integer AS send_page FROM charges c
WHERE c.send_run IS NOT NULL AND c.state <> 'submitting' AND NOT c.contradicted AND c.updated_at <= @rested_since::timestamptz
  AND (@tenant::text = '' OR c.tenant = @tenant)
  AND (c.not_before IS NULL OR c.not_before <= @now::timestamptz) AND NOT (c.tenant || '/' || c.gateway = ANY(@stopped::text[]))
  AND NOT EXISTS (SELECT 1 FROM charges o WHERE o.tenant = c.tenant AND o.recurrence_id = c.recurrence_id
                  AND o.state IN ('submitting', 'processing', 'unknown', 'manual_review'))
  AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.subject_id = c.charge_id AND a.next_lookup_at IS NOT NULL)
  AND NOT EXISTS (SELECT 1 FROM prechecks w WHERE w.subject_id = c.charge_id AND w.state = 'asking')
ORDER BY 1, 2 LIMIT @page_limit;
