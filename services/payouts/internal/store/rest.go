package store

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// Rest is a place among what cancelled batches have left; the zero Rest is both the beginning and the end.
type Rest struct {
	run  uuid.UUID
	page int32
	id   uuid.UUID
}

// restHops is how many runs of which something waits one look passes, cancelled ones or not.
const restHops = 1000

// Rest lists a page of what cancelled batches have left, after a place, and returns the next place: what was waiting when they were cancelled,
// and what comes back since, as not sent or for another try. A page may have nothing, and not be the last.
func (s *Store) Rest(ctx context.Context, tx pgx.Tx, after Rest, limit int) (ids []uuid.UUID, next Rest, err error) {
	q := db.New(tx)
	runs, err := q.WaitingRuns(ctx, db.WaitingRunsParams{FromRun: after.run, Hops: restHops})
	if err != nil {
		return nil, Rest{}, fmt.Errorf("find runs of which something waits: %w", err)
	}
	if len(runs) == 0 {
		return nil, Rest{}, nil
	}
	rows, err := q.UnsentOfCancelled(ctx, db.UnsentOfCancelledParams{
		Runs: runs, AfterRun: after.run, AfterPage: after.page, AfterID: after.id, PageLimit: int32(limit),
	})
	if err != nil {
		return nil, Rest{}, fmt.Errorf("find what cancelled batches have left: %w", err)
	}
	switch {
	case len(rows) == limit:
		last := rows[len(rows)-1]
		next = Rest{run: last.RunID, page: last.Page, id: last.PayoutID}
	case len(runs) == restHops:
		next = Rest{run: runs[len(runs)-1], page: math.MaxInt32, id: uuid.Max}
	}
	for _, r := range rows {
		ids = append(ids, r.PayoutID)
	}
	return ids, next, nil
}

// CancelRest cancels those of payouts that [Store.Rest] has listed which can be, and holds for people what was told of elsewhere. Of what stays, it returns the payouts that it has locked and
// that were sent and only denied by their provider, approved or held: they can neither go again nor be freed, so they are to be asked about.
func (s *Store) CancelRest(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) (denied []payout.Payout, err error) {
	// Doubted ones may be many, and be so for days: their rows are left alone.
	ids, doubts, err := s.endable(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	if err := s.holdElsewhere(ctx, tx, doubts); err != nil || len(ids) == 0 {
		return nil, err
	}
	held, err := s.Lock(ctx, tx, ids...)
	if err != nil {
		return nil, err
	}
	ids, doubts, err = s.endable(ctx, tx, ids) // what was read may have been sent since
	if err != nil {
		return nil, err
	}
	return s.endRest(ctx, tx, held, ids, doubts)
}

// holdElsewhere holds what was told of elsewhere before a restore as what is sent is held for it: a person's word is what it waits for, whatever
// else held it, and nothing that would be gone by itself lets go what is of a cancelled batch.
func (s *Store) holdElsewhere(ctx context.Context, tx pgx.Tx, doubts map[uuid.UUID]Doubt) error {
	var told []uuid.UUID
	for id, d := range doubts {
		if d.ForPeople() {
			told = append(told, id)
		}
	}
	if len(told) == 0 {
		return nil
	}
	told, err := db.New(tx).NotHeldFor(ctx, db.NotHeldForParams{Ids: told, Code: payout.CodeRestored})
	if err != nil {
		return fmt.Errorf("find what was told of elsewhere and is not held for it: %w", err)
	}
	if len(told) == 0 { // nearly always: it waits for a person, and its row is theirs meanwhile
		return nil
	}
	payouts, err := s.Lock(ctx, tx, told...)
	if err != nil {
		return err
	}
	doubts, err = s.Doubts(ctx, tx, told...) // what was read may have been answered since
	if err != nil {
		return err
	}
	var hold []Change
	for _, p := range payouts {
		if !doubts[p.ID].ForPeople() || p.State == payout.Held && p.Reason.Code == payout.CodeRestored {
			continue
		}
		hold = append(hold, Change{
			PayoutID: p.ID, From: []payout.State{payout.Approved, payout.AwaitingApproval, payout.Held}, To: payout.Held,
			Reason: payout.HeldBy(payout.CodeRestored),
		})
	}
	if _, err := s.Apply(ctx, tx, hold); err != nil {
		return fmt.Errorf("hold what cancelled batches have left and was told of elsewhere: %w", err)
	}
	return nil
}

// ForPeople reports whether a person has to look elsewhere before anything else becomes of a payout.
func (d Doubt) ForPeople() bool { return d.Elsewhere && !d.Contradicted && !d.Open }

// endable leaves of payouts those that are proven not to have been paid, and those that were only denied.
func (s *Store) endable(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) ([]uuid.UUID, map[uuid.UUID]Doubt, error) {
	doubts, err := s.Doubts(ctx, tx, ids...)
	if err != nil {
		return nil, nil, err
	}
	return slices.DeleteFunc(slices.Clone(ids), func(id uuid.UUID) bool {
		d, doubted := doubts[id]
		return doubted && d != (Doubt{Denied: true})
	}), doubts, nil
}

// endRest cancels those of held payouts that can be, and returns the others, which are held or approved then.
func (s *Store) endRest(ctx context.Context, tx pgx.Tx, held []payout.Payout, ids []uuid.UUID, doubts map[uuid.UUID]Doubt) (denied []payout.Payout, err error) {
	reason := payout.HeldBy(payout.CodeRunCancelled)
	var hold, end []Change
	var ask []uuid.UUID
	for _, p := range held {
		if !slices.Contains(ids, p.ID) {
			continue
		}
		if p.State == payout.AwaitingApproval { // the state table has no shorter way
			hold = append(hold, Change{PayoutID: p.ID, From: []payout.State{payout.AwaitingApproval}, To: payout.Held, Reason: reason})
		}
		if doubts[p.ID].Denied {
			ask = append(ask, p.ID)
			continue
		}
		end = append(end, Change{PayoutID: p.ID, From: []payout.State{payout.Approved, payout.Held}, To: payout.Cancelled, Reason: reason})
	}
	for _, changes := range [][]Change{hold, end} {
		if _, err := s.Apply(ctx, tx, changes); err != nil {
			return nil, fmt.Errorf("cancel what cancelled batches have left: %w", err)
		}
	}
	if len(ask) == 0 {
		return nil, nil
	}
	denied, err = s.Lock(ctx, tx, ask...)
	return slices.DeleteFunc(denied, func(p payout.Payout) bool { return p.State != payout.Held && p.State != payout.Approved }), err
}
