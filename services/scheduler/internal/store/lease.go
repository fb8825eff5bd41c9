package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/scheduler/internal/store/db"
)

// leaseName is the one lease that replicas of the scheduler contend for.
const leaseName = "ticker"

// TakeLease makes holder the leader for ttl if nobody is, and returns its term, or 0.
func (s *Store) TakeLease(ctx context.Context, holder string, ttl time.Duration) (term int64, err error) {
	term, err = db.New(s.Pool).TakeLease(ctx, db.TakeLeaseParams{Name: leaseName, LeaderID: holder, TtlSeconds: ttl.Seconds()})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("take the lease: %w", err)
	}
	return term, nil
}

// RenewLease prolongs a term, or reports that it is over.
func (s *Store) RenewLease(ctx context.Context, holder string, term int64, ttl time.Duration) (held bool, err error) {
	n, err := db.New(s.Pool).RenewLease(ctx, db.RenewLeaseParams{Name: leaseName, LeaderID: holder, Term: term, TtlSeconds: ttl.Seconds()})
	if err != nil {
		return false, fmt.Errorf("renew the lease: %w", err)
	}
	return n == 1, nil
}

// ResignLease ends a term, so that another replica need not wait for its end.
func (s *Store) ResignLease(ctx context.Context, holder string, term int64) error {
	if err := db.New(s.Pool).ResignLease(ctx, db.ResignLeaseParams{Name: leaseName, LeaderID: holder, Term: term}); err != nil {
		return fmt.Errorf("resign the lease: %w", err)
	}
	return nil
}
