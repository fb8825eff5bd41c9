package plan

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/plan/db"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// morning is what a page of charge-due does.
type morning struct {
	charges []store.Charge
	again   []uuid.UUID // charges that are due and that nothing sends any more
	late    []uuid.UUID // such charges that are too late to be sent by themselves
	missed  []store.Missed
	changes []store.RecurrenceChange
	after   map[store.Key]recurrence.Position // of what is charged
	ended   []store.Key                       // no cycle is left
}

// ChargeDue makes the charges of a page of recurrences whose charge date has come, one per recurrence and day, and records
// the cycles that are too late to charge; see [recurrence.Policy.Due]. A recurrence is left alone while one of its charges
// may still take money, or may have taken it.
func (p *Planner) ChargeDue(ctx context.Context, tx pgx.Tx, r run.Run) (run.Page, error) {
	pg, err := p.begin(ctx, tx, r)
	if err != nil {
		return run.Page{}, err
	}
	ids, err := pg.q.DueRecurrences(ctx, db.DueRecurrencesParams{
		Tenant: r.Tenant, After: r.Cursor, LocalDate: pg.on, PageLimit: int32(pg.size),
	})
	if err != nil {
		return run.Page{}, fmt.Errorf("find due recurrences: %w", err)
	}
	m, err := p.morning(ctx, tx, pg, ids)
	if err != nil {
		return run.Page{}, err
	}
	if err := p.carryOut(ctx, tx, pg, m); err != nil {
		return run.Page{}, err
	}
	return pg.end(len(ids), last(ids, self), len(m.missed)), nil
}

// catchUpFrom is the oldest charge date that is not too late.
func (pg *page) catchUpFrom() recurrence.Date {
	return max(pg.on-recurrence.Date(pg.rules.CatchUpDays), 1)
}

// morning locks the page's recurrences and decides about each. Charges are locked before their recurrences, as everybody
// does, so those that are stranded come first; one that became so since is the next morning's.
func (p *Planner) morning(ctx context.Context, tx pgx.Tx, pg *page, ids []string) (*morning, error) {
	m := &morning{after: map[store.Key]recurrence.Position{}}
	if len(ids) == 0 {
		return m, nil
	}
	stranded, err := pg.q.StrandedCharges(ctx, db.StrandedChargesParams{Tenant: pg.run.Tenant, Ids: ids})
	if err != nil {
		return nil, fmt.Errorf("find stranded charges: %w", err)
	}
	if _, err := p.Store.LockCharges(ctx, tx, stranded...); err != nil {
		return nil, err
	}
	locked, err := p.Store.LockRecurrences(ctx, tx, pg.keys(ids)...)
	if err != nil {
		return nil, err
	}
	open, err := pg.open(ctx, ids, stranded)
	if err != nil {
		return nil, err
	}
	invalid, err := p.invalidCards(ctx, tx, locked)
	if err != nil {
		return nil, err
	}
	for _, r := range locked {
		o := open[r.ID]
		if !recurrence.Charges(r.State) || o.busy { // a person was faster, or it must wait
			continue
		}
		m.late = append(m.late, o.late...)
		switch {
		case invalid[r.CardID]:
			m.hold(pg, r)
		case o.stranded != uuid.Nil:
			m.again = append(m.again, o.stranded)
		default:
			m.due(pg, r)
		}
	}
	return m, nil
}

// openness is what a recurrence's charges say about charging it again.
type openness struct {
	busy     bool      // not today, or not yet
	stranded uuid.UUID // its oldest charge that is due and that nothing sends: its recurrence was paused before it went, say
	late     []uuid.UUID
}

// open reads it after the recurrences were locked. A stranded charge that is too late is a person's to decide about; it
// keeps nothing else from being charged.
func (pg *page) open(ctx context.Context, ids []string, stranded []uuid.UUID) (map[string]openness, error) {
	attempted, err := pg.q.AttemptedOn(ctx, db.AttemptedOnParams{Tenant: pg.run.Tenant, Ids: ids, LocalDate: pg.on})
	if err != nil {
		return nil, fmt.Errorf("find what was charged today: %w", err)
	}
	rows, err := pg.q.OpenCharges(ctx, db.OpenChargesParams{Tenant: pg.run.Tenant, Ids: ids, Unresolved: unresolved()})
	if err != nil {
		return nil, fmt.Errorf("find open charges: %w", err)
	}
	open := make(map[string]openness, len(attempted)+len(rows))
	for _, id := range attempted {
		open[id] = openness{busy: true}
	}
	for _, r := range rows {
		o := open[r.RecurrenceID]
		switch {
		case r.Wanted || charge.State(r.State) != charge.Due:
			o.busy = true
		case r.Contradicted:
		case !slices.Contains(stranded, r.ChargeID):
			o.busy = true
		case r.ChargeDate < pg.catchUpFrom():
			o.late = append(o.late, r.ChargeID)
		case o.stranded == uuid.Nil:
			o.stranded = r.ChargeID
		}
		open[r.RecurrenceID] = o
	}
	return open, nil
}

// invalidCards are those of the recurrences' cards that will not work again.
func (p *Planner) invalidCards(ctx context.Context, tx pgx.Tx, all []store.Recurrence) (map[uuid.UUID]bool, error) {
	ids := make([]uuid.UUID, len(all))
	for i, r := range all {
		ids[i] = r.CardID
	}
	cards, err := p.Store.Cards(ctx, tx, ids...)
	if err != nil {
		return nil, err
	}
	invalid := map[uuid.UUID]bool{}
	for _, c := range cards {
		invalid[c.ID] = c.State == store.CardInvalid
	}
	return invalid, nil
}

// hold puts a recurrence on hold that came here with a card that does not work: by an import, for whatever invalidates a
// card holds those it knows.
func (m *morning) hold(pg *page, r store.Recurrence) {
	m.changes = append(m.changes, store.RecurrenceChange{
		Key: r.Key, From: []recurrence.State{r.State}, To: recurrence.Hold,
		Reason: store.Reason{Scope: charge.ScopeCard, Code: recurrence.CodeCardInvalid}, HeldBy: &pg.run.NominalTime,
	})
}

// due takes what the day asks of a recurrence.
func (m *morning) due(pg *page, r store.Recurrence) {
	d := pg.policy.Due(r.Terms, r.At, pg.on)
	at := r.At
	for _, c := range d.Missed {
		at = pg.policy.Step(r.Terms, at)
		behind := at
		m.missed = append(m.missed, store.Missed{Key: r.Key, Cycle: c, RunID: pg.run.ID})
		m.changes = append(m.changes, store.RecurrenceChange{
			Key: r.Key, From: []recurrence.State{r.State}, To: r.State, Event: "recurrence.cycle_missed", Cycle: c.Date, At: &behind,
		})
	}
	if d.Charge != (recurrence.Cycle{}) {
		m.after[r.Key] = d.After
		m.charges = append(m.charges, store.Charge{
			Tenant: r.Tenant, RecurrenceID: r.ID, Cycle: d.Charge, CustomerID: r.CustomerID, SellerID: r.SellerID, CardID: r.CardID,
			Gateway: pg.rules.DefaultGateway, Amount: r.Amount, Send: pg.send(), RunID: pg.run.ID, NominalTime: pg.run.NominalTime,
		})
	} else if len(d.Missed) > 0 && d.After.Next == (recurrence.Cycle{}) {
		m.ended = append(m.ended, r.Key)
	}
}

// givenUp leaves charges to people: nothing could be sent of them for too long.
func givenUp(ids []uuid.UUID) []store.ChargeChange {
	changes := make([]store.ChargeChange, len(ids))
	for i, id := range ids {
		changes[i] = store.ChargeChange{ID: id, From: []charge.State{charge.Due}, To: charge.Exhausted, Reason: store.Reason{Code: charge.CodeTooLate}}
	}
	return changes
}

// carryOut writes what the page decided.
func (p *Planner) carryOut(ctx context.Context, tx pgx.Tx, pg *page, m *morning) error {
	if _, err := p.Store.ApplyCharges(ctx, tx, givenUp(m.late)); err != nil {
		return err
	}
	if err := p.Store.InsertMissed(ctx, tx, m.missed); err != nil {
		return err
	}
	if _, err := p.Store.ApplyRecurrences(ctx, tx, m.changes); err != nil {
		return err
	}
	if err := p.Store.AdvanceRecurrences(ctx, tx, m.after); err != nil {
		return err
	}
	made, err := p.Store.InsertCharges(ctx, tx, m.charges)
	if err != nil {
		return err
	}
	again, err := p.Store.WantSent(ctx, tx, pg.send(), m.again...)
	if err != nil {
		return err
	}
	if _, err := p.Store.CompleteFinished(ctx, tx, m.ended...); err != nil {
		return err
	}
	return p.wake(ctx, tx, pg, len(made)+len(again))
}
