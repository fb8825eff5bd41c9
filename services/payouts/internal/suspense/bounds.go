package suspense

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/services/payouts/internal/suspense/db"
)

// settled are the states of a payout by which the payee's debt is settled, or about to be.
var settled = map[string]bool{"submitting": true, "processing": true, "unknown": true, "manual_review": true, "succeeded": true}

// owed refuses to count as paid what is not owed for the payout any more, and more than it is for: over all its attempts, and in both
// directions. Undone is what was counted, and no more.
func (x *decision) owed(ctx context.Context, account string, want int64) error {
	p := x.payout
	if want > 0 && (settled[p.State] || !p.Claims) {
		return rpc.Refused("SETTLED_ALREADY", "take it to payee_receivable: the payee has it and owes it",
			"payout %s is %s or its payments were freed for another one, so what is in suspense paid no debt that is still open", x.f.SubjectID, p.State)
	}
	paid, err := x.q.Paid(ctx, db.PaidParams{Tenant: x.f.Tenant, SubjectID: x.f.SubjectID, Account: account, Currency: x.f.Currency})
	if err != nil {
		return fmt.Errorf("sum up what counts as paid of payout %s: %w", x.f.SubjectID, err)
	}
	if sum := paid + want; sum < 0 || sum > p.Net {
		of := func(minor int64) string {
			return money.Amount{Minor: minor, Currency: money.Currency(p.Currency)}.Decimal()
		}
		return rpc.Invalid("amount_minor", "%s takes between 0 and %s %s in all for this payout, %s of which are there", account, of(p.Net), p.Currency, of(paid))
	}
	return nil
}

// wholly has what came back go to the float in one piece, and come out of it so: a lookup that says later that it came back says it of
// the whole, and finds it booked or not.
func (x *decision) wholly(account string, want int64, decided []db.SuspenseDecision) error {
	there, all := want, x.left
	for _, d := range decided {
		if d.Currency != x.f.Currency {
			continue
		}
		all += d.Amount
		if d.Account == account {
			there += d.Amount
		}
	}
	if there != 0 && there != all {
		return rpc.Refused("NOT_ALL", "take what did not come back, and what a decision about it is undone by, to another account",
			"the float takes all that was in suspense for finding %s, or nothing", x.f.ReconID)
	}
	return nil
}

// Returning leaves out of answers those that say an attempt's money came back, or never moved, of which people have said so before: it is on the
// float. The payouts are locked, as a decision has them.
func Returning(ctx context.Context, tx pgx.Tx, updates []attempt.Update) ([]attempt.Update, error) {
	var ids []uuid.UUID
	for _, u := range updates {
		if u.Decision.Undone() {
			ids = append(ids, u.Attempt.Subject)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	q := db.New(tx)
	if err := q.LockPayouts(ctx, ids); err != nil {
		return nil, fmt.Errorf("lock the payouts of what came back: %w", err)
	}
	rows, err := q.OnFloat(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("find what people have said came back: %w", err)
	}
	said := map[attempt.Key]bool{}
	for _, r := range rows {
		said[attempt.Key{Subject: r.SubjectID, Number: int(r.Attempt)}] = true
	}
	var rest []attempt.Update
	for _, u := range updates {
		if u.Decision.Undone() && !said[u.Attempt.Key] {
			rest = append(rest, u)
		}
	}
	return rest, nil
}
