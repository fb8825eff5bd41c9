package recurrences

import (
	"github.com/agogopay/agogo/internal/books"
	"github.com/agogopay/agogo/internal/ledger"
)

// sources says what the view ledger_facts (migrations) computes each kind of account from.
func sources() books.Sources {
	return books.Sources{
		ledger.Fees:          "fees of attempts that succeeded",
		ledger.Treasury:      "what people took out of suspense",
		ledger.Losses:        "what people took out of suspense",
		ledger.Suspense:      "differences of reconciliation findings, and refunds of more than was charged, less what people took out",
		ledger.Chargebacks:   "disputes of charges that are not decided, as far as nothing was refunded",
		"gateway_receivable": "amounts of attempts that succeeded, less their fees and what was refunded or disputed, and reconciliation findings",
		"seller_payable":     "amounts of the seller's charges that succeeded, less what was refunded or lost in disputes",
	}
}
