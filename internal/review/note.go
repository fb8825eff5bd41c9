package review

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/review/db"
)

// What a lookup said, in the words of proposals.
const (
	SaidAbsent  = "absent"
	SaidFailed  = "failed"
	SaidPaid    = "succeeded"
	SaidPending = "pending"
	SaidDiffers = "differs"
)

// absentReadsToSay is how many reads in a row must have found nothing before that speaks for not_paid: the number that
// proves absence where nobody decides. Reads before the proposal count; the last one is after it.
const absentReadsToSay = 2

// Note keeps what the newest lookups said, for those who decide about what they are about. Pass updates that were made on the
// row as it still was.
func Note(ctx context.Context, tx pgx.Tx, at time.Time, updates []attempt.Update) error {
	p := db.NoteLookupsParams{At: at}
	for _, u := range updates {
		if said := said(u); said != "" {
			p.Ids, p.Attempts = append(p.Ids, u.Attempt.Subject), append(p.Attempts, int32(u.Attempt.Number))
			p.Said = append(p.Said, said)
		}
	}
	if len(p.Ids) == 0 {
		return nil
	}
	if err := db.New(tx).NoteLookups(ctx, p); err != nil {
		return fmt.Errorf("note what lookups said: %w", err)
	}
	return nil
}

func said(u attempt.Update) string {
	d := u.Decision
	switch {
	case !u.Lookup || !d.Answered:
		return ""
	case d.Absent && d.AbsentReads >= absentReadsToSay:
		return SaidAbsent
	// Whether it is ours is for people where what the provider tells differs, or is too little to compare; how it ended it has said all the same.
	case d.State == attempt.Failed, d.Unmoved():
		return SaidFailed
	case d.Mismatch != "":
		return SaidDiffers
	case d.State == attempt.Succeeded, d.Ended == provider.Succeeded:
		return SaidPaid
	case d.Accepted:
		return SaidPending
	default: // not found, too early or too seldom to mean anything
		return ""
	}
}
