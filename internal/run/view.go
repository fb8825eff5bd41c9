package run

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/run/db"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
)

// List returns one page of a tenant's runs, newest nominal time first, and the token of the next one, "" at the end. The
// error of a token that is not one of ours is for the caller of the API.
func (s *Store) List(ctx context.Context, q db.DBTX, tenant, token string, pageSize int32) (runs []Run, next string, err error) {
	size := rpc.PageSize(pageSize)
	// No run is later than the far future; the first page begins there.
	p := db.ListRunsParams{Tenant: tenant, Before: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), PageLimit: int32(size + 1)}
	key, err := rpc.ParsePageToken(token, 2)
	if err != nil {
		return nil, "", err
	}
	if key != nil {
		var bad, worse error
		p.Before, bad = time.Parse(time.RFC3339Nano, key[0])
		p.After, worse = uuid.Parse(key[1])
		if bad != nil || worse != nil {
			return nil, "", rpc.Invalid("page_token", "not one of ours")
		}
	}
	rows, err := db.New(q).ListRuns(ctx, p)
	if err != nil {
		return nil, "", fmt.Errorf("list runs of %s: %w", tenant, err)
	}
	if len(rows) > size {
		rows = rows[:size]
		last := rows[size-1]
		next = rpc.PageToken(last.NominalTime.UTC().Format(time.RFC3339Nano), last.RunID.String())
	}
	for _, r := range rows {
		runs = append(runs, fromRow(s.Service, db.LockRunRow(r)))
	}
	return runs, next, nil
}

// Find reads a tenant's run by its id or its tick's, or returns [ErrNoRun].
func (s *Store) Find(ctx context.Context, q db.DBTX, tenant, id string) (Run, error) {
	p := db.FindRunParams{Tenant: tenant, TickID: id}
	if u, err := uuid.Parse(id); err == nil {
		p.RunID = u
	}
	r, err := db.New(q).FindRun(ctx, p)
	return s.runOrErr(db.LockRunRow(r), id, err)
}

// event makes the outbox message of a run's change.
func (s *Store) event(ctx context.Context, r Run, t event.Type, body *eventsv1.Run) (outbox.Message, error) {
	data, err := event.Encode(body)
	if err != nil {
		return outbox.Message{}, fmt.Errorf("encode %s of %s: %w", t, r.ID, err)
	}
	return outbox.FromEvent(ctx, event.New(ctx, s.Service, r.Tenant, t, r.ID.String(), r.Version, s.Epoch.Now(), s.Clock.Now()), data), nil
}
