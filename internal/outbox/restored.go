package outbox

import (
	"context"
	"fmt"
	"time"

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
