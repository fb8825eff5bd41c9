package closing

import (
	"context"
	"fmt"
	"time"

	"github.com/agogopay/agogo/services/payouts/internal/closing/db"
)

// settledAfter is how long ago a close must have been made so that what it saw of the books is taken to be complete up to there: a
// posting takes its number a moment before its transaction has one of its own.
const settledAfter = time.Hour

// books sums up what they say. What is dated before the day and was not there when the day before was closed is late.
//
// History is not read again: the close before says what all postings up to one of them, dated before this day, come to. Only later
// ones are looked at, and those are the last days'.
func (j *judgement) books(ctx context.Context) error {
	from := j.settled()
	m, err := j.q.Movements(ctx, db.MovementsParams{
		Tenant: j.k.Tenant, Float: float(j.k), DayStart: j.k.DayStart, DayEnd: j.k.DayEnd, Currency: j.k.Currency, SettledID: from.SettledID,
	})
	if err != nil {
		return fmt.Errorf("sum up the books of the day: %w", err)
	}
	seen, err := j.q.Seen(ctx, db.SeenParams{Tenant: j.k.Tenant, SeenXid: from.SeenXid})
	if err != nil {
		return fmt.Errorf("find how far the books go: %w", err)
	}
	to := from.SettledID
	if seen.Done && from.CompletedAt != nil && j.now.Sub(*from.CompletedAt) >= settledAfter {
		to = max(to, from.SeenID)
	}
	s, err := j.q.SinceSettled(ctx, db.SinceSettledParams{
		Tenant: j.k.Tenant, Float: float(j.k), DayStart: j.k.DayStart, DayEnd: j.k.DayEnd, Currency: j.k.Currency, SettledID: from.SettledID, SettleTo: to,
	})
	if err != nil {
		return fmt.Errorf("sum up the books before the day: %w", err)
	}
	j.k.SettledID, j.k.SettledSum, j.k.SeenID, j.k.SeenXid = to, from.SettledSum+m.Settled+s.Settled, seen.PostingID, seen.Xid
	before := from.SettledSum + s.Before
	j.k.Opening = before
	if j.previous != nil {
		j.k.Opening, j.k.Late = j.previous.Closing, before-j.previous.Closing
	}
	j.k.TopUps, j.k.Paid, j.k.Fees, j.k.Reversed, j.k.Corrections = m.TopUps, m.Paid, m.Fees, m.Reversed, m.Corrections
	j.k.Closing = before + m.TopUps - m.Paid - m.Fees + m.Reversed + m.Corrections
	return nil
}

// settled is the close before, as far as its sums are of use: a tenant that has changed its zone or its currency begins anew.
func (j *judgement) settled() db.Close {
	p := j.previous
	if p == nil || !p.DayEnd.Equal(j.k.DayStart) || p.Currency != j.k.Currency {
		return db.Close{}
	}
	return *p
}
