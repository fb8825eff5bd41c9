package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// Queue is the held payouts of one connector; they are released first come, first served.
type Queue struct {
	Tenant   string
	Provider string
}

// Place is how far a queue was looked at: the payout after which the next page begins.
type Place struct {
	CreatedAt time.Time
	PayoutID  uuid.UUID
}

// HeldQueues lists the queues that hold something.
func (s *Store) HeldQueues(ctx context.Context, tx db.DBTX) ([]Queue, error) {
	rows, err := db.New(tx).HeldQueues(ctx)
	if err != nil {
		return nil, fmt.Errorf("list held payouts' queues: %w", err)
	}
	queues := make([]Queue, len(rows))
	for i, r := range rows {
		queues[i] = Queue(r)
	}
	return queues, nil
}

// Release looks at one page of a queue and moves those whose cause is gone back to approved (or to awaiting_approval when
// their sum still needs one), then wakes their dispatch. nonce tells this wake-up from the page's earlier ones; localDate is
// today for the tenant, whose caps they then count against. The returned place is nil when the queue begins anew: its end was reached, or
// one that its balance does not cover.
func (s *Store) Release(ctx context.Context, tx pgx.Tx, queue Queue, after Place, limit int, localDate, nonce string) (*Place, error) {
	if _, err := s.LockOutflow(ctx, tx, queue.Tenant); err != nil { // before the read: it sees the switch as it will stay
		return nil, err
	}
	held, err := db.New(tx).HeldPayouts(ctx, db.HeldPayoutsParams{
		Tenant: queue.Tenant, Provider: queue.Provider, NeedsPerson: payout.NeedsPerson(), CooledSince: s.CooledSince(queue.Tenant),
		DefaultProvider: s.DefaultProvider(queue.Tenant),
		AfterCreated:    after.CreatedAt, AfterID: after.PayoutID, PageLimit: int32(limit),
	})
	if err != nil {
		return nil, fmt.Errorf("read held payouts of %s/%s: %w", queue.Tenant, queue.Provider, err)
	}
	if len(held) == 0 {
		return nil, nil
	}
	stopped, err := s.StoppedConnectors(ctx, tx)
	if err != nil {
		return nil, err
	}
	caps, err := s.Caps(ctx, tx, queue.Tenant, localDate, payeesOf(held))
	if err != nil {
		return nil, err
	}
	blocked := slices.Contains(stopped, queue.Tenant+"/"+queue.Provider) || !s.serves(queue)
	var fits func(net int64) bool
	if s.Float != nil && !blocked {
		if fits, err = s.Float.Fits(ctx, tx, queue); err != nil {
			return nil, err
		}
	}
	free, whole := s.free(held, blocked, fits, caps, localDate)
	moved, err := s.Apply(ctx, tx, free)
	if err != nil {
		return nil, err
	}
	if err := s.WakeDispatch(ctx, tx, nonce, moved...); err != nil {
		return nil, err
	}
	if len(held) < limit || !whole {
		return nil, nil
	}
	last := held[len(held)-1]
	return &Place{CreatedAt: last.CreatedAt, PayoutID: last.PayoutID}, nil
}

// free makes the changes of those that nothing holds any more. The first that the balance does not cover ends it, so that nothing
// overtakes: whole is false then.
func (s *Store) free(held []db.HeldPayoutsRow, providerStopped bool, fits func(net int64) bool, caps *Caps, localDate string) (changes []Change, whole bool) {
	rules := s.rules(caps.tenant)
	now := s.Clock.Now()
	for _, h := range held {
		blocked := h.OutflowStopped || providerStopped || h.PayeeState != "active" || h.Control != ControlOpen ||
			(h.RetryAt != nil && h.RetryAt.After(now)) || (rules.MaxPerPayout > 0 && h.Net > rules.MaxPerPayout)
		// A payout that was planned for another wallet than the payee's is never readdressed by itself; a person releases it.
		blocked = blocked || h.ReasonCode == payout.CodeDestination && h.DestinationRests
		if blocked {
			continue
		}
		if fits != nil && !fits(h.Net) {
			return changes, false
		}
		if caps.Take(h.PayeeID, h.Net) != "" {
			continue
		}
		changes = append(changes, Change{
			PayoutID: h.PayoutID, From: []payout.State{payout.Held}, To: payout.Approved,
			Reason: payout.Reason{Code: payout.CodeCauseGone}, CapDate: localDate,
		})
	}
	return changes, true
}

// WakeDispatch emits one dispatch command per page among the approved ones of the payouts.
func (s *Store) WakeDispatch(ctx context.Context, tx pgx.Tx, nonce string, payouts ...payout.Payout) error {
	var at []run.Place
	for _, p := range payouts {
		if p.State == payout.Approved {
			at = append(at, run.Place{Run: p.RunID, Page: p.Page})
		}
	}
	return s.Runs.WakeDispatch(ctx, tx, nonce, at...)
}

func payeesOf(held []db.HeldPayoutsRow) []string {
	ids := make([]string, len(held))
	for i, h := range held {
		ids[i] = h.PayeeID
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
