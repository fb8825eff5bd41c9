package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/review"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// Apply makes changes in the caller's transaction, emits one event each, and returns the payouts that changed, as they are
// now. A payout that is not in From is left alone and is absent from the result: someone else was faster. A transition
// that the state table does not have is an error.
//
// With the changes go what must always hold: items of a payout that ended unpaid are freed, a failed payout is only
// approved again while it holds all its items, a contradicted one stays where it cannot pay again, what people proposed
// about a review ends with it, wallets that hold a payout until their provider has spoken are asked about, payee-scope failures in a row pause the payee (and hold what else was approved
// for them), what was taken over from a hold is held again before another try, a batch whose failures pass the tenant's limit pauses itself, and whatever would be approved without the
// approvals that its sum needs waits for them instead. Postings are the caller's: only it knows the
// attempt they belong to.
func (s *Store) Apply(ctx context.Context, tx pgx.Tx, changes []Change) ([]payout.Payout, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	ids := make([]uuid.UUID, len(changes))
	for i, c := range changes {
		ids[i] = c.PayoutID
	}
	held, err := s.Lock(ctx, tx, ids...)
	if err != nil {
		return nil, err
	}
	return s.ApplyTo(ctx, tx, held, changes)
}

// Lock reads payouts and holds their rows until the transaction ends, in id order, so that two transactions never wait for each
// other in a circle; unknown ids are absent.
func (s *Store) Lock(ctx context.Context, tx pgx.Tx, ids ...uuid.UUID) ([]payout.Payout, error) {
	rows, err := db.New(tx).LockPayouts(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("lock payouts: %w", err)
	}
	held := make([]payout.Payout, len(rows))
	for i, r := range rows {
		held[i] = fromRow(r)
	}
	return held, nil
}

// ApplyTo is [Store.Apply] for payouts that [Store.Lock], or a claim, has read whole and holds in this transaction.
func (s *Store) ApplyTo(ctx context.Context, tx pgx.Tx, held []payout.Payout, changes []Change) ([]payout.Payout, error) {
	q := db.New(tx)
	moved, err := s.decide(held, changes)
	if err != nil || len(moved) == 0 {
		return nil, err
	}
	if err := checkItemsHeld(ctx, q, moved); err != nil {
		return nil, err
	}
	if err := keepHolds(ctx, q, moved); err != nil {
		return nil, err
	}
	if err := s.move(ctx, tx, q, moved); err != nil {
		return nil, err
	}
	if err := s.release(ctx, q, moved); err != nil {
		return nil, err
	}
	if err := s.watchPayees(ctx, tx, q, moved); err != nil {
		return nil, err
	}
	if err := s.watchBatches(ctx, tx, q, moved); err != nil {
		return nil, err
	}
	if err := closeReviews(ctx, tx, moved); err != nil {
		return nil, err
	}
	payouts := make([]payout.Payout, len(moved))
	for i, m := range moved {
		payouts[i] = m.Payout
	}
	if err := s.askAbout(ctx, q, payouts); err != nil {
		return nil, err
	}
	if err := s.secure(ctx, tx, payouts); err != nil {
		return nil, err
	}
	if err := s.holdAgain(ctx, tx, q, payouts); err != nil {
		return nil, err
	}
	return payouts, s.awaitApproval(ctx, tx, payouts)
}

// closeReviews drops the proposals about payouts that left manual_review: the next review of one is about something else.
func closeReviews(ctx context.Context, tx pgx.Tx, moved []move) error {
	var ids []uuid.UUID
	for _, m := range moved {
		if m.Previous == payout.ManualReview && m.State != payout.ManualReview {
			ids = append(ids, m.ID)
		}
	}
	return review.Drop(ctx, tx, ids...)
}

// move is a payout as it will be, with what its change asks for beside the row.
type move struct {
	payout.Payout
	event   event.Type
	release bool
	capDate string
}

// decide works out what becomes of payouts whose rows are held.
func (s *Store) decide(held []payout.Payout, changes []Change) ([]move, error) {
	byID := make(map[uuid.UUID]Change, len(changes))
	for _, c := range changes {
		if _, twice := byID[c.PayoutID]; twice {
			return nil, fmt.Errorf("payout %s is changed twice in one call; split it", c.PayoutID)
		}
		byID[c.PayoutID] = c
	}
	moved := make([]move, 0, len(held))
	for _, p := range held {
		c, ok := byID[p.ID]
		if !ok || !slices.Contains(c.From, p.State) {
			continue
		}
		m, err := s.approvalFirst(c, p).of(p)
		if err != nil {
			return nil, err
		}
		moved = append(moved, m)
	}
	return moved, nil
}

// Of is the payout after the change, and the event that tells of it: for one that is being created, and so is nobody else's
// yet. Everything that exists is changed by [Store.Apply].
func (c Change) Of(p payout.Payout) (payout.Payout, event.Type, error) {
	m, err := c.of(p)
	return m.Payout, m.event, err
}

// of is the payout after the change.
func (c Change) of(p payout.Payout) (move, error) {
	t, ok := event.Payout.Event(string(p.State), string(c.To))
	if !ok {
		return move{}, fmt.Errorf("payout %s: the state table has no way from %s to %s", p.ID, p.State, c.To)
	}
	release := c.Release || payout.Releases(c.To, c.RetryAt != nil)
	if release && !payout.MayRelease(c.To) {
		return move{}, fmt.Errorf("payout %s: items of a payout in %s are never released", p.ID, c.To)
	}
	p.Previous, p.State, p.Reason, p.RetryAt = p.State, c.To, c.Reason, c.RetryAt
	p.Version++
	p.Counted += c.Counted
	if c.Attempt != 0 {
		p.Attempt = c.Attempt
	}
	if c.Reference != "" {
		p.Reference = c.Reference
	}
	if c.Provider != "" {
		p.Provider = c.Provider
	}
	if c.Fee != nil {
		fee := p.Net
		fee.Minor = *c.Fee
		p.Fee = &fee
	}
	p.ApprovalExpiresAt = nil
	return move{Payout: p, event: t, release: release, capDate: c.CapDate}, nil
}

// checkItemsHeld refuses to approve a failed payout whose items were freed: they may be in another payout by now.
func checkItemsHeld(ctx context.Context, q *db.Queries, moved []move) error {
	var again []uuid.UUID
	for _, m := range moved {
		if m.Previous == payout.Failed && m.State == payout.Approved {
			again = append(again, m.ID)
		}
	}
	if len(again) == 0 {
		return nil
	}
	released, err := q.ReleasedOf(ctx, again)
	if err != nil {
		return fmt.Errorf("read released items: %w", err)
	}
	if len(released) > 0 {
		return fmt.Errorf("payout %s: approved again without its items; claim them first (store.Reclaim)", released[0])
	}
	return nil
}

// move writes the rows and their events.
func (s *Store) move(ctx context.Context, tx pgx.Tx, q *db.Queries, moved []move) error {
	now := s.Clock.Now()
	p := db.MovePayoutsParams{Now: now}
	msgs := make([]outbox.Message, 0, len(moved))
	for i := range moved {
		if moved[i].State == payout.AwaitingApproval {
			moved[i].ApprovalExpiresAt = s.expiry(moved[i].Tenant, now)
		}
		m := moved[i]
		p.Ids = append(p.Ids, m.ID)
		p.States = append(p.States, string(m.State))
		p.ReasonClasses = append(p.ReasonClasses, m.Reason.Class)
		p.ReasonScopes = append(p.ReasonScopes, m.Reason.Scope)
		p.ReasonCodes = append(p.ReasonCodes, m.Reason.Code)
		p.ProviderCodes = append(p.ProviderCodes, m.Reason.ProviderCode)
		p.Providers = append(p.Providers, m.Provider)
		p.Attempts = append(p.Attempts, int32(m.Attempt))
		p.Counts = append(p.Counts, int32(m.Counted))
		p.Refs = append(p.Refs, m.Reference)
		p.Fees = append(p.Fees, feeOrNone(m.Payout))
		p.RetryAts = append(p.RetryAts, timeOrZero(m.RetryAt))
		p.CapDates = append(p.CapDates, m.capDate)
		p.ApprovalExpiresAts = append(p.ApprovalExpiresAts, timeOrZero(m.ApprovalExpiresAt))
		p.Versions = append(p.Versions, m.Version)
		msg, err := s.Event(ctx, m.Tenant, m.event, m.ID.String(), m.Version, Snapshot(m.Payout))
		if err != nil {
			return err
		}
		msgs = append(msgs, msg)
	}
	n, err := q.MovePayouts(ctx, p)
	if err != nil {
		return fmt.Errorf("move payouts: %w", err)
	}
	if n != int64(len(moved)) {
		return fmt.Errorf("moved %d payouts of %d though all were locked", n, len(moved))
	}
	return s.Outbox.Append(ctx, tx, msgs...)
}

func feeOrNone(p payout.Payout) int64 {
	if p.Fee == nil {
		return -1
	}
	return p.Fee.Minor
}

func timeOrZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
