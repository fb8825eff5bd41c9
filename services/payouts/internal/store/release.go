package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/pg"
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

// Look says which page of a queue is looked at.
type Look struct {
	After     Place
	Limit     int
	LocalDate string                  // today for the tenant, against whose caps counts what is released
	Pass      func(id uuid.UUID) bool // what is passed over, as if it were not there; nil: nothing
}

// Released is what a look at a queue came to.
type Released struct {
	// Next is where the next look begins; nil: anew, since the end of the queue was reached, or one that its balance does not cover.
	Next  *Place
	Tried []uuid.UUID         // those looked at that no error keeps held
	Stuck map[uuid.UUID]error // the others
}

// Release looks at one page of a queue and moves those whose cause is gone back to approved (or to awaiting_approval when
// their sum still needs one), then wakes their dispatch, by a command of its own each time: of a page much may be released one after the
// other. One that cannot be moved stays held, and keeps no other waiting.
func (s *Store) Release(ctx context.Context, tx pgx.Tx, queue Queue, look Look) (Released, error) {
	if _, err := s.LockOutflow(ctx, tx, queue.Tenant); err != nil { // before the read: it sees the switch as it will stay
		return Released{}, err
	}
	held, next, err := s.held(ctx, tx, queue, look)
	if err != nil || len(held) == 0 {
		return Released{Next: next}, err
	}
	free, err := s.freeOf(ctx, tx, queue, held, look.LocalDate)
	if err != nil {
		return Released{}, err
	}
	l, err := s.letGo(ctx, tx, free.changes)
	if err != nil {
		return Released{}, err
	}
	if err := s.askAgainAbout(ctx, tx, queue, free); err != nil {
		return Released{}, err
	}
	if err := s.WakeDispatch(ctx, tx, moveOf(l.moved), l.moved...); err != nil {
		return Released{}, err
	}
	done := Released{Next: next, Stuck: l.stuck}
	for _, h := range held {
		if _, stuck := l.stuck[h.PayoutID]; !stuck && !l.left[h.PayoutID] {
			done.Tried = append(done.Tried, h.PayoutID)
		}
	}
	switch {
	case len(l.left) > 0:
		done.Next = &look.After
	case free.short:
		done.Next = nil
	}
	return done, nil
}

// held reads a page of a queue, and where the next one begins.
func (s *Store) held(ctx context.Context, tx pgx.Tx, queue Queue, look Look) (page []db.HeldPayoutsRow, next *Place, err error) {
	page, err = db.New(tx).HeldPayouts(ctx, db.HeldPayoutsParams{
		Tenant: queue.Tenant, Provider: queue.Provider, NeedsPerson: payout.NeedsPerson(), CooledSince: s.CooledSince(queue.Tenant),
		DefaultProvider: s.DefaultProvider(queue.Tenant), Verify: s.Verifies(queue.Tenant, queue.Provider),
		AfterCreated: look.After.CreatedAt, AfterID: look.After.PayoutID, PageLimit: int32(look.Limit),
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read held payouts of %s/%s: %w", queue.Tenant, queue.Provider, err)
	}
	if len(page) == look.Limit {
		last := page[len(page)-1]
		next = &Place{CreatedAt: last.CreatedAt, PayoutID: last.PayoutID}
	}
	if look.Pass != nil {
		page = slices.DeleteFunc(page, func(h db.HeldPayoutsRow) bool { return look.Pass(h.PayoutID) })
	}
	return page, next, nil
}

// freeOf decides what becomes of a page of a queue.
func (s *Store) freeOf(ctx context.Context, tx pgx.Tx, queue Queue, held []db.HeldPayoutsRow, localDate string) (freed, error) {
	stopped, err := s.StoppedConnectors(ctx, tx)
	if err != nil {
		return freed{}, err
	}
	now := s.Clock.Now() // one for both looks at what is held: what is let go was asked for
	blocked := slices.Contains(stopped, queue.Tenant+"/"+queue.Provider) || !s.serves(queue)
	caps, err := s.Caps(ctx, tx, queue.Tenant, localDate, payeesOf(held), s.wanted(queue.Tenant, held, now))
	if err != nil {
		return freed{}, err
	}
	var fits func(net int64) bool
	if s.Float != nil && !blocked {
		if fits, err = s.Float.Fits(ctx, tx, queue); err != nil {
			return freed{}, err
		}
	}
	return s.free(held, now, blocked, fits, caps, localDate), nil
}

// letGone is what became of changes: those that were made, those that an error kept from it, and those that were not tried behind too many errors.
type letGone struct {
	moved []payout.Payout
	stuck map[uuid.UUID]error
	left  map[uuid.UUID]bool
}

// letGo makes changes of held payouts in their order, each that fails apart.
func (s *Store) letGo(ctx context.Context, tx pgx.Tx, changes []Change) (letGone, error) {
	l := letGone{stuck: map[uuid.UUID]error{}, left: map[uuid.UUID]bool{}}
	held, locked, err := s.lockFree(ctx, tx, changes)
	if err != nil {
		return letGone{}, err
	}
	for _, c := range changes {
		l.left[c.PayoutID] = true
	}
	end := func(c Change, err error) {
		l.stuck[c.PayoutID] = err
		delete(l.left, c.PayoutID)
	}
	changes = slices.DeleteFunc(slices.Clone(changes), func(c Change) bool {
		err, is := locked[c.PayoutID]
		if is {
			end(c, err)
		}
		return is
	})
	_, err = run.Apart(ctx, tx, changes, func(ctx context.Context, tx pgx.Tx, some []Change) error {
		moved, err := s.ApplyTo(ctx, tx, held, some)
		if err != nil {
			return err
		}
		l.moved = append(l.moved, moved...)
		for _, c := range some {
			delete(l.left, c.PayoutID)
		}
		return nil
	}, end)
	return l, err
}

// lockFree locks payouts that are to be changed. When that takes too long, it is done without those that somebody else has at that moment,
// which are returned with the error.
func (s *Store) lockFree(ctx context.Context, tx pgx.Tx, changes []Change) (held []payout.Payout, locked map[uuid.UUID]error, err error) {
	ids := make([]uuid.UUID, len(changes))
	for i, c := range changes {
		ids[i] = c.PayoutID
	}
	waited := pg.InTx(ctx, tx, func(tx pgx.Tx) (err error) {
		held, err = s.Lock(ctx, tx, ids...)
		return err
	})
	if waited == nil || !pg.LockTimedOut(waited) {
		return held, nil, waited
	}
	rows, err := db.New(tx).LockFreePayouts(ctx, ids)
	if err != nil {
		return nil, nil, fmt.Errorf("lock those payouts that nobody has: %w", err)
	}
	locked = make(map[uuid.UUID]error, len(ids))
	for _, id := range ids {
		locked[id] = waited
	}
	for _, r := range rows {
		held = append(held, fromRow(db.LockPayoutsRow(r)))
		delete(locked, r.PayoutID)
	}
	return held, locked, nil
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
