package reconcile

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/provider"
)

// Decide writes decisions to their attempts and sorts them: moved are those that changed a state, valid those that were made
// on the row as it still was. What was decided about a row that has changed since is neither, also when a newer decision
// about the same row is beside it. The alarms of decisions are the caller's to tell, once per valid update.
func Decide(ctx context.Context, tx pgx.Tx, at time.Time, updates []attempt.Update) (moved []attempt.Moved, valid []attempt.Update, err error) {
	updates = once(updates)
	recorded, err := attempt.RecordLookups(ctx, tx, at, updates)
	if err != nil {
		return nil, nil, err
	}
	now := make(map[attempt.Key]attempt.Attempt, len(recorded))
	for _, a := range recorded {
		now[a.Key] = a
	}
	for _, u := range updates {
		a, ok := now[u.Attempt.Key]
		if !ok || a.Version != u.Attempt.Version+1 { // the row was changed, by somebody else or by an update beside this one
			continue
		}
		valid = append(valid, u)
		if a.State != u.Attempt.State {
			result := u.Decision.Result
			result.Alarm = "" // told with the decision's own
			moved = append(moved, attempt.Moved{Attempt: a, Result: result})
		}
	}
	return moved, valid, nil
}

// once keeps one update of each row as it was: only one of them can be written.
func once(updates []attempt.Update) []attempt.Update {
	type row struct {
		attempt.Key
		version int64
	}
	seen := make(map[row]bool, len(updates))
	return slices.DeleteFunc(slices.Clone(updates), func(u attempt.Update) bool {
		r := row{u.Attempt.Key, u.Attempt.Version}
		again := seen[r]
		seen[r] = true
		return again
	})
}

// Late reads answers to sends that somebody else has taken over meanwhile as if lookups had brought them. What they prove
// counts by the same rules; what they leave open is asked about anyway, since a takeover makes an attempt due at once.
func Late(ctx context.Context, tx pgx.Tx, connectors *connector.Set, at time.Time, answers []attempt.Outcome) ([]attempt.Update, error) {
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
		c, known := connectors.Get(a.Tenant, a.Provider)
		if answer := byKey[a.Key]; known && a.State != attempt.Submitting && proves(answer, a) {
			found := attempt.Answer{Found: provider.Found{Exists: true, Result: answer.Result}}
			updates = append(updates, attempt.Update{Attempt: a, Decision: attempt.Decide(a, found, c.Policy, at)})
		}
	}
	return updates, nil
}

// proves reports whether a late answer says anything about an attempt. Only a success does when the reference was sent again
// since: a rejection was then of the earlier send.
func proves(answer attempt.Outcome, a attempt.Attempt) bool {
	switch answer.Result.Class {
	case provider.Succeeded:
		return true
	case provider.RejectedFinal, provider.RejectedRetryable, provider.Accepted:
		return answer.Sends == a.Sends
	default:
		return false
	}
}

// Contradicted lists the subjects whose closed attempt, booked as failed or never sent, turns out to have been paid, or to be
// under way still: nothing may send them again. One that failed there too, be it of another amount or payee, pays nobody.
func Contradicted(updates []attempt.Update) []uuid.UUID {
	var ids []uuid.UUID
	for _, u := range updates {
		again := u.Attempt.State == attempt.NotSent || u.Attempt.State == attempt.Failed
		if again && u.Decision.Mismatch != "" && !u.Decision.Unmoved() && !slices.Contains(ids, u.Attempt.Subject) {
			ids = append(ids, u.Attempt.Subject)
		}
	}
	return ids
}
