package precheck

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/precheck/db"
	"github.com/agogopay/agogo/internal/provider"
)

// closing is the lease of attempts that are closed in the transaction that makes them.
const closing = time.Minute

// Close takes in what providers have from before a restore of subjects that nothing sends any more: a webhook spoke of it when they had ended.
// There is nothing to go on with, so each lost attempt is made as one that failed, and is asked about: what was paid contradicts
// it then, as it contradicts any other one that is closed, and what failed there too changes nothing. The caller holds the subjects' rows, which are where no
// adoption takes them over, and learns the newest attempt that was made of each.
func (g *Gate) Close(ctx context.Context, tx pgx.Tx, owner string, subjects ...uuid.UUID) (newest map[uuid.UUID]int, err error) {
	if len(subjects) == 0 {
		return nil, nil
	}
	found, err := db.New(tx).LockFound(ctx, subjects)
	if err != nil {
		return nil, fmt.Errorf("read what was found of what has ended: %w", err)
	}
	known, err := attempt.OfSubjects(ctx, tx, subjects...)
	if err != nil {
		return nil, err
	}
	c := closed{at: g.Clock.Now(), newest: map[uuid.UUID]int{}}
	for _, f := range found {
		c.add(g, f, known[f.SubjectID])
	}
	if err := c.begin(ctx, tx, g, owner); err != nil {
		return nil, err
	}
	busy, err := c.hint(ctx, tx)
	if err != nil {
		return nil, err
	}
	return c.newest, c.settle(ctx, tx, found, busy)
}

// closed is what becomes of subjects that have ended.
type closed struct {
	at     time.Time
	starts []attempt.Start
	known  []attempt.Attempt   // that are closed as unpaid here, and that a provider has
	past   map[uuid.UUID]int32 // subjects of which all that was found is in the tables, and the number after that
	newest map[uuid.UUID]int
}

// add sorts what was found of a subject into what the tables have lost and what they know.
func (c *closed) add(g *Gate, f db.LockFoundRow, attempts []attempt.Attempt) {
	last := 0
	for _, a := range attempts {
		last = max(last, a.Number)
		if (a.State == attempt.Failed || a.State == attempt.NotSent) && a.Number >= int(f.Number) && a.Number <= int(f.Found) {
			c.known = append(c.known, a)
		}
	}
	for n := max(int(f.Number), last+1); n <= int(f.Found); n++ {
		c.newest[f.SubjectID] = n
		c.starts = append(c.starts, attempt.Start{
			Key: attempt.Key{Subject: f.SubjectID, Number: n}, Tenant: f.Tenant, Provider: f.Provider, Reference: g.Reference(f.SubjectID, n),
			Amount: money.Amount{Minor: f.Amount, Currency: money.Currency(f.Currency)}, Destination: f.Destination, Found: true,
		})
	}
	if last >= int(f.Found) {
		if c.past == nil {
			c.past = map[uuid.UUID]int32{}
		}
		c.past[f.SubjectID] = int32(last) + 1
	}
}

// begin makes the lost attempts and closes them, due for a lookup.
func (c *closed) begin(ctx context.Context, tx pgx.Tx, g *Gate, owner string) error {
	begun, err := attempt.Begin(ctx, tx, owner, closing, c.at, c.starts)
	if err != nil || len(begun) == 0 {
		return err
	}
	if err := attempt.Require(ctx, tx, g.MustTell, begun...); err != nil {
		return err
	}
	outcomes := make([]attempt.Outcome, len(begun))
	for i, a := range begun {
		outcomes[i] = lost(a, owner, c.at)
	}
	recorded, err := attempt.Record(ctx, tx, c.at, outcomes)
	if err == nil && len(recorded) != len(outcomes) {
		err = fmt.Errorf("close lost attempts: %d of %d are not as they were begun", len(outcomes)-len(recorded), len(outcomes))
	}
	return err
}

// lost is the outcome of an attempt that a restore has lost and that is not gone on with: it is asked about all the same.
func lost(a attempt.Attempt, owner string, now time.Time) attempt.Outcome {
	return attempt.Outcome{
		Key: a.Key, Owner: owner, Sends: a.Sends, State: attempt.Failed, NextLookup: &now,
		Result: provider.Result{Class: provider.RejectedFinal, Code: CodeRestored},
	}
}

// hint has asked about what the tables know as unpaid, and returns the subjects of what somebody else has in hand.
func (c *closed) hint(ctx context.Context, tx pgx.Tx) (busy map[uuid.UUID]bool, err error) {
	busy = map[uuid.UUID]bool{}
	for _, a := range c.known { // hardly ever one
		hinted, err := attempt.Hint(ctx, tx, c.at, a.Tenant, a.Provider, []string{a.Reference})
		if err != nil {
			return nil, err
		}
		busy[a.Subject] = busy[a.Subject] || len(hinted) == 0
	}
	return busy, nil
}

// settle ends the questions. Where nothing was found but what the tables know, the webhook spoke of a later attempt, which its provider has not shown yet: it is asked
// from there on, until that is found or proven absent.
func (c *closed) settle(ctx context.Context, tx pgx.Tx, found []db.LockFoundRow, busy map[uuid.UUID]bool) error {
	q := db.New(tx)
	var ended []uuid.UUID
	p := db.AskOnParams{At: c.at}
	for _, f := range found {
		next, past := c.past[f.SubjectID]
		switch {
		case busy[f.SubjectID]: // in the next round
		case past:
			p.SubjectIds, p.Numbers = append(p.SubjectIds, f.SubjectID), append(p.Numbers, next)
		default:
			ended = append(ended, f.SubjectID)
		}
	}
	if err := q.AskOn(ctx, p); err != nil {
		return fmt.Errorf("ask on about what has ended: %w", err)
	}
	if err := q.Adopted(ctx, ended); err != nil {
		return fmt.Errorf("note adopted attempts: %w", err)
	}
	return nil
}
