// Package resting asks providers, after a restore, about payouts that are not about to be sent: what is held, waits for approval, or is behind a batch
// that is paused or cancelled. People may want to end it, and its payments are free only when it is proven that nothing was sent before; what
// was is taken over. See ADR 10.
package resting

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/precheck"
	"github.com/agogopay/agogo/internal/restore"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/outcome"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/resting/db"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// Asker asks, a page at a time, and takes over what was found.
type Asker struct {
	Store    *store.Store
	Outcomes *outcome.Outcomes
	Gate     *precheck.Gate
}

// Place is how far the walk through what rests has come; the zero Place is both its beginning and its end.
type Place struct {
	state int // of resting states
	run   uuid.UUID
	page  int32
	id    uuid.UUID
}

// restingStates are those from which nothing has left, and which people may end.
func restingStates() []payout.State {
	return []payout.State{payout.Approved, payout.AwaitingApproval, payout.Held}
}

// List is what of a page of what rests, after a place, is to be asked about or taken over, and the next place. A page may have nothing, and not be
// the last. While no restore was marked it costs one look at an empty table.
func (a *Asker) List(ctx context.Context, tx pgx.Tx, after Place, limit int) (ids []uuid.UUID, next Place, err error) {
	mark, err := a.Gate.Mark(ctx, tx)
	if err != nil || mark.Epoch == 0 {
		return nil, Place{}, err
	}
	state := string(restingStates()[after.state])
	runs, next, err := a.runs(ctx, tx, mark, after, state)
	if err != nil || len(runs) == 0 {
		return nil, next, err
	}
	since, until := attempt.Believed(a.Store.Clock.Now())
	rows, err := db.New(tx).Page(ctx, db.PageParams{
		State: state, Runs: runs, Epoch: int32(mark.Epoch), AfterRun: after.run, AfterPage: after.page, AfterID: after.id, PageLimit: int32(limit),
		ProvenSince: since, ProvenUntil: until,
	})
	if err != nil {
		return nil, Place{}, fmt.Errorf("find what rests since before a restore: %w", err)
	}
	if len(rows) == limit {
		last := rows[len(rows)-1]
		next = Place{state: after.state, run: last.RunID, page: last.Page, id: last.PayoutID}
	}
	ids, err = a.pick(ctx, tx, rows)
	return ids, next, err
}

// hops is how many runs are looked at for a page. Long after a restore nearly all of them are of later days, and nothing of theirs is read.
const hops = 100

// runs are those of the next runs, from a place on, whose day is in doubt, and the place after all of them.
func (a *Asker) runs(ctx context.Context, tx pgx.Tx, mark restore.Mark, from Place, state string) (doubted []uuid.UUID, next Place, err error) {
	rows, err := db.New(tx).Runs(ctx, db.RunsParams{State: state, FromRun: from.run, Hops: hops, Until: mark.Until.Format(time.DateOnly)})
	if err != nil {
		return nil, Place{}, fmt.Errorf("find runs of which something rests since before a restore: %w", err)
	}
	for _, r := range rows {
		if r.Doubted {
			doubted = append(doubted, r.RunID)
		}
	}
	switch {
	case len(rows) == hops:
		next = Place{state: from.state, run: rows[hops-1].RunID, page: math.MaxInt32, id: uuid.Max}
	case from.state+1 < len(restingStates()):
		next = Place{state: from.state + 1}
	}
	return doubted, next, nil
}

// lane is what rests of one connector.
type lane struct {
	*connector.Connector
	held   []payout.Payout
	starts []attempt.Start
}

// Ask has those of a list asked about that rest still, and takes over those of which their provider has told. Only these are locked, and
// before them the outflow rows of their tenants, as everything does that takes caps: what is taken over may begin to count.
func (a *Asker) Ask(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
	mark, err := a.Gate.Mark(ctx, tx)
	if err != nil {
		return err
	}
	if err := a.lockOutflows(ctx, tx, ids); err != nil {
		return err
	}
	lanes, err := a.lock(ctx, tx, ids)
	if err != nil {
		return err
	}
	for _, l := range lanes {
		if err := a.sort(ctx, tx, mark, l); err != nil {
			return fmt.Errorf("what rests of %s/%s since before a restore: %w", l.Tenant, l.Provider, err)
		}
	}
	return nil
}

// pick chooses what is worth a lock. What nobody serves any more can be asked about when somebody does.
func (a *Asker) pick(ctx context.Context, tx pgx.Tx, rows []db.PageRow) (ids []uuid.UUID, err error) {
	rooms := map[string]int{}
	for _, r := range rows {
		if !r.Doubted {
			continue
		}
		c, served := a.Outcomes.Connectors.Get(r.Tenant, r.Provider)
		if !served {
			continue
		}
		name := r.Tenant + "/" + r.Provider
		if _, known := rooms[name]; !known {
			if rooms[name], err = a.Gate.Room(ctx, tx, c); err != nil {
				return nil, err
			}
		}
		if !r.Found {
			if rooms[name] <= 0 {
				continue // in a later round: what was asked about by then is passed over
			}
			rooms[name]--
		}
		ids = append(ids, r.PayoutID)
	}
	return ids, nil
}

// lockOutflows locks the outflow rows of payouts' tenants, in order.
func (a *Asker) lockOutflows(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
	tenants, err := db.New(tx).Tenants(ctx, ids)
	if err != nil {
		return fmt.Errorf("read whose payouts rest: %w", err)
	}
	for _, t := range tenants {
		if _, err := a.Store.LockOutflow(ctx, tx, t); err != nil {
			return err
		}
	}
	return nil
}

// lock locks payouts and returns those whose only doubt is the restore, by connector: somebody may have been faster.
func (a *Asker) lock(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) ([]*lane, error) {
	held, err := a.Store.Lock(ctx, tx, ids...)
	if err != nil {
		return nil, err
	}
	doubts, err := a.Store.Doubts(ctx, tx, ids...)
	if err != nil {
		return nil, err
	}
	attempts, err := attempt.OfSubjects(ctx, tx, ids...)
	if err != nil {
		return nil, err
	}
	lanes := map[string]*lane{}
	for _, p := range held {
		d := doubts[p.ID]
		if !slices.Contains(restingStates(), p.State) || !d.Restored || d.Open || d.Contradicted || d.Elsewhere {
			continue
		}
		name := p.Tenant + "/" + p.Provider
		if lanes[name] == nil {
			c, ok := a.Outcomes.Connectors.Get(p.Tenant, p.Provider)
			if !ok {
				continue
			}
			lanes[name] = &lane{Connector: c}
		}
		lanes[name].held = append(lanes[name].held, p)
		lanes[name].starts = append(lanes[name].starts, start(p, attempts[p.ID]))
	}
	return sorted(lanes), nil
}

// sorted are lanes in an order that is always the same, for whoever locks by it.
func sorted(lanes map[string]*lane) []*lane {
	all := make([]*lane, 0, len(lanes))
	for _, name := range slices.Sorted(maps.Keys(lanes)) {
		all = append(all, lanes[name])
	}
	return all
}

// start is what would be sent next of a payout.
func start(p payout.Payout, attempts []attempt.Attempt) attempt.Start {
	var newest attempt.Attempt
	for _, a := range attempts {
		if a.Number == p.Attempt {
			newest = a
		}
	}
	spent := newest.Spent() && newest.Provider == p.Provider
	number := attempt.Next(p.Attempt, newest.State, spent)
	day, _ := time.Parse(time.DateOnly, p.PeriodDate) // of a date column; the zero time would be any day
	return attempt.Start{
		Key: attempt.Key{Subject: p.ID, Number: number}, Tenant: p.Tenant, Provider: p.Provider,
		Reference: payout.Reference(p.ID, number), Destination: p.Destination, Amount: p.Net, Day: day, Spent: spent,
	}
}

func (a *Asker) sort(ctx context.Context, tx pgx.Tx, mark restore.Mark, l *lane) error {
	places := make(map[uuid.UUID]run.Place, len(l.held))
	for _, p := range l.held {
		places[p.ID] = run.Place{Run: p.RunID, Page: p.Page}
	}
	of := precheck.Of{
		Tenant: l.Tenant, Provider: l.Provider, Sends: true, At: func(id uuid.UUID) run.Place { return places[id] },
	}
	sorted, err := a.Gate.Sort(ctx, tx, mark, of, l.starts)
	if err != nil {
		return err
	}
	return a.adopt(ctx, tx, l, sorted.Adopt)
}

// adopt takes over what the provider has from before the restore, from wherever it rests: it is under way until a lookup tells its outcome.
func (a *Asker) adopt(ctx context.Context, tx pgx.Tx, l *lane, found []precheck.Adoption) error {
	if len(found) == 0 {
		return nil
	}
	payees, held := make(map[uuid.UUID]string, len(l.held)), make(map[uuid.UUID]bool)
	for _, p := range l.held {
		payees[p.ID], held[p.ID] = p.PayeeID, p.State == payout.Held
	}
	begun := func(ctx context.Context, tx pgx.Tx, begun []attempt.Attempt) error {
		return a.Outcomes.Begun(ctx, tx, begun, payees)
	}
	moved, err := a.Gate.Adopt(ctx, tx, "resting/"+uuid.NewString(), l.Policy.Lease, found, begun)
	if err != nil {
		return err
	}
	changes, today, left := make([]store.Change, len(moved)), a.Store.Today(l.Tenant), int64(0)
	for i, m := range moved {
		changes[i] = store.Change{
			PayoutID: m.Attempt.Subject, From: restingStates(), To: payout.Processing, Attempt: m.Attempt.Number, Reference: m.Attempt.Reference,
			Reason: payout.Reason{Class: string(m.Result.Class), Code: m.Result.Code}, Counted: m.Earlier,
		}
		if held[m.Attempt.Subject] { // it counted on no day, and may have left today; what waits for approval or is approved counts already
			changes[i].CapDate = today
			left += m.Attempt.Amount.Minor
		}
	}
	if err := a.Store.NoteUse(ctx, tx, l.Tenant, today, left); err != nil {
		return err
	}
	adopted, err := a.Store.ApplyTo(ctx, tx, l.held, changes)
	if err == nil && len(adopted) != len(changes) {
		err = fmt.Errorf("take over what was sent before a restore: %d of %d payouts do not rest", len(changes)-len(adopted), len(changes))
	}
	if err != nil {
		return err
	}
	a.Outcomes.Count(ctx, moved)
	return a.settle(ctx, tx, adopted)
}

func (a *Asker) settle(ctx context.Context, tx pgx.Tx, payouts []payout.Payout) error {
	runs := map[uuid.UUID]bool{}
	for _, p := range payouts {
		runs[p.RunID] = true
	}
	return a.Store.Settle(ctx, tx, slices.SortedFunc(maps.Keys(runs), func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })...)
}
