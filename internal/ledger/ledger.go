// Package ledger keeps the books: append-only postings, each from one account to another and therefore balanced by
// construction, per tenant and currency, idempotent by what they tell of.
package ledger

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/agogopay/agogo/internal/ledger/db"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pg"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations creates the postings table.
var Migrations = pg.Set{Name: "ledger", FS: migrations, Dir: "migrations"}

// ErrDiffers is the error of a posting that exists with another amount or other accounts: two stories of one fact.
var ErrDiffers = errors.New("posting exists with another amount or other accounts")

// stateDiffers is the SQLSTATE of the trigger of migration 0001.
const stateDiffers = "LG001"

// Posting is one double entry: Dr Debit / Cr Credit, Amount > 0.
type Posting struct {
	Tenant     string
	Kind       string // what happened: "payment.completed", "attempt.submitted", "attempt.undone", …
	Ref        string // of what: a payment id, "<payout id>/<attempt>", …
	Leg        int    // distinguishes the postings of one (kind, ref)
	Debit      string
	Credit     string
	Amount     money.Amount
	OccurredAt time.Time
}

// Post appends postings in one statement. A posting whose (tenant, kind, ref, leg) exists is left alone, so repeating an
// effect changes nothing; one that exists with another amount or other accounts is [ErrDiffers], and the transaction is
// broken then.
func Post(ctx context.Context, tx pgx.Tx, postings ...Posting) error {
	postings, err := distinct(postings)
	if err != nil || len(postings) == 0 {
		return err
	}
	var p db.PostParams
	for _, x := range postings {
		p.Tenants = append(p.Tenants, x.Tenant)
		p.Kinds = append(p.Kinds, x.Kind)
		p.Refs = append(p.Refs, x.Ref)
		p.Legs = append(p.Legs, int32(x.Leg))
		p.Debits = append(p.Debits, x.Debit)
		p.Credits = append(p.Credits, x.Credit)
		p.Currencies = append(p.Currencies, string(x.Amount.Currency))
		p.Amounts = append(p.Amounts, x.Amount.Minor)
		p.OccurredAts = append(p.OccurredAts, x.OccurredAt)
	}
	err = db.New(tx).Post(ctx, p)
	var pe *pgconn.PgError
	if errors.As(err, &pe) && pe.Code == stateDiffers {
		return fmt.Errorf("%w: %w", ErrDiffers, err)
	}
	if err != nil {
		return fmt.Errorf("post %d entries: %w", len(postings), err)
	}
	return nil
}

// distinct checks postings, drops repetitions and sorts the rest: one statement may meet a row only once, and
// transactions that post the same facts must meet them in the same order.
func distinct(postings []Posting) ([]Posting, error) {
	sorted := slices.Clone(postings)
	slices.SortStableFunc(sorted, func(a, b Posting) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Ref, b.Ref), cmp.Compare(a.Leg, b.Leg))
	})
	out := sorted[:0]
	for _, p := range sorted {
		if err := p.check(); err != nil {
			return nil, err
		}
		if n := len(out); n > 0 && out[n-1].identity() == p.identity() {
			if !out[n-1].sameEntry(p) {
				return nil, fmt.Errorf("%w: twice in one call: %s", ErrDiffers, p.identity())
			}
			continue
		}
		out = append(out, p)
	}
	return out, nil
}

type identity struct {
	tenant, kind, ref string
	leg               int
}

func (i identity) String() string {
	return fmt.Sprintf("%s %s/%s leg %d", i.tenant, i.kind, i.ref, i.leg)
}

func (p Posting) identity() identity { return identity{p.Tenant, p.Kind, p.Ref, p.Leg} }

// sameEntry compares what must not differ; the time at which a fact was told again does not matter.
func (p Posting) sameEntry(q Posting) bool {
	return p.Debit == q.Debit && p.Credit == q.Credit && p.Amount == q.Amount
}

func (p Posting) check() error {
	switch {
	case p.Tenant == "" || p.Kind == "" || p.Ref == "" || p.Debit == "" || p.Credit == "" || p.Amount.Currency == "":
		return fmt.Errorf("posting %s: tenant, kind, ref, both accounts and currency must be set", p.identity())
	case p.Amount.Minor <= 0:
		return fmt.Errorf("posting %s: amount %d is not positive: swap the accounts", p.identity(), p.Amount.Minor)
	case p.Debit == p.Credit:
		return fmt.Errorf("posting %s: debits and credits %s", p.identity(), p.Debit)
	case p.OccurredAt.IsZero():
		return fmt.Errorf("posting %s: no time", p.identity())
	case p.Leg < 0 || p.Leg > 1<<30:
		return fmt.Errorf("posting %s: leg out of range", p.identity())
	}
	return nil
}
