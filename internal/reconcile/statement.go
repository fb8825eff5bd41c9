package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/reconcile/db"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
)

// KindStatement is the kind of the posting that keeps a difference between a statement and the books.
const KindStatement = "recon.statement"

// CodeExplained is the code of the finding that takes an earlier one out of suspense: its other half was found.
const CodeExplained = "explained"

// Finding is what a statement says against the books.
type Finding struct {
	ID        uuid.UUID // the same whenever the same is found again
	Tenant    string
	Provider  string
	Subject   uuid.UUID // the payout; of a line that is nobody's, an id that follows from the line
	Attempt   int
	Reference string
	Code      string
	Expected  string
	Found     string
	// Difference is what the provider moved more than the books.
	Difference money.Amount
	// Books has the difference put into suspense, so that the account stays equal to the provider's.
	Books bool
	// Silent finds without an event: nobody has to do anything.
	Silent bool
}

// Told keeps findings once each: a row, an event, and the difference in suspense where that is wanted. It returns how many
// were new.
func (f *Findings) Told(ctx context.Context, tx pgx.Tx, findings []Finding) (int, error) {
	if len(findings) == 0 {
		return 0, nil
	}
	now := f.Clock.Now()
	p := db.InsertFindingsParams{FoundAt: now, Source: "statement"}
	for _, x := range findings {
		difference := x.Difference.Minor
		if !x.Books {
			difference = 0
		}
		p.Ids, p.Tenants, p.Providers = append(p.Ids, x.ID), append(p.Tenants, x.Tenant), append(p.Providers, x.Provider)
		p.SubjectIds, p.Attempts, p.Refs = append(p.SubjectIds, x.Subject), append(p.Attempts, int32(x.Attempt)), append(p.Refs, x.Reference)
		p.Codes, p.Expecteds, p.Founds = append(p.Codes, x.Code), append(p.Expecteds, x.Expected), append(p.Founds, x.Found)
		p.Differences, p.Currencies = append(p.Differences, difference), append(p.Currencies, string(x.Difference.Currency))
		p.Told = append(p.Told, !x.Silent)
	}
	fresh, err := db.New(tx).InsertFindings(ctx, p)
	if err != nil {
		return 0, fmt.Errorf("record what a statement says: %w", err)
	}
	isNew := make(map[uuid.UUID]bool, len(fresh))
	for _, id := range fresh {
		isNew[id] = true
	}
	known := slices.DeleteFunc(slices.Clone(findings), func(x Finding) bool { return !isNew[x.ID] })
	return len(known), f.say(ctx, tx, now, known)
}

// say posts and tells new findings.
func (f *Findings) say(ctx context.Context, tx pgx.Tx, now time.Time, findings []Finding) error {
	var (
		msgs     []outbox.Message
		postings []ledger.Posting
	)
	for _, x := range findings {
		if x.Books && x.Difference.Minor != 0 {
			postings = append(postings, correction(x, f.Account(attempt.Attempt{Tenant: x.Tenant, Provider: x.Provider}), now))
		}
		if x.Silent {
			continue
		}
		f.count(x.Tenant, x.Provider, x.Code)
		msg, err := f.message(ctx, x.ID, &eventsv1.Recon{
			Tenant: x.Tenant, Provider: x.Provider, ReconId: x.ID.String(), State: "mismatch", SubjectId: x.Subject.String(),
			AttemptReference: x.Reference, Expected: x.Expected, Found: x.Found,
			Difference: &eventsv1.Money{Minor: x.Difference.Minor, Currency: string(x.Difference.Currency)},
			Reason:     &eventsv1.Reason{Code: x.Code},
		})
		if err != nil {
			return err
		}
		msgs = append(msgs, msg)
	}
	if err := ledger.Post(ctx, tx, postings...); err != nil {
		return err
	}
	return f.Outbox.Append(ctx, tx, msgs...)
}

// correction moves a difference between the provider's account and suspense: what left there beyond the books is nobody's yet.
func correction(x Finding, account string, now time.Time) ledger.Posting {
	p := ledger.Posting{
		Tenant: x.Tenant, Kind: KindStatement, Ref: x.ID.String(), Debit: ledger.Suspense, Credit: account, Amount: x.Difference, OccurredAt: now,
	}
	if x.Difference.Minor < 0 {
		p.Debit, p.Credit, p.Amount.Minor = p.Credit, p.Debit, -x.Difference.Minor
	}
	return p
}

// Listed is a finding as it is kept: its difference is what of it is in suspense.
type Listed struct {
	Finding
	Source  string // lookup, statement
	FoundAt time.Time
}

// List lists a tenant's findings, newest first, behind one of a time and id.
func List(ctx context.Context, conn db.DBTX, tenant, provider string, before time.Time, after uuid.UUID, limit int) ([]Listed, error) {
	rows, err := db.New(conn).ListFindings(ctx, db.ListFindingsParams{Tenant: tenant, Provider: provider, Before: before, After: after, PageLimit: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("list findings of %s: %w", tenant, err)
	}
	all := make([]Listed, len(rows))
	for i, r := range rows {
		all[i] = Listed{Source: r.Source, FoundAt: r.FoundAt, Finding: Finding{
			ID: r.ReconID, Tenant: r.Tenant, Provider: r.Provider, Subject: r.SubjectID, Attempt: int(r.Attempt), Reference: r.Reference, Code: r.Code,
			Expected: r.Expected, Found: r.Found, Difference: money.Amount{Minor: r.Difference, Currency: money.Currency(r.Currency)},
		}}
	}
	return all, nil
}
