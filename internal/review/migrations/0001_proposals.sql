-- +goose Up

-- What the first of two people said who decide about something in manual review.
CREATE TABLE proposals (
    subject_id  uuid PRIMARY KEY, -- the payout or charge
    attempt     integer NOT NULL, -- which it is about: a proposal says nothing of another one
    outcome     text NOT NULL CHECK (outcome IN ('paid', 'not_paid')),
    pay_again   boolean NOT NULL,
    evidence    text NOT NULL,
    actor       text NOT NULL,
    proposed_at timestamptz NOT NULL,
    lookup_at   timestamptz, -- the newest lookup answered after the proposal
    lookup_said text NOT NULL DEFAULT '' -- absent, failed, or a state that speaks against not_paid
);
