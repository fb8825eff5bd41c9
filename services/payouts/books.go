package payouts

import (
	"github.com/agogopay/agogo/internal/books"
	"github.com/agogopay/agogo/internal/ledger"
)

// sources says what the view ledger_facts (migrations) computes each kind of account from.
func sources() books.Sources {
	return books.Sources{
		ledger.Collections: "gross of completed payments",
		ledger.Commission:  "commission of completed payments",
		ledger.Treasury:    "net of payments paid elsewhere, and top-ups",
		ledger.Fees:        "fees of attempts that succeeded",
		ledger.Suspense:    "differences of reconciliation findings",
		"payable":          "net of the payee's completed payments, less what was paid elsewhere, is under way or paid by payouts",
		"in_transit":       "amounts of attempts that are submitting, processing, unknown or in manual review",
		"float":            "top-ups, less amounts and fees of attempts that succeeded, and reconciliation findings",
	}
}
