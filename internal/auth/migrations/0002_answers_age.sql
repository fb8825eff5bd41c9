-- +goose Up

-- Old answers are found by their age to be forgotten.
CREATE INDEX idempotent_requests_age ON idempotent_requests (created_at);
