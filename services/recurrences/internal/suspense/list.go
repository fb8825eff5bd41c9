package suspense

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/services/recurrences/internal/suspense/db"
)

// Left is what is in suspense for an attempt of a charge, told by the newest finding about it.
type Left struct {
	Finding   uuid.UUID
	Gateway   string
	Code      string
	Charge    uuid.UUID
	Attempt   int
	Reference string
	Expected  string
	Found     string
	FoundAt   time.Time
	Amount    money.Amount // debits positive, as in the books
	// Of the proposal that waits for a second person; zero without one.
	ProposedAccount  string
	Proposed         money.Amount
	ProposedBy       string
	ProposedReason   string
	ProposedEvidence string
}

// List lists what is in suspense, newest first, behind one of a time and id.
func List(ctx context.Context, conn db.DBTX, tenant string, before time.Time, after uuid.UUID, limit int) ([]Left, error) {
	rows, err := db.New(conn).List(ctx, db.ListParams{Tenant: tenant, Before: before, After: after, PageLimit: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("list what is in suspense of %s: %w", tenant, err)
	}
	all := make([]Left, len(rows))
	for i, r := range rows {
		c := money.Currency(r.Currency)
		all[i] = Left{
			Finding: r.ReconID, Gateway: r.Provider, Code: r.Code, Charge: r.SubjectID, Attempt: int(r.Attempt), Reference: r.Reference,
			Expected: r.Expected, Found: r.Found, FoundAt: r.FoundAt, Amount: money.Amount{Minor: r.Amount, Currency: c},
			ProposedAccount: r.ProposedAccount, Proposed: money.Amount{Minor: r.ProposedAmount, Currency: c}, ProposedBy: r.ProposedBy,
			ProposedReason: r.ProposedReason, ProposedEvidence: r.ProposedEvidence,
		}
	}
	return all, nil
}
