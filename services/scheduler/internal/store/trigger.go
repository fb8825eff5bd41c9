package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/scheduler/internal/schedule"
	"github.com/agogopay/agogo/services/scheduler/internal/store/db"
)

// Triggered is what became of a trigger by hand.
type Triggered struct {
	TickID string
	// AlreadyFired says that the tick had fired before: nothing was done.
	AlreadyFired bool
	Settled      []Settled
}

// Trigger fires one tick by hand, whether the schedule is paused or not, and leaves the cursor alone. At a nominal time of
// the schedule it is that very tick: the later cron tick finds it settled, and one that was missed or skipped fires after
// all. Any other past time, or none (the zero time) for now, makes an extra tick. Call [Store.Committed] after commit.
func (s *Store) Trigger(ctx context.Context, tx pgx.Tx, key schedule.Key, at time.Time, requestID string) (Triggered, error) {
	// The lock comes before the tick, as in Fire, so that the two cannot wait for each other.
	sch, err := s.lock(ctx, tx, key)
	if err != nil {
		return Triggered{}, err
	}
	if sch.State == schedule.Deleted {
		return Triggered{}, fmt.Errorf("schedule %s: %w", key, ErrNotFound)
	}
	now := s.now()
	at = at.Truncate(time.Microsecond)
	unique := uuidAt(now)
	t := Settled{Key: key, At: now}
	switch {
	case at.IsZero():
		t.Tick = sch.Extra(now, unique)
		t.State, t.Trigger = schedule.Fired, schedule.ByHand
	case at.After(now):
		return Triggered{}, fmt.Errorf("schedule %s at %s: %w", key, at.UTC().Format(time.RFC3339), ErrFuture)
	default:
		t.Tick = sch.ByPerson(at, unique)
	}
	return s.fireByHand(ctx, tx, sch, t, requestID)
}

func (s *Store) fireByHand(ctx context.Context, tx pgx.Tx, sch schedule.Schedule, t Settled, requestID string) (Triggered, error) {
	rules := map[schedule.Key]schedule.Rule{sch.Key: sch.Rule}
	previous := map[string]db.LockTickRow{}
	fresh, err := s.insertTicks(ctx, tx, []Settled{t}, rules, requestID)
	if err != nil {
		return Triggered{}, err
	}
	if len(fresh) == 0 {
		was, err := db.New(tx).LockTick(ctx, t.ID)
		if err != nil {
			return Triggered{}, notFound(err, "tick", t.ID)
		}
		if was.State == string(schedule.Fired) {
			return Triggered{TickID: t.ID, AlreadyFired: true}, nil
		}
		previous[t.ID] = was
		err = db.New(tx).FireSettledTick(ctx, db.FireSettledTickParams{
			TickID: t.ID, Trigger: string(t.Trigger), Job: sch.Job, RequestID: requestID, Version: was.Version + 1, Now: &t.At,
		})
		if err != nil {
			return Triggered{}, fmt.Errorf("fire tick %s: %w", t.ID, err)
		}
	}
	err = db.New(tx).SetLastTick(ctx, db.SetLastTickParams{TickID: t.ID, Tenant: t.Tenant, Service: t.Service, Name: t.Name})
	if err != nil {
		return Triggered{}, fmt.Errorf("note the last tick of %s: %w", t.Key, err)
	}
	settled := []Settled{t}
	return Triggered{TickID: t.ID, Settled: settled}, s.publishTicks(ctx, tx, settled, rules, previous)
}

// uuidAt is a UUIDv7 with the service's time instead of the machine's.
func uuidAt(at time.Time) string {
	id := uuid.New()
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6] = id[6]&0x0f | 0x70
	return id.String()
}
