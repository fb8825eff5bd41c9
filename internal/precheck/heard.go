package precheck

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/precheck/db"
	"github.com/agogopay/agogo/internal/retention"
	"github.com/agogopay/agogo/internal/webhook"
)

// refer notes the references whose absence is what an answer would prove, so that a webhook about one of them finds the question.
func (g *Gate) refer(ctx context.Context, tx pgx.Tx, asked db.AskParams) error {
	p := db.ReferParams{Tenant: asked.Tenant, Provider: asked.Provider}
	for i, subject := range asked.SubjectIds {
		for k, reference := range g.references(subject, asked.Numbers[i]) {
			p.Refs, p.SubjectIds, p.Numbers = append(p.Refs, reference), append(p.SubjectIds, subject), append(p.Numbers, asked.Numbers[i]+int32(k))
		}
	}
	if err := db.New(tx).Refer(ctx, p); err != nil {
		return fmt.Errorf("note which references are asked about: %w", err)
	}
	return nil
}

// Unsent are those of references of which the tables do not know that they were sent.
func Unsent(references []string, known map[string]attempt.Attempt) []string {
	var unsent []string
	for _, reference := range references {
		if a, ok := known[reference]; !ok || a.State == attempt.NotSent {
			unsent = append(unsent, reference)
		}
	}
	return unsent
}

// Heard has everything asked about anew whose references a webhook spoke of: the provider knows more by now than when it was asked. It tells of
// each reference whose question is open, or was answered, whether that is done; where it is not, somebody holds the question, and the
// webhook has to be tried again in a moment.
func Heard(ctx context.Context, tx pgx.Tx, now time.Time, tenant, name string, references []string) (map[string]bool, error) {
	if len(references) == 0 {
		return nil, nil
	}
	q := db.New(tx)
	spoken, err := q.Spoken(ctx, db.SpokenParams{Tenant: tenant, Provider: name, Refs: references})
	if err != nil {
		return nil, fmt.Errorf("find questions that webhooks speak of: %w", err)
	}
	if len(spoken) == 0 { // nearly always: after a restore only, and of what has no attempt
		return nil, nil
	}
	again, err := q.Hear(ctx, db.HearParams{At: now, Tenant: tenant, Provider: name, Refs: references})
	if err != nil {
		return nil, fmt.Errorf("ask anew what webhooks speak of: %w", err)
	}
	done := make(map[uuid.UUID]bool, len(again))
	for _, subject := range again {
		done[subject] = true
	}
	heard := make(map[string]bool, len(spoken))
	for _, s := range spoken {
		heard[s.Reference] = done[s.SubjectID]
	}
	return heard, nil
}

// unspoken leaves out what would be proven absent while a webhook about it waits: it came before its reference was noted, and for all that
// is known its provider has the transfer. Such a webhook is tried at once and has the question asked anew; where nobody matches
// webhooks, the question is asked again when its lease is over. One that was tried since its reference was noted was heard, and waits for
// something else. This is done where absence becomes proven and not where it is asked for: whatever was being matched then is stored by now.
func (g *Gate) unspoken(ctx context.Context, tx pgx.Tx, c *connector.Connector, answered []db.ClaimRow) ([]db.ClaimRow, error) {
	var proving []string
	for _, q := range answered {
		if q.State == absent {
			proving = append(proving, g.references(q.SubjectID, q.Number)...)
		}
	}
	if len(proving) == 0 {
		return answered, nil
	}
	waiting, err := webhook.Recall(ctx, tx, g.Clock.Now(), c.Tenant, c.Provider, proving)
	if err != nil || len(waiting) == 0 {
		return answered, err
	}
	var rest []db.ClaimRow
	for _, q := range answered {
		spoken := func(reference string) bool { return waiting[reference] }
		if q.State != absent || !slices.ContainsFunc(g.references(q.SubjectID, q.Number), spoken) {
			rest = append(rest, q)
		}
	}
	return rest, nil
}

// keepFor is how long a reference is kept after it was proven absent. Nothing goes or ends on such a word after an hour: its subject is asked about
// anew, which notes its references again. A payee who was held for it is paid on it for longer, and a month is longer than providers go on
// telling of a transfer.
const keepFor = 30 * 24 * time.Hour

// Retention forgets references whose webhooks say nothing new any more. What is being asked about, or was found and not taken over yet, is kept
// however old it is, and so are the questions themselves: they say that a subject was asked about.
func (g *Gate) Retention(q db.DBTX) retention.Rule {
	return retention.Rule{Rows: "references that were asked about", Delete: func(ctx context.Context, limit int32) (int64, error) {
		n, err := db.New(q).ForgetReferences(ctx, db.ForgetReferencesParams{Before: g.Clock.Now().Add(-keepFor), Batch: limit})
		if err != nil {
			return n, fmt.Errorf("forget references that were asked about: %w", err)
		}
		return n, nil
	}}
}

// references are those of a subject whose absence is asked about, from a number on.
func (g *Gate) references(subject uuid.UUID, number int32) []string {
	refs := make([]string, inSuccession)
	for i := range refs {
		refs[i] = g.Reference(subject, int(number)+i)
	}
	return refs
}
