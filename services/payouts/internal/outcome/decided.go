package outcome

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/outcome/db"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
)

// Decided records decisions about attempts and applies those that change a state. It returns the payouts that moved.
// Contradictions become findings; what lookups said is noted for those who decide about a payout in review.
func (o *Outcomes) Decided(ctx context.Context, tx pgx.Tx, updates []attempt.Update) ([]payout.Payout, error) {
	recorded, err := attempt.RecordLookups(ctx, tx, o.Clock.Now(), updates)
	if err != nil {
		return nil, err
	}
	now := make(map[attempt.Key]attempt.Attempt, len(recorded))
	for _, a := range recorded {
		now[a.Key] = a
	}
	var (
		moved []attempt.Moved
		valid []attempt.Update // made on the row as it still was
	)
	for _, u := range updates {
		a, ok := now[u.Attempt.Key]
		if !ok {
			continue
		}
		valid = append(valid, u)
		if a.State != u.Attempt.State {
			result := u.Decision.Result
			result.Alarm = "" // told below, with the decision's own
			moved = append(moved, attempt.Moved{Attempt: a, Result: result})
		}
		o.Alarm(ctx, a, u.Decision.Alarm)
	}
	payouts, err := o.Apply(ctx, tx, moved)
	if err != nil {
		return nil, err
	}
	if err := o.find(ctx, tx, valid); err != nil {
		return nil, err
	}
	if err := o.contradict(ctx, tx, valid); err != nil {
		return nil, err
	}
	return payouts, o.note(ctx, tx, valid)
}

// Late takes in answers to sends that somebody else has taken over meanwhile. What they prove counts, by the same rules as
// a lookup; what they leave open is asked about anyway, since a takeover makes an attempt due at once.
func (o *Outcomes) Late(ctx context.Context, tx pgx.Tx, answers []attempt.Outcome) ([]payout.Payout, error) {
	if len(answers) == 0 {
		return nil, nil
	}
	byKey := make(map[attempt.Key]attempt.Outcome, len(answers))
	keys := make([]attempt.Key, 0, len(answers))
	for _, a := range answers {
		byKey[a.Key] = a
		keys = append(keys, a.Key)
	}
	locked, err := attempt.Lock(ctx, tx, keys...)
	if err != nil {
		return nil, err
	}
	var updates []attempt.Update
	for _, a := range locked {
		if u, ok := o.late(a, byKey[a.Key]); ok {
			updates = append(updates, u)
		}
	}
	o.Logger.WarnContext(ctx, "payouts: answers came after their lease", "answers", len(answers), "proofs", len(updates))
	return o.Decided(ctx, tx, updates)
}

// late reads a late answer as if a lookup had brought it. Only a success proves anything when the reference was sent again
// since: a rejection was then of the earlier send.
func (o *Outcomes) late(a attempt.Attempt, answer attempt.Outcome) (attempt.Update, bool) {
	proof := answer.Result.Class == provider.Succeeded ||
		(answer.Sends == a.Sends && rejected(answer.Result.Class)) || (answer.Sends == a.Sends && answer.Result.Class == provider.Accepted)
	c, known := o.Connectors.Get(a.Tenant, a.Provider)
	if !proof || !known || a.State == attempt.Submitting {
		return attempt.Update{}, false
	}
	found := attempt.Answer{Found: provider.Found{Exists: true, Result: answer.Result}}
	return attempt.Update{Attempt: a, Decision: attempt.Decide(a, found, c.Policy, o.Clock.Now())}, true
}

func rejected(c provider.Class) bool {
	return c == provider.RejectedFinal || c == provider.RejectedRetryable
}

// note keeps, for payouts that people decide about, what the newest lookup said.
func (o *Outcomes) note(ctx context.Context, tx pgx.Tx, updates []attempt.Update) error {
	p := db.NoteLookupsParams{At: o.Clock.Now()}
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

// absentReadsToSay is how many reads in a row must have found nothing before that speaks for not_paid: the number that
// proves absence where nobody decides. Reads before the proposal count; the last one is after it.
const absentReadsToSay = 2

// What a lookup said, in the words of proposals.
const (
	SaidAbsent  = "absent"
	SaidFailed  = "failed"
	SaidPaid    = "succeeded"
	SaidPending = "pending"
	SaidDiffers = "differs"
)

func said(u attempt.Update) string {
	d := u.Decision
	switch {
	case !u.Lookup || !d.Answered:
		return ""
	case d.Absent && d.AbsentReads >= absentReadsToSay:
		return SaidAbsent
	case d.State == attempt.Failed:
		return SaidFailed
	case d.State == attempt.Succeeded:
		return SaidPaid
	case d.Mismatch != "":
		return SaidDiffers
	case d.Accepted:
		return SaidPending
	default: // not found, too early or too seldom to mean anything
		return ""
	}
}
