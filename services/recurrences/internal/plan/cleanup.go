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

// Cleanup ends a page of recurrences whose next charge was forgotten long ago, archives those that ended long ago, and
// completes those that have no cycle left. What has a charge that may still take money, or may have taken it, is left.
func (p *Planner) Cleanup(ctx context.Context, tx pgx.Tx, r run.Run) (run.Page, error) {
	pg, err := p.begin(ctx, tx, r)
	if err != nil {
		return run.Page{}, err
	}
	found, err := pg.old(ctx, []string{})
	if err != nil {
		return run.Page{}, err
	}
	done := 0
	if len(found) > 0 {
		ids := make([]string, len(found))
		for i, o := range found {
			ids[i] = o.RecurrenceID
		}
		if done, err = p.cleanUp(ctx, tx, pg, ids); err != nil {
			return run.Page{}, err
		}
	}
	return pg.end(len(found), last(found, func(o db.OldRecurrencesRow) string { return o.RecurrenceID }), done), nil
}

// old asks for the page's recurrences, or for those of the ids that are still such.
func (pg *page) old(ctx context.Context, ids []string) ([]db.OldRecurrencesRow, error) {
	rows, err := pg.q.OldRecurrences(ctx, db.OldRecurrencesParams{
		Tenant: pg.run.Tenant, After: pg.run.Cursor, Ids: ids, Unresolved: unresolved(), PageLimit: int32(pg.size),
		Before:      max(pg.on-recurrence.Date(pg.rules.CleanupAfterDays), 1),
		EndedBefore: pg.run.NominalTime.AddDate(0, 0, -pg.rules.CleanupAfterDays),
	})
	if err != nil {
		return nil, fmt.Errorf("find old recurrences: %w", err)
	}
	return rows, nil
}

// cleanUp locks the recurrences, after what is unpaid of them, and asks again: one may have been charged, by a person, since it
// was found.
func (p *Planner) cleanUp(ctx context.Context, tx pgx.Tx, pg *page, ids []string) (int, error) {
	unpaid, err := p.Store.Unpaid(ctx, tx, pg.keys(ids)...)
	if err != nil {
		return 0, err
	}
	charges, err := p.Store.LockCharges(ctx, tx, idsOf(unpaid)...)
	if err != nil {
		return 0, err
	}
	locked, err := p.Store.LockRecurrences(ctx, tx, pg.keys(ids)...)
	if err != nil {
		return 0, err
	}
	why := make(map[string]store.Reason, len(locked)) // it ended: an archived one keeps it
	for _, r := range locked {
		why[r.ID] = r.Reason
	}
	rows, err := pg.old(ctx, ids)
	if err != nil {
		return 0, err
	}
	var finished []store.Key
	var changes []store.RecurrenceChange
	for _, o := range rows {
		change := store.RecurrenceChange{Key: pg.key(o.RecurrenceID), From: []recurrence.State{recurrence.State(o.State)}}
		if o.Finished {
			finished = append(finished, change.Key)
		}
		switch {
		case recurrence.Ended(recurrence.State(o.State)):
			change.To, change.Reason = recurrence.Archived, why[o.RecurrenceID]
		case o.Forgotten:
			change.To, change.Reason = recurrence.Completed, store.Reason{Code: recurrence.CodeExpired}
		default:
			continue
		}
		changes = append(changes, change)
	}
	if _, err := p.Store.ApplyCharges(ctx, tx, cancelled(changes, charges)); err != nil {
		return 0, err
	}
	// Those that came to their end are no longer where the changes look for them.
	completed, err := p.Store.CompleteFinished(ctx, tx, finished...)
	if err != nil {
		return 0, err
	}
	moved, err := p.Store.ApplyRecurrences(ctx, tx, changes)
	return len(completed) + len(moved), err
}

func idsOf(unpaid map[store.Key][]store.Charge) []uuid.UUID {
	var ids []uuid.UUID
	for _, charges := range unpaid {
		for _, c := range charges {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// cancelled are those of the charges that end with their recurrences: nothing would retry them any more.
func cancelled(ends []store.RecurrenceChange, charges []store.Charge) []store.ChargeChange {
	ended := make(map[store.Key]bool, len(ends))
	for _, c := range ends {
		ended[c.Key] = true
	}
	var changes []store.ChargeChange
	for _, c := range charges {
		if ended[c.Key()] && !c.Contradicted && slices.Contains(charge.Cancellable(), c.State) {
			changes = append(changes, store.ChargeChange{
				ID: c.ID, From: []charge.State{c.State}, To: charge.Cancelled, Reason: store.Reason{Code: charge.CodeEnded},
			})
		}
	}
	return changes
}
