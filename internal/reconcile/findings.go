package reconcile

import (
	"context"
	"embed"
	"fmt"
	"slices"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/reconcile/db"
	"github.com/agogopay/agogo/internal/telemetry"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations creates the table of findings.
var Migrations = pg.Set{Name: "reconcile", FS: migrations, Dir: "migrations"}

// KindMismatch is the kind of the posting that keeps a contradiction's difference.
const KindMismatch = "recon.mismatch"

// Findings records what providers say against what is booked.
type Findings struct {
	Service  string
	Outbox   *outbox.Outbox
	Clock    clock.Clock
	Epoch    *event.Epoch
	Registry prometheus.Registerer // nil: not measured
	// Account is the account that mirrors what the provider of an attempt holds for us, or owes us.
	Account func(a attempt.Attempt) string
	// Collects is set where providers take money in for us: what they moved unbooked is owed to us. Otherwise it has left us.
	Collects bool

	once       sync.Once
	mismatches *prometheus.CounterVec
}

// count counts a finding.
func (f *Findings) count(tenant, provider, code string) {
	f.once.Do(func() {
		f.mismatches = telemetry.Shared(f.Registry, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agogo_" + f.Service + "_mismatches_total", Help: "Answers and statements of providers that contradict what is booked.",
		}, []string{"tenant", "provider", "code"}))
	})
	f.mismatches.WithLabelValues(tenant, provider, code).Inc()
}

// Record keeps contradictions once each: a row, an event, and the difference in suspense until somebody has explained it.
func (f *Findings) Record(ctx context.Context, tx pgx.Tx, updates []attempt.Update) error {
	p := db.InsertFindingsParams{FoundAt: f.Clock.Now(), Source: "lookup"}
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
		p.Founds = append(p.Founds, u.Decision.Said)
		p.Differences, p.Currencies = append(p.Differences, difference(u).Minor), append(p.Currencies, string(a.Amount.Currency))
		p.Told = append(p.Told, true)
	}
	if len(p.Ids) == 0 {
		return nil
	}
	fresh, err := db.New(tx).InsertFindings(ctx, p)
	if err != nil {
		return fmt.Errorf("record contradictions: %w", err)
	}
	slices.SortFunc(fresh, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	return f.tell(ctx, tx, fresh, byID)
}

// Returned takes what attempts have in suspense out of it again of which the provider says now that it has come back. What was never there,
// or a statement has taken out, needs no explanation.
func (f *Findings) Returned(ctx context.Context, tx pgx.Tx, updates []attempt.Update) error {
	back := map[attempt.Key]attempt.Update{}
	var p db.SuspendedParams
	for _, u := range updates {
		if u.Decision.TakenBack && u.Decision.Mismatch == "" {
			u.Decision.Mismatch, u.Decision.Moved = attempt.MismatchReturned, -1
			back[u.Attempt.Key] = u
			p.SubjectIds, p.Attempts = append(p.SubjectIds, u.Attempt.Subject), append(p.Attempts, int32(u.Attempt.Number))
		}
	}
	if len(back) == 0 {
		return nil
	}
	rows, err := db.New(tx).Suspended(ctx, p)
	if err != nil {
		return fmt.Errorf("read what is in suspense: %w", err)
	}
	var suspended []attempt.Update
	for _, r := range rows {
		suspended = append(suspended, back[attempt.Key{Subject: r.SubjectID, Number: int(r.Attempt)}])
	}
	return f.Record(ctx, tx, suspended)
}

func (f *Findings) tell(ctx context.Context, tx pgx.Tx, fresh []uuid.UUID, byID map[uuid.UUID]attempt.Update) error {
	var (
		msgs     []outbox.Message
		postings []ledger.Posting
	)
	for _, id := range fresh {
		u := byID[id]
		a, diff := u.Attempt, difference(u)
		f.count(a.Tenant, a.Provider, u.Decision.Mismatch)
		msg, err := f.message(ctx, id, &eventsv1.Recon{
			Tenant: a.Tenant, Provider: a.Provider, ReconId: id.String(), State: "mismatch", SubjectId: a.Subject.String(),
			AttemptReference: a.Reference, Expected: string(a.State), Found: u.Decision.Said, Difference: &eventsv1.Money{Minor: diff.Minor, Currency: string(diff.Currency)},
			Reason: &eventsv1.Reason{Code: u.Decision.Mismatch},
		})
		if err != nil {
			return err
		}
		msgs = append(msgs, msg)
		if diff.Minor != 0 {
			postings = append(postings, f.suspense(a, diff, u.Decision.Beyond != 0))
		}
	}
	if err := ledger.Post(ctx, tx, postings...); err != nil {
		return err
	}
	return f.Outbox.Append(ctx, tx, msgs...)
}

// difference is what the provider moved more than the books say, negative when less.
func difference(u attempt.Update) money.Amount {
	return money.Amount{Minor: int64(u.Decision.Moved)*u.Attempt.Amount.Minor + u.Decision.Beyond, Currency: u.Attempt.Amount.Currency}
}

// suspense keeps the account equal to the provider's without deciding whose money it is. There is one posting per attempt
// and direction, whatever the contradictions are called, and beside them one of an amount that differs.
func (f *Findings) suspense(a attempt.Attempt, diff money.Amount, beyond bool) ledger.Posting {
	debit, credit, leg := ledger.Suspense, f.Account(a), 0
	less := diff.Minor < 0
	if less {
		leg, diff.Minor = 1, -diff.Minor
	}
	if beyond {
		leg += 2
	}
	if f.Collects != less {
		debit, credit = credit, debit
	}
	return ledger.Posting{
		Tenant: a.Tenant, Kind: KindMismatch, Ref: fmt.Sprintf("%s/%d", a.Subject, a.Number), Leg: leg,
		Debit: debit, Credit: credit, Amount: diff, OccurredAt: f.Clock.Now(),
	}
}

// message makes the outbox row of a finding's only event.
func (f *Findings) message(ctx context.Context, id uuid.UUID, body *eventsv1.Recon) (outbox.Message, error) {
	const found event.Type = "recon.mismatch_found"
	data, err := event.Encode(body)
	if err != nil {
		return outbox.Message{}, fmt.Errorf("encode %s of %s: %w", found, id, err)
	}
	return outbox.FromEvent(ctx, event.New(ctx, f.Service, body.GetTenant(), found, id.String(), 1, f.Epoch.Now(), f.Clock.Now()), data), nil
}
