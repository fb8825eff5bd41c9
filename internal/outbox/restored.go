package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/outbox/db"
	"github.com/agogopay/agogo/internal/stream"
)

// SeqHeader names the place of a message in its service's outbox. Within an epoch it only rises, so a stream that holds a higher
// one than the tables know has seen what they have lost.
const SeqHeader = "Agogo-Outbox-Seq"

// Known is how far a service's tables remember what they told.
type Known struct {
	Seq int64 // of the newest message ever committed
	// Idle is how long ago that was, by database time; negative when the row is gone and nobody can tell.
	Idle time.Duration
}

// ReadKnown reads how far the tables remember.
func ReadKnown(ctx context.Context, q db.DBTX) (Known, error) {
	row, err := db.New(q).Known(ctx)
	if err != nil {
		return Known{}, fmt.Errorf("read the newest message of the outbox: %w", err)
	}
	return Known{Seq: row.Seq, Idle: time.Duration(row.IdleSeconds * float64(time.Second))}, nil
}

// Parcel is a row of the outbox, by its place and the moment it was written: after a restore a place may be taken by another one.
type Parcel struct {
	Seq int64
	At  time.Time
}

// NewestParcel reads the newest row that is kept; the zero Parcel when none is.
func NewestParcel(ctx context.Context, q db.DBTX) (Parcel, error) {
	row, err := db.New(q).NewestParcel(ctx)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Parcel{}, fmt.Errorf("read the newest row of the outbox: %w", err)
	}
	return Parcel{Seq: row.Seq, At: row.CreatedAt}, nil
}

// Has reports whether a row is still there, or may have been dropped.
func Has(ctx context.Context, q db.DBTX, p Parcel) (bool, error) {
	has, err := db.New(q).HasParcel(ctx, db.HasParcelParams{Seq: p.Seq, CreatedAt: p.At})
	if err != nil {
		return false, fmt.Errorf("look for row %d of the outbox: %w", p.Seq, err)
	}
	return has, nil
}

// Absent is the highest of the places, each with its message's id, that the tables do not hold and never dropped; 0 when there is none.
func Absent(ctx context.Context, q db.DBTX, places []int64, ids []string) (int64, error) {
	seq, err := db.New(q).Absent(ctx, db.AbsentParams{Seqs: places, Ids: ids})
	if err != nil {
		return 0, fmt.Errorf("look for %d published messages in the outbox: %w", len(places), err)
	}
	return seq, nil
}

// resendEvents is how long before a backup events may have been published that their consumers had not yet handled when it was
// taken. Their tables are of the same moment, and nobody delivers those events to them again.
const resendEvents = time.Hour

// Resend publishes again, under names of the new epoch, what consumers may have handled after the backup was taken, in tables that
// are gone: every tick that is kept, and the events of its last hour. Inboxes drop what they know. What waits to be published
// gets a name of the epoch too where a window for duplicates could swallow it.
func Resend(ctx context.Context, q db.DBTX, epoch int) error {
	queries := db.New(q)
	for name, span := range map[string]time.Duration{stream.Ticks: everything, stream.Events: resendEvents} {
		p := db.ResendParams{Epoch: int32(epoch), Stream: name, Seconds: span.Seconds()}
		if _, err := queries.Resend(ctx, p); err != nil {
			return fmt.Errorf("publish what is kept of %s again: %w", name, err)
		}
	}
	p := db.RenameParams{Epoch: int32(epoch), Streams: []string{stream.Ticks, stream.Commands}}
	if _, err := queries.Rename(ctx, p); err != nil {
		return fmt.Errorf("rename what waits in the outbox: %w", err)
	}
	return nil
}

// everything is longer than any row is kept.
const everything = 10 * 365 * 24 * time.Hour
