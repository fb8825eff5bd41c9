package precheck

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/precheck/db"
)

// refer notes the references whose absence is what an answer would prove, so that a webhook about one of them finds the question.
func (g *Gate) refer(ctx context.Context, tx pgx.Tx, asked db.AskParams) error {
	p := db.ReferParams{Tenant: asked.Tenant, Provider: asked.Provider}
	for i, subject := range asked.SubjectIds {
		for n := asked.Numbers[i]; n < asked.Numbers[i]+inSuccession; n++ {
			p.Refs = append(p.Refs, g.Reference(subject, int(n)))
			p.SubjectIds, p.Numbers = append(p.SubjectIds, subject), append(p.Numbers, n)
		}
	}
	if err := db.New(tx).Refer(ctx, p); err != nil {
		return fmt.Errorf("note which references are asked about: %w", err)
	}
	return nil
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
