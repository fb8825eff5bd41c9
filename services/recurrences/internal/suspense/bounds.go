package suspense

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/suspense/db"
)

func idOf(f db.FoundRow, number int) uuid.UUID {
	return event.UUID("suspense", f.Tenant, f.Provider, f.SubjectID.String(), strconv.Itoa(int(f.Attempt)), strconv.Itoa(number))
}

// errUnknown is an account that a request cannot name: its rules refuse it before.
var errUnknown = errors.New("suspense: no such account")

// account is where the money goes.
func (x *decision) account() (string, error) {
	switch x.words.To {
	case "seller_payable":
		return ledger.SellerPayable(x.charge.SellerID), nil
	case "gateway_receivable":
		return ledger.GatewayReceivable(x.f.Provider), nil
	case "treasury":
		return ledger.Treasury, nil
	case "fees":
		return ledger.Fees, nil
	case "losses":
		return ledger.Losses, nil
	}
	return "", errUnknown
}

// amount is what goes out: no more than is there, and with its sign.
func (x *decision) amount(ctx context.Context, account string) (int64, error) {
	want := x.words.Amount
	if want == 0 {
		want = x.left
	}
	switch {
	case x.words.Amount != 0 && x.words.Currency != x.f.Currency:
		return 0, rpc.Invalid("currency", "finding %s is in %s", x.f.ReconID, x.f.Currency)
	case x.left == 0:
		return 0, rpc.Refused("NOTHING_IN_SUSPENSE", "agogo charges suspense lists what is", "nothing is in suspense for finding %s", x.f.ReconID)
	case want > 0 != (x.left > 0), max(want, -want) > max(x.left, -x.left):
		return 0, rpc.Invalid("amount_minor", "%s %s are in suspense for this finding: take no more, and with that sign", x.decimal(x.left), x.f.Currency)
	case x.words.To == "seller_payable" && want < 0:
		return want, x.sellers(ctx, account, -want)
	}
	return want, nil
}

// sellers refuses to give a seller what is not theirs: money for a charge that has paid them already, or may yet, and more than the charge is for.
func (x *decision) sellers(ctx context.Context, account string, want int64) error {
	c := x.charge
	state := charge.State(c.State)
	if !c.Contradicted || state == charge.Succeeded || state != charge.Due && slices.Contains(charge.Unresolved(), state) {
		return rpc.Refused("SETTLED_ALREADY", "have the gateway give it back to the customer, and take it to gateway_receivable then",
			"charge %s is %s, so what is in suspense is not what the customer owed for it", x.f.SubjectID, c.State)
	}
	taken, err := x.q.Taken(ctx, db.TakenParams{Tenant: x.f.Tenant, SubjectID: x.f.SubjectID, Account: account})
	if err != nil {
		return fmt.Errorf("sum up what the seller has of charge %s: %w", x.f.SubjectID, err)
	}
	if want-taken > c.Amount {
		return rpc.Invalid("amount_minor", "the charge is for %s %s, and the seller has %s of it", x.decimal(c.Amount), c.Currency, x.decimal(-taken))
	}
	return nil
}

func (x *decision) decimal(minor int64) string {
	return money.Amount{Minor: minor, Currency: money.Currency(x.f.Currency)}.Decimal()
}

// Returning leaves out of answers those that say an attempt's money went back to the customer, or never moved, of which people have said so before, of
// all of it: it is booked. The caller holds the charges' rows, as decisions do.
func Returning(ctx context.Context, tx pgx.Tx, updates []attempt.Update) ([]attempt.Update, error) {
	back := slices.DeleteFunc(slices.Clone(updates), func(u attempt.Update) bool { return !u.Decision.Undone() && !u.Decision.Exact })
	if len(back) == 0 {
		return nil, nil
	}
	ids := make([]uuid.UUID, len(back))
	for i, u := range back {
		ids[i] = u.Attempt.Subject
	}
	rows, err := db.New(tx).GivenBack(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("find what people have said was given back: %w", err)
	}
	said := map[attempt.Key]db.GivenBackRow{}
	for _, r := range rows {
		said[attempt.Key{Subject: r.SubjectID, Number: int(r.Attempt)}] = r
	}
	return slices.DeleteFunc(back, func(u attempt.Update) bool {
		r, ok := said[u.Attempt.Key]
		return ok && covers(r.Amount, goes(u, r.Beyond))
	}), nil
}

// goes is what an answer takes out of suspense of an attempt: another amount that is none any more, and what was charged after it was closed.
func goes(u attempt.Update, beyond int64) int64 {
	if u.Decision.TakenBack {
		return u.Attempt.Amount.Minor + beyond
	}
	return beyond
}

// covers reports whether what people said is all of what goes, in the same direction.
func covers(said, goes int64) bool {
	if goes < 0 {
		return said <= goes
	}
	return said >= goes
}
