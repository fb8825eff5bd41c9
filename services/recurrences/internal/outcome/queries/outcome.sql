-- name: NoteDeclined :exec
-- What networks count.
UPDATE card_attempts k SET declined = true
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@attempts::integer[]) AS attempt) n
WHERE k.charge_id = n.id AND k.attempt = n.attempt;

-- name: NominalTimes :many
-- When, by their schedules, the runs fired that sent these attempts.
SELECT k.charge_id, r.nominal_time FROM card_attempts k
JOIN (SELECT unnest(@ids::uuid[]) AS id, unnest(@attempts::integer[]) AS attempt) n ON k.charge_id = n.id AND k.attempt = n.attempt
JOIN runs r ON r.run_id = k.run_id;
