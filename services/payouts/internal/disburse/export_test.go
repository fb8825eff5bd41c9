package disburse

import (
	"github.com/agogopay/agogo/services/payouts/internal/disburse/db"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
)

// FromRow is fromRow, for the tests beside this package.
func FromRow(r db.ClaimRow) payout.Payout { return fromRow(r) }
