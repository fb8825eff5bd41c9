package pg

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/clock"
)

const (
	txAttempts      = 5
	txBackoff       = 10 * time.Millisecond // doubles, half of it random
	rollbackTimeout = 5 * time.Second
)

// InTx runs fn in one read-committed transaction and commits it. A serialization failure or deadlock is retried a few
// times, so fn may run more than once and must not touch the outside. Inside a transaction (a savepoint) nothing is
// retried: only the outermost one can begin anew. An error of Commit on a lost connection leaves the outcome unknown.
func InTx(ctx context.Context, db Beginner, fn func(tx pgx.Tx) error) error {
	_, nested := db.(pgx.Tx)
	for attempt := 1; ; attempt++ {
		err := once(ctx, db, fn)
		if err == nil || nested || attempt == txAttempts || KindOf(err) != Conflict {
			return err
		}
		if werr := clock.Real().Sleep(ctx, backoff(attempt)); werr != nil {
			return errors.Join(err, werr)
		}
	}
}

// Snapshot runs fn in one transaction that only reads, all of it as of one moment.
func Snapshot(ctx context.Context, db *pgxpool.Pool, fn func(tx pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, db, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, fn)
}

func once(ctx context.Context, db Beginner, fn func(tx pgx.Tx) error) (err error) {
	tx, err := db.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	committed := false
	defer func() {
		if committed {
			return
		}
		// Also on a panic of fn. The caller's context may be over, and an unanswered rollback would cost the connection.
		rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
		defer cancel()
		if rerr := tx.Rollback(rctx); rerr != nil && !errors.Is(rerr, pgx.ErrTxClosed) && err != nil {
			err = errors.Join(err, fmt.Errorf("roll back: %w", rerr))
		}
	}()
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	committed = true
	return nil
}

func backoff(attempt int) time.Duration {
	d := txBackoff << (attempt - 1)
	return d/2 + rand.N(d/2)
}
