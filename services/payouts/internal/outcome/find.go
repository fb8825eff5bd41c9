package outcome

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/outbox"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/payouts/internal/outcome/db"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// find records contradictions once each: a row, an event, and the difference in suspense until somebody has explained it.
func (o *Outcomes) find(ctx context.Context, tx pgx.Tx, updates []attempt.Update) error {
	p := db.InsertFindingsParams{FoundAt: o.Clock.Now()}
	byID := map[uuid.UUID]attempt.Update{}
	for _, u := range updates {
		if u.Decision.Mismatch == "" {
			continue
		}
		a := u.Attempt
		id := event.UUID("recon", a.Subject.String(), fmt.Sprint(a.Number), u.Decision.Mismatch)
		byID[id] = u
		p.Ids, p.Tenants, p.Providers = append(p.Ids, id), append(p.Tenants, a.Tenant), append(p.Providers, a.Provider)
		p.SubjectIds, p.Attempts, p.Refs = append(p.SubjectIds, a.Subject), append(p.Attempts, int32(a.Number)), append(p.Refs, a.Reference)
		p.Codes, p.Expecteds = append(p.Codes, u.Decision.Mismatch), append(p.Expecteds, string(a.State))
		p.Founds = append(p.Founds, u.Decision.Mismatch)
		p.Differences, p.Currencies = append(p.Differences, difference(u).Minor), append(p.Currencies, string(a.Amount.Currency))
	}
	if len(p.Ids) == 0 {
		return nil
	}
	fresh, err := db.New(tx).InsertFindings(ctx, p)
	if err != nil {
		return fmt.Errorf("record contradictions: %w", err)
	}
	slices.SortFunc(fresh, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	return o.tell(ctx, tx, fresh, byID)
}

func (o *Outcomes) tell(ctx context.Context, tx pgx.Tx, fresh []uuid.UUID, byID map[uuid.UUID]attempt.Update) error {
	var (
		msgs     []outbox.Message
		postings []ledger.Posting
	)
	for _, id := range fresh {
		u := byID[id]
		a, diff := u.Attempt, difference(u)
		o.mismatches.WithLabelValues(a.Tenant, a.Provider, u.Decision.Mismatch).Inc()
		msg, err := o.Store.Event(ctx, a.Tenant, "recon.mismatch_found", id.String(), 1, &eventsv1.Recon{
			Tenant: a.Tenant, Provider: a.Provider, ReconId: id.String(), State: "mismatch", SubjectId: a.Subject.String(),
			AttemptReference: a.Reference, Expected: string(a.State), Found: u.Decision.Mismatch, Difference: store.MoneyProto(diff),
			Reason: &eventsv1.Reason{Code: u.Decision.Mismatch},
		})
		if err != nil {
			return err
		}
		msgs = append(msgs, msg)
		if diff.Minor != 0 {
			postings = append(postings, o.suspense(a, u.Decision.Moved))
		}
	}
	if err := ledger.Post(ctx, tx, postings...); err != nil {
		return err
	}
	return o.Outbox.Append(ctx, tx, msgs...)
}

// difference is what the provider moved more than the books say, negative when less.
func difference(u attempt.Update) money.Amount {
	return money.Amount{Minor: int64(u.Decision.Moved) * u.Attempt.Amount.Minor, Currency: u.Attempt.Amount.Currency}
}

// suspense keeps the float equal to the provider's without deciding whose money it is. There is one posting per attempt and
// direction, whatever the contradictions are called.
func (o *Outcomes) suspense(a attempt.Attempt, moved int) ledger.Posting {
	debit, credit, leg := ledger.Suspense, ledger.Float(a.Provider), 0
	if moved < 0 {
		debit, credit, leg = credit, debit, 1
	}
	return o.posting(a, KindMismatch, leg, debit, credit, a.Amount)
}

// contradict keeps payouts from being sent again whose closed attempt turns out to have been paid, or to be under way still,
// in whatever state they are now.
func (o *Outcomes) contradict(ctx context.Context, tx pgx.Tx, updates []attempt.Update) error {
	var ids []uuid.UUID
	for _, u := range updates {
		again := u.Attempt.State == attempt.NotSent || u.Attempt.State == attempt.Failed
		if again && u.Decision.Mismatch != "" && !slices.Contains(ids, u.Attempt.Subject) {
			ids = append(ids, u.Attempt.Subject)
		}
	}
	return o.Store.Contradict(ctx, tx, ids...)
}
