package provider

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/provider/db"
)

// beatEvery is how often a replica says that it is there; it is believed for three beats and a bit.
const beatEvery = 3 * time.Second

// Replicas counts the processes that share the providers' rates: each keeps a row alive and takes its share. Two shares
// may be out of step for one beat when a replica comes, which is why a newcomer that is not alone waits for one before it
// takes part. It runs on real time, as leases do, whatever the service's clock shows.
type Replicas struct {
	DB     db.DBTX
	Name   string // unique per process
	Logger *slog.Logger
	Every  time.Duration // between beats; 3 s when zero
	// Share is told the number of replicas whenever it changes, and before the first send.
	Share func(replicas int)

	known atomic.Int64
	ready atomic.Bool
}

// Start makes this replica known and learns of the others.
func (r *Replicas) Start(ctx context.Context) error {
	if err := r.beat(ctx); err != nil {
		return err
	}
	if r.known.Load() > 1 {
		if err := clock.Real().Sleep(ctx, r.every()); err != nil {
			return err
		}
	}
	r.ready.Store(true)
	return nil
}

// Run keeps this replica known until ctx ends, then takes its row away so that the others get its share at once.
func (r *Replicas) Run(ctx context.Context) error {
	for clock.Real().Sleep(ctx, r.every()) == nil {
		// A failed beat keeps the last known share: the provider is not the worse for a database that is away.
		if err := r.beat(ctx); err != nil && ctx.Err() == nil {
			r.Logger.WarnContext(ctx, "provider: replica heartbeat failed", "error", err)
		}
	}
	leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := db.New(r.DB).LeaveReplica(leave, r.Name); err != nil {
		r.Logger.WarnContext(leave, "provider: replica row stays until it expires", "error", err)
	}
	return nil
}

// Ready reports whether the share is known.
func (r *Replicas) Ready(context.Context) error {
	if !r.ready.Load() {
		return fmt.Errorf("the number of replicas is not known yet")
	}
	return nil
}

func (r *Replicas) every() time.Duration {
	if r.Every > 0 {
		return r.Every
	}
	return beatEvery
}

func (r *Replicas) beat(ctx context.Context) error {
	q := db.New(r.DB)
	if err := q.Beat(ctx, db.BeatParams{Replica: r.Name, TtlSeconds: r.every().Seconds()*3 + 1}); err != nil {
		return fmt.Errorf("replica heartbeat: %w", err)
	}
	n, err := q.CountReplicas(ctx)
	if err != nil {
		return fmt.Errorf("count replicas: %w", err)
	}
	if err := q.ForgetReplicas(ctx); err != nil {
		return fmt.Errorf("forget old replicas: %w", err)
	}
	if r.known.Swap(n) != n {
		r.Share(int(n))
	}
	return nil
}
