package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/store/db"
)

// Ending is a charge that stayed open when its recurrence was cancelled.
type Ending struct {
	ChargeID uuid.UUID
	Tenant   string
}

// LeaveOpen notes charges of a recurrence that is being cancelled: they end when it is known that they were not charged.
func (s *Store) LeaveOpen(ctx context.Context, tx pgx.Tx, charges ...Charge) error {
	p := db.InsertEndingsParams{}
	for _, c := range charges {
		p.Ids, p.Tenants = append(p.Ids, c.ID), append(p.Tenants, c.Tenant)
	}
	if len(p.Ids) == 0 {
		return nil
	}
	if err := db.New(tx).InsertEndings(ctx, p); err != nil {
		return fmt.Errorf("note what stays open of what has ended: %w", err)
	}
	return nil
}

// Endings lists a page of those that were left open, after one, and returns the next place.
func (s *Store) Endings(ctx context.Context, tx pgx.Tx, after uuid.UUID, limit int) (left []Ending, next uuid.UUID, err error) {
	rows, err := db.New(tx).ListEndings(ctx, db.ListEndingsParams{After: after, PageLimit: int32(limit)})
	if err != nil {
		return nil, uuid.Nil, fmt.Errorf("find what stays open of what has ended: %w", err)
	}
	for _, r := range rows {
		left = append(left, Ending(r))
	}
	if len(left) == limit {
		next = left[limit-1].ChargeID
	}
	return left, next, nil
}

// Ended forgets those that were left open and are not any more.
func (s *Store) Ended(ctx context.Context, tx pgx.Tx, ids ...uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	if err := db.New(tx).DeleteEndings(ctx, ids); err != nil {
		return fmt.Errorf("forget what has ended: %w", err)
	}
	return nil
}

// Found lists charges that nothing sends and of which their gateway has more from before a restore than the tables, among a page of all that was found, after one, and
// returns the next place. A page may have nothing, and not be the last.
func (s *Store) Found(ctx context.Context, tx pgx.Tx, after uuid.UUID, limit int) (unsent []Ending, next uuid.UUID, err error) {
	rows, err := db.New(tx).FoundCharges(ctx, db.FoundChargesParams{After: after, PageLimit: int32(limit)})
	if err != nil {
		return nil, uuid.Nil, fmt.Errorf("find what was found of charges that nothing sends: %w", err)
	}
	for _, r := range rows {
		if r.Unsent {
			unsent = append(unsent, Ending{ChargeID: r.SubjectID, Tenant: r.Tenant})
		}
	}
	if len(rows) == limit {
		next = rows[limit-1].SubjectID
	}
	return unsent, next, nil
}

// Renumber has the next attempt of a charge go under a number after this one, which its gateway knows already.
func (s *Store) Renumber(ctx context.Context, tx pgx.Tx, id uuid.UUID, attempt int) error {
	p := db.RenumberChargeParams{ChargeID: id, Attempt: int32(attempt), Reference: charge.Reference(id, attempt)}
	if err := db.New(tx).RenumberCharge(ctx, p); err != nil {
		return fmt.Errorf("count the lost attempts of charge %s: %w", id, err)
	}
	return nil
}
