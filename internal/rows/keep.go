package rows

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
)

// ErrRaced means that another import stored the same ids meanwhile; the batch is done again on what is known now.
var ErrRaced = errors.New("another import stored the same rows")

// maxRaces bounds how often a batch is done again.
const maxRaces = 20

// Keeper stores batches, each in one transaction with its audit entry.
type Keeper struct {
	Pool    *pgxpool.Pool
	Outbox  *outbox.Outbox
	Clock   clock.Clock
	Service string
	Action  string // the method's name
	Tenant  string
}

// Keep stores a batch by store, whose errors undo it. A batch that changes nothing leaves no audit entry.
func Keep[T any](k Keeper, store func(ctx context.Context, tx pgx.Tx, rows []T) (Stored, error)) func(context.Context, []T, int64) (Stored, error) {
	return func(ctx context.Context, rows []T, first int64) (done Stored, err error) {
		for range maxRaces {
			err = pg.InTx(ctx, k.Pool, func(tx pgx.Tx) (err error) {
				if done, err = store(ctx, tx, rows); err != nil || done.Inserted+done.Updated == 0 {
					return err
				}
				return auth.Record(ctx, tx, k.Outbox, auth.Entry{
					Tenant: k.Tenant, Service: k.Service, Action: k.Action, Target: fmt.Sprintf("line %d and after", first),
					Detail: fmt.Sprintf("%d inserted, %d updated", done.Inserted, done.Updated), At: k.Clock.Now(),
				})
			})
			if !errors.Is(err, ErrRaced) {
				break
			}
		}
		k.Outbox.Nudge()
		return done, err
	}
}
