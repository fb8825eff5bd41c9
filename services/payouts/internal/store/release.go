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
// their sum still needs one), then wakes their dispatch, by a command of its own each time: of a page much may be released one after the
// other. localDate is today for the tenant, whose caps they then count against. The returned place is nil when the queue begins anew: its end
// was reached, or one that its balance does not cover.
func (s *Store) Release(ctx context.Context, tx pgx.Tx, queue Queue, after Place, limit int, localDate string) (*Place, error) {
	if _, err := s.LockOutflow(ctx, tx, queue.Tenant); err != nil { // before the read: it sees the switch as it will stay
		return nil, err
	}
	held, err := db.New(tx).HeldPayouts(ctx, db.HeldPayoutsParams{
		Tenant: queue.Tenant, Provider: queue.Provider, NeedsPerson: payout.NeedsPerson(), CooledSince: s.CooledSince(queue.Tenant),
		DefaultProvider: s.DefaultProvider(queue.Tenant), Verify: s.Verifies(queue.Tenant, queue.Provider),
		AfterCreated: after.CreatedAt, AfterID: after.PayoutID, PageLimit: int32(limit),
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
	now := s.Clock.Now() // one for both looks at what is held: what is let go was asked for
	blocked := slices.Contains(stopped, queue.Tenant+"/"+queue.Provider) || !s.serves(queue)
	caps, err := s.Caps(ctx, tx, queue.Tenant, localDate, payeesOf(held), s.wanted(queue.Tenant, held, now))
	if err != nil {
		return nil, err
	}
	var fits func(net int64) bool
	if s.Float != nil && !blocked {
		if fits, err = s.Float.Fits(ctx, tx, queue); err != nil {
			return nil, err
		}
	}
	free := s.free(held, now, blocked, fits, caps, localDate)
	moved, err := s.Apply(ctx, tx, free.changes)
	if err != nil {
		return nil, err
	}
	if err := s.askAgainAbout(ctx, tx, queue, free); err != nil {
		return nil, err
	}
	if err := s.WakeDispatch(ctx, tx, moveOf(moved), moved...); err != nil {
		return nil, err
	}
	if len(held) < limit || free.short {
		return nil, nil
	}
	last := held[len(held)-1]
	return &Place{CreatedAt: last.CreatedAt, PayoutID: last.PayoutID}, nil
}

// freed is what becomes of a page of held payouts.
type freed struct {
	changes   []Change
	ask       []uuid.UUID // whose wallets have to be asked about again
	askAmount []uuid.UUID // whose wallets are verified, for less
	short     bool        // the balance does not cover all of them
}

// free makes the changes of those that nothing holds any more, or something else about their recipient than before. After the first that the
// balance does not cover nothing goes, so that nothing overtakes. What waits for a cap says so, and what waits for float: only the latter
// is what the balance is compared with, and nobody behind it waits for what no balance lets go.
func (s *Store) free(held []db.HeldPayoutsRow, now time.Time, providerStopped bool, fits func(net int64) bool, caps *Caps, localDate string) freed {
	var f freed
	for _, h := range held {
		if f.relabel(h) || s.waits(caps.tenant, h, now) {
			continue
		}
		if code := caps.Over(h.PayeeID, h.Net); code != "" {
			if h.ReasonCode == payout.CodeFloat {
				f.because(h, code)
			}
			continue
		}
		f.short = f.short || !providerStopped && fits != nil && !fits(h.Net)
		if f.short && h.ReasonCode != payout.CodeFloat {
			f.because(h, payout.CodeFloat)
		}
		if providerStopped || f.short {
			continue
		}
		caps.Take(h.PayeeID, h.Net)
		f.changes = append(f.changes, Change{
			PayoutID: h.PayoutID, From: []payout.State{payout.Held}, To: payout.Approved,
			Reason: payout.Reason{Code: payout.CodeCauseGone}, CapDate: localDate,
		})
	}
	return f
}

// wanted is the most that a page of held payouts takes of the caps.
func (s *Store) wanted(tenant string, held []db.HeldPayoutsRow, now time.Time) (net int64) {
	for _, h := range held {
		if !s.waits(tenant, h, now) {
			net += h.Net
		}
	}
	return net
}

// waits reports whether something is in the way of a held payout, its recipient, the caps and its connector aside.
func (s *Store) waits(tenant string, h db.HeldPayoutsRow, now time.Time) bool {
	most := s.rules(tenant).MaxPerPayout
	return h.OutflowStopped || h.PayeeState != "active" || h.Control != ControlOpen ||
		(h.RetryAt != nil && h.RetryAt.After(now)) || (most > 0 && h.Net > most) ||
		// A payout that was planned for another wallet than the payee's is never readdressed by itself; a person releases it.
		h.ReasonCode == payout.CodeDestination && h.DestinationRests
}

// because has a payout that stays held say what holds it now.
func (f *freed) because(h db.HeldPayoutsRow, code string) {
	f.changes = append(f.changes, Change{PayoutID: h.PayoutID, From: []payout.State{payout.Held}, To: payout.Held, Reason: payout.HeldBy(code)})
}

// moveOf tells the wake-up that follows a move from all others, however close in time: a payout has each version once.
func moveOf(moved []payout.Payout) string {
	if len(moved) == 0 {
		return ""
	}
	return fmt.Sprintf("m%s.%d", moved[0].ID, moved[0].Version)
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
