-- name: LockProposal :one
SELECT subject_id, attempt, outcome, pay_again, evidence, actor, proposed_at, lookup_at, lookup_said FROM proposals
WHERE subject_id = @subject_id FOR UPDATE;

-- name: Propose :exec
-- A new proposal knows no lookup yet: only what is asked after it counts.
INSERT INTO proposals (subject_id, attempt, outcome, pay_again, evidence, actor, proposed_at)
VALUES (@subject_id, @attempt, @outcome, @pay_again, @evidence, @actor, @now)
ON CONFLICT (subject_id) DO UPDATE SET attempt = EXCLUDED.attempt, outcome = EXCLUDED.outcome, pay_again = EXCLUDED.pay_again, evidence = EXCLUDED.evidence,
    actor = EXCLUDED.actor, proposed_at = EXCLUDED.proposed_at, lookup_at = NULL, lookup_said = '';

-- name: NoteLookups :exec
-- What the newest lookup said, for the two people who decide about an attempt. Older proposals than the lookup only: asking
-- at a proposal voids lookups that were under way.
UPDATE proposals p SET lookup_at = @at::timestamptz, lookup_said = l.said
FROM (SELECT unnest(@ids::uuid[]) AS subject_id, unnest(@attempts::integer[]) AS attempt, unnest(@said::text[]) AS said) l
WHERE p.subject_id = l.subject_id AND p.attempt = l.attempt;

-- name: DropProposals :exec
DELETE FROM proposals WHERE subject_id = ANY(@ids::uuid[]);

-- name: ProposalsOf :many
SELECT subject_id, attempt, outcome, pay_again, evidence, actor, proposed_at, lookup_at, lookup_said FROM proposals
WHERE subject_id = ANY(@ids::uuid[]);
