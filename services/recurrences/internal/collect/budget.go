package collect

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/collect/db"
)

// tally is how much of a window is used up.
type tally struct {
	window   charge.Window
	declined int
	open     int // sends whose answer is outstanding: each may be a decline
	oldest   time.Time
}

// crowdedPause is how long a charge rests when answers that are outstanding could use up what its card may be tried.
const crowdedPause = 10 * time.Second

// budget keeps those charges whose cards' networks allow one more decline. One that they do not rests until a window frees a
// place, or is not sent any more where no repetition is ever allowed.
func (b *Book) budget(ctx context.Context, tx pgx.Tx, rows []db.ClaimRow) (fit []db.ClaimRow, aside []verdict, err error) {
	tallies, err := b.tallies(ctx, tx, rows)
	if err != nil {
		return nil, nil, err
	}
	claimed := map[uuid.UUID]int{}
	for i, r := range rows {
		last := ""
		if r.LastCardID == r.CardID {
			last = r.ProviderCode
		}
		switch code := charge.Forbidden(r.Brand, last, r.Forbidden, declined(tallies[i])); {
		case code == charge.CodeNever:
			aside = append(aside, never(r))
		case r.WaitUntil != nil && r.WaitUntil.After(b.Clock.Now()):
			aside = append(aside, b.resting(r, charge.CodeWait, *r.WaitUntil))
		case code != "":
			aside = append(aside, b.resting(r, code, free(tallies[i])))
		case crowded(tallies[i], claimed[r.CardID]):
			aside = append(aside, verdict{row: r, code: charge.CodeBudget, until: b.Clock.Now().Add(crowdedPause)})
		default:
			claimed[r.CardID]++
			fit = append(fit, r)
		}
	}
	return fit, aside, nil
}

// tallies reads the windows of each row's card.
func (b *Book) tallies(ctx context.Context, tx pgx.Tx, rows []db.ClaimRow) ([][]tally, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	now := b.Clock.Now()
	p := db.CardAttemptsParams{Now: now}
	all := make([][]tally, len(rows))
	type place struct{ row, window int }
	var places []place
	for i, r := range rows {
		for _, w := range charge.Windows(r.Brand) {
			p.Ns, p.CardIds, p.Amounts = append(p.Ns, int32(len(places))), append(p.CardIds, r.CardID), append(p.Amounts, r.Amount)
			p.SameAmounts, p.Sinces = append(p.SameAmounts, w.SameAmount), append(p.Sinces, now.Add(-w.Span))
			places = append(places, place{i, len(all[i])})
			all[i] = append(all[i], tally{window: w})
		}
	}
	counts, err := db.New(tx).CardAttempts(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("count attempts on cards: %w", err)
	}
	for _, c := range counts {
		at := places[c.N]
		t := &all[at.row][at.window]
		t.declined, t.open, t.oldest = int(c.Declined), int(c.Open), c.Oldest
	}
	return all, nil
}

func declined(all []tally) []int {
	counts := make([]int, len(all))
	for i, t := range all {
		counts[i] = t.declined
	}
	return counts
}

// free is when every window that is used up has lost its oldest decline.
func free(all []tally) time.Time {
	var until time.Time
	for _, t := range all {
		if at := t.oldest.Add(t.window.Span); t.declined >= t.window.Most && at.After(until) {
			until = at
		}
	}
	return until
}

// crowded reports whether answers that are outstanding, and charges claimed beside this one, could use a window up.
func crowded(all []tally, claimed int) bool {
	for _, t := range all {
		if t.declined+t.open+claimed >= t.window.Most {
			return true
		}
	}
	return false
}
