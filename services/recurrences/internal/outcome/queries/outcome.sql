-- name: NoteDeclined :exec
-- What networks count.
UPDATE card_attempts k SET declined = true
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@attempts::integer[]) AS attempt) n
WHERE k.charge_id = n.id AND k.attempt = n.attempt;

-- name: TwoCards :many
-- Which of these attempts went with two cards.
SELECT k.charge_id, k.attempt FROM card_attempts k
JOIN (SELECT unnest(@ids::uuid[]) AS id, unnest(@attempts::integer[]) AS attempt) n ON k.charge_id = n.id AND k.attempt = n.attempt
WHERE k.two_cards;

-- name: CardsSaidNo :many
-- Which of these charges were declined by the card that they were on last.
SELECT DISTINCT k.charge_id FROM card_attempts k
JOIN charges c ON c.charge_id = k.charge_id AND c.card_id = k.card_id
WHERE k.charge_id = ANY(@ids::uuid[]) AND k.declined;

-- name: NominalTimes :many
-- When, by their schedules, the runs fired that sent these attempts.
SELECT k.charge_id, r.nominal_time FROM card_attempts k
JOIN (SELECT unnest(@ids::uuid[]) AS id, unnest(@attempts::integer[]) AS attempt) n ON k.charge_id = n.id AND k.attempt = n.attempt
JOIN runs r ON r.run_id = k.run_id;

-- name: OverByLastCycle :many
-- Which of these recurrences are over because their last cycle is. That is never undone, so no lock is needed.
SELECT r.tenant, r.recurrence_id FROM recurrences r
JOIN (SELECT unnest(@tenants::text[]) AS tenant, unnest(@ids::text[]) AS id) k ON r.tenant = k.tenant AND r.recurrence_id = k.id
WHERE r.state = 'completed' AND r.reason_code = @code;
