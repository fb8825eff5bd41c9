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

// entry is one finding: a contradiction, or what moved in it beyond what was asked for.
type entry struct {
	attempt.Update
	code       string
	difference money.Amount // what the provider moved more than the books say, negative when less
	beyond     bool
}

func (e entry) id() uuid.UUID {
	return event.UUID("recon", e.Attempt.Subject.String(), fmt.Sprint(e.Attempt.Number), e.code)
}

// entries are the findings of an update.
func entries(u attempt.Update) []entry {
	d, of := u.Decision, func(minor int64) money.Amount { return money.Amount{Minor: minor, Currency: u.Attempt.Amount.Currency} }
	var all []entry
	aside := d.Mismatch == attempt.MismatchAmount || d.Mismatch == attempt.MismatchUndone
	if d.Mismatch != "" && !aside {
		all = append(all, entry{u, d.Mismatch, of(int64(d.Moved) * u.Attempt.Amount.Minor), false})
	}
	if d.Beyond == 0 {
		return all
	}
	code := attempt.MismatchAmount
	if aside {
		code = d.Mismatch
	}
	return append(all, entry{u, code, of(d.Beyond), true})
}

// Record keeps contradictions once each: a row, an event, and the difference in suspense until somebody has explained it.
func (f *Findings) Record(ctx context.Context, tx pgx.Tx, updates []attempt.Update) error {
	var found []entry
	for _, u := range updates {
		found = append(found, entries(u)...)
	}
	found, err := f.booked(ctx, tx, found)
	if err != nil || len(found) == 0 {
		return err
	}
	p := db.InsertFindingsParams{FoundAt: f.Clock.Now(), Source: "lookup"}
	byID := map[uuid.UUID]entry{}
	for _, e := range found {
		a, id := e.Attempt, e.id()
		byID[id] = e
		p.Ids, p.Tenants, p.Providers = append(p.Ids, id), append(p.Tenants, a.Tenant), append(p.Providers, a.Provider)
		p.SubjectIds, p.Attempts, p.Refs = append(p.SubjectIds, a.Subject), append(p.Attempts, int32(a.Number)), append(p.Refs, a.Reference)
		p.Codes, p.Expecteds = append(p.Codes, e.code), append(p.Expecteds, string(a.State))
		p.Founds = append(p.Founds, e.Decision.Said)
		p.Differences, p.Currencies = append(p.Differences, e.difference.Minor), append(p.Currencies, string(a.Amount.Currency))
		p.Told = append(p.Told, true)
	}
	fresh, err := db.New(tx).InsertFindings(ctx, p)
	if err != nil {
		return fmt.Errorf("record contradictions: %w", err)
	}
	slices.SortFunc(fresh, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	return f.tell(ctx, tx, fresh, byID)
}

// Affirmed keeps in suspense what the provider told last that it has moved beyond what was asked for, or short of it, of an attempt that people have
// called paid. It may not have answered since the first of them spoke. 0: it has told nothing of that.
func (f *Findings) Affirmed(ctx context.Context, tx pgx.Tx, a attempt.Attempt, told int64) error {
	if told == 0 {
		return nil
	}
	there := money.Amount{Minor: told, Currency: a.Amount.Currency}
	return f.Record(ctx, tx, []attempt.Update{{Attempt: a, Decision: attempt.Decision{
		Mismatch: attempt.MismatchAmount, Beyond: told - a.Amount.Minor, Said: "succeeded " + there.Decimal() + " " + string(there.Currency),
	}}})
}

// booked leaves out what moved beyond what was asked for where a statement has had a say, which has it by its own count.
func (f *Findings) booked(ctx context.Context, tx pgx.Tx, found []entry) ([]entry, error) {
	var p db.StatedParams
	for _, e := range found {
		if e.code == attempt.MismatchAmount {
			p.SubjectIds, p.Attempts = append(p.SubjectIds, e.Attempt.Subject), append(p.Attempts, int32(e.Attempt.Number))
		}
	}
	if len(p.SubjectIds) == 0 {
		return found, nil
	}
	rows, err := db.New(tx).Stated(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("read what statements have in suspense: %w", err)
	}
	stated := map[attempt.Key]bool{}
	for _, r := range rows {
		stated[attempt.Key{Subject: r.SubjectID, Number: int(r.Attempt)}] = true
	}
	return slices.DeleteFunc(found, func(e entry) bool { return e.code == attempt.MismatchAmount && stated[e.Attempt.Key] }), nil
}

// Returned takes what attempts have in suspense out of it again of which the provider says now that it has come back, or that it never moved; what is
// there of another amount also when it tells the one that was asked for. What was never there, or a statement has taken out, needs no explanation.
func (f *Findings) Returned(ctx context.Context, tx pgx.Tx, updates []attempt.Update) error {
	back, paid := map[attempt.Key]attempt.Update{}, db.SuspendedParams{}
	var beyond db.BeyondParams
	var denied db.DeniedParams
	for _, u := range updates {
		if !u.Decision.Undone() && !u.Decision.Exact {
			continue
		}
		back[u.Attempt.Key] = u
		beyond.SubjectIds, beyond.Attempts = append(beyond.SubjectIds, u.Attempt.Subject), append(beyond.Attempts, int32(u.Attempt.Number))
		if u.Decision.Returned != nil {
			denied.SubjectIds, denied.Attempts = append(denied.SubjectIds, u.Attempt.Subject), append(denied.Attempts, int32(u.Attempt.Number))
		}
		if u.Decision.TakenBack && u.Decision.Mismatch == "" {
			paid.SubjectIds, paid.Attempts = append(paid.SubjectIds, u.Attempt.Subject), append(paid.Attempts, int32(u.Attempt.Number))
		}
	}
	if len(back) == 0 {
		return nil
	}
	rows, err := db.New(tx).Suspended(ctx, paid)
	if err != nil {
		return fmt.Errorf("read what is in suspense: %w", err)
	}
	more, err := db.New(tx).Beyond(ctx, beyond)
	if err != nil {
		return fmt.Errorf("read what is in suspense of other amounts: %w", err)
	}
	var out []attempt.Update
	for _, r := range rows {
		u := back[attempt.Key{Subject: r.SubjectID, Number: int(r.Attempt)}]
		u.Decision.Mismatch, u.Decision.Moved = attempt.MismatchReturned, -1
		out = append(out, u)
	}
	for _, r := range more {
		u := back[attempt.Key{Subject: r.SubjectID, Number: int(r.Attempt)}]
		u.Decision = attempt.Decision{Mismatch: attempt.MismatchUndone, Beyond: -r.Difference, Said: u.Decision.Said}
		out = append(out, u)
	}
	once, err := db.New(tx).Denied(ctx, denied)
	if err != nil {
		return fmt.Errorf("read what is in suspense of denials: %w", err)
	}
	for _, r := range once {
		u := back[attempt.Key{Subject: r.SubjectID, Number: int(r.Attempt)}]
		u.Decision = attempt.Decision{Mismatch: attempt.MismatchNotDenied, Moved: 1, Said: u.Decision.Said}
		out = append(out, u)
	}
	return f.Record(ctx, tx, out)
}

func (f *Findings) tell(ctx context.Context, tx pgx.Tx, fresh []uuid.UUID, byID map[uuid.UUID]entry) error {
	var (
		msgs     []outbox.Message
		postings []ledger.Posting
	)
	for _, id := range fresh {
		e := byID[id]
		a, diff := e.Attempt, e.difference
		f.count(a.Tenant, a.Provider, e.code)
		msg, err := f.message(ctx, id, &eventsv1.Recon{
			Tenant: a.Tenant, Provider: a.Provider, ReconId: id.String(), State: "mismatch", SubjectId: a.Subject.String(),
			AttemptReference: a.Reference, Expected: string(a.State), Found: e.Decision.Said, Difference: &eventsv1.Money{Minor: diff.Minor, Currency: string(diff.Currency)},
			Reason: &eventsv1.Reason{Code: e.code},
		})
		if err != nil {
			return err
		}
		msgs = append(msgs, msg)
		if diff.Minor != 0 {
			postings = append(postings, f.suspense(a, diff, e.beyond))
		}
	}
	if err := ledger.Post(ctx, tx, postings...); err != nil {
		return err
	}
	return f.Outbox.Append(ctx, tx, msgs...)
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
