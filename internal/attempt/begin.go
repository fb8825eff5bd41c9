package attempt

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt/db"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
)

// Start is an attempt about to begin.
type Start struct {
	Key
	Tenant      string
	Provider    string
	Reference   string
	Amount      money.Amount
	Destination string
	// Day is the first day on which the subject can have been made up, as midnight in UTC: after a restore it tells whether it may have
	// been sent before. The zero time is any day.
	Day time.Time
	// Lapsed is set where the reference may not go again before its provider was asked anew; see [ResendWithin].
	Lapsed bool
	// Found is set where the provider knows the reference, or a later one, from before a restore: what is in between was not refused by us.
	Found bool
	// Spent is set where the attempt of this number is [Attempt.Spent]: its reference goes again. Without it what has failed is never begun again.
	Spent bool
}

// Traceless is how many attempts of a subject in a row may be refused without a trace at the provider and what follows is still found after a
// restore, see internal/precheck. Payouts begin no reference behind more: their table of attempts holds to it too.
const Traceless = 4

// Traceless reports whether an attempt was refused and has left nothing at the provider, as far as it has told: no lookup will find it.
// What was ever in doubt may be there under its reference, whatever people decided: that reference never goes again for this.
func (a Attempt) Traceless() bool {
	return a.State == Failed && !a.Accepted && a.OpenedAt == nil && a.ProviderID == ""
}

// Spent reports whether an attempt was refused without a trace behind as many as there may be: its subject goes again under its
// reference, of which the refusal says that nothing came, until something is left of it at the provider. Through another provider it
// gets the next number.
func (a Attempt) Spent() bool { return a.Traceless() && a.Behind >= Traceless }

// Next is the number of a subject's next attempt: the same again while it is proven that nothing was sent under it, or it is spent, the next one
// otherwise. It takes the newest attempt, number 0 before the first.
func Next(number int, state State, spent bool) int {
	if state == NotSent || spent {
		return number
	}
	return number + 1
}

// Begin opens attempts under the owner's lease, all of them or none: a new row each, or the one that is proven never to
// have been sent, with its own reference. The caller holds the subjects' rows, commits, and only then calls the provider. An owner begins
// once: when a commit is lost, what it began is recorded as never sent, and that must not match what anybody begins instead.
func Begin(ctx context.Context, tx pgx.Tx, owner string, lease time.Duration, at time.Time, starts []Start) ([]Attempt, error) {
	if len(starts) == 0 {
		return nil, nil
	}
	p := db.BeginParams{Owner: owner, LeaseSeconds: lease.Seconds(), At: at, Traceless: Traceless, Spent: []uuid.UUID{}}
	for _, s := range starts {
		p.SubjectIds, p.Numbers = append(p.SubjectIds, s.Subject), append(p.Numbers, int32(s.Number))
		p.Tenants, p.Providers = append(p.Tenants, s.Tenant), append(p.Providers, s.Provider)
		p.Refs, p.Amounts = append(p.Refs, s.Reference), append(p.Amounts, s.Amount.Minor)
		p.Currencies, p.Destinations = append(p.Currencies, string(s.Amount.Currency)), append(p.Destinations, s.Destination)
		p.Founds = append(p.Founds, s.Found)
		if s.Spent {
			p.Spent = append(p.Spent, s.Subject)
		}
	}
	rows, err := db.New(tx).Begin(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("begin attempts: %w", err)
	}
	if len(rows) != len(starts) {
		return nil, fmt.Errorf("begin attempts: %d of %d are there already and are open, closed or of another amount", len(starts)-len(rows), len(starts))
	}
	return fromRows(rows), nil
}

// Require sets what answers about attempts have to tell. The caller has begun them in this transaction.
func Require(ctx context.Context, tx pgx.Tx, must MustTell, attempts ...Attempt) error {
	p := db.MustTellParams{MustTell: string(must)}
	for _, a := range attempts {
		p.SubjectIds, p.Numbers = append(p.SubjectIds, a.Subject), append(p.Numbers, int32(a.Number))
	}
	if err := db.New(tx).MustTell(ctx, p); err != nil {
		return fmt.Errorf("note what answers about attempts have to tell: %w", err)
	}
	return nil
}

// Outcome is what the provider answered to a send.
type Outcome struct {
	Key
	Owner      string // of the lease that it was begun under
	Sends      int    // of the attempt as Begin returned it
	State      State
	Result     provider.Result
	NextLookup *time.Time // of an open state
}

// Record closes sends with their outcomes, set-based, and returns the attempts it closed. An outcome that is missing from
// the result came too late: the lease had run out and the attempt was taken over, so the answer is only a hint.
func Record(ctx context.Context, tx pgx.Tx, at time.Time, outcomes []Outcome) ([]Attempt, error) {
	if len(outcomes) == 0 {
		return nil, nil
	}
	p := db.RecordParams{At: at, RateLimited: provider.CodeRateLimited}
	for _, o := range outcomes {
		p.SubjectIds, p.Numbers, p.Sends = append(p.SubjectIds, o.Subject), append(p.Numbers, int32(o.Number)), append(p.Sends, int32(o.Sends))
		p.Owners = append(p.Owners, o.Owner)
		p.States, p.Opens = append(p.States, string(o.State)), append(p.Opens, o.State.Open())
		p.Classes, p.Scopes, p.Codes = append(p.Classes, string(o.Result.Class)), append(p.Scopes, string(o.Result.Scope)), append(p.Codes, o.Result.Code)
		p.ProviderCodes, p.ProviderIds = append(p.ProviderCodes, o.Result.ProviderCode), append(p.ProviderIds, o.Result.ProviderID)
		p.Fees, p.NextLookups = append(p.Fees, feeOrNone(o.Result.Fee)), append(p.NextLookups, timeOrZero(o.NextLookup))
	}
	rows, err := db.New(tx).Record(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("record outcomes of attempts: %w", err)
	}
	return fromRows(rows), nil
}

// TakeOver makes attempts whose lease ran out unknown, and due for a lookup now. It never sends anything.
func TakeOver(ctx context.Context, tx pgx.Tx, at time.Time, limit int) ([]Attempt, error) {
	rows, err := db.New(tx).TakeOver(ctx, db.TakeOverParams{At: at, PageLimit: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("take over expired attempts: %w", err)
	}
	return fromRows(rows), nil
}

// feeOrNone is -1 for "not told": arrays of nullable elements are clumsy in a driver.
func feeOrNone(fee *money.Amount) int64 {
	if fee == nil {
		return -1
	}
	return fee.Minor
}

// timeOrZero is the zero time for NULL, for the same reason.
func timeOrZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
