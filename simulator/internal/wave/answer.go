package wave

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/fault"
)

type payoutError struct {
	Code    string `json:"error_code"`
	Message string `json:"error_message"`
}

// payoutAnswer is a payout as Wave tells it. Amounts are texts, or any, for a server that is careless with types.
type payoutAnswer struct {
	ID              string       `json:"id"`
	Currency        string       `json:"currency"`
	ReceiveAmount   any          `json:"receive_amount"`
	Fee             any          `json:"fee"`
	Mobile          string       `json:"mobile"`
	ClientReference string       `json:"client_reference,omitempty"`
	Status          string       `json:"status"`
	Timestamp       string       `json:"timestamp"`
	PayoutError     *payoutError `json:"payout_error,omitempty"`
}

// payoutJSON is the payout as it is now.
func payoutJSON(e book.Entry, rule fault.Rule) []byte {
	a := payoutAnswer{
		ID: payoutID(e.Reference), Currency: e.Currency, ReceiveAmount: decimal(e.Amount, rule), Fee: decimal(e.Fee, rule),
		Mobile: e.Peer, ClientReference: e.Account, Status: status(e), Timestamp: e.FirstAt.UTC().Format(time.RFC3339),
	}
	if e.Status == book.Failed {
		a.PayoutError = &payoutError{e.Message, "The payout failed: " + e.Message + "."}
	}
	body, err := json.Marshal(a)
	if err != nil {
		return []byte(`{}`)
	}
	return body
}

func status(e book.Entry) string {
	switch {
	case e.Text != "":
		return e.Text
	case !e.ReversedAt.IsZero():
		return "reversed"
	case e.Status == book.Pending:
		return "processing"
	case e.Status == book.Success:
		return "succeeded"
	default:
		return "failed"
	}
}

// decimal is an amount as a text, or as a number with a fraction where shapes go wrong.
func decimal(n int64, rule fault.Rule) any {
	text := strconv.FormatInt(n, 10)
	if rule.Fault == fault.WrongShape {
		return json.RawMessage(text + ".0")
	}
	return text
}
