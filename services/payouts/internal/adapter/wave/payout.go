package wave

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
)

// payout is a payout as Wave tells it.
type payout struct {
	ID              string       `json:"id"`
	Currency        string       `json:"currency"`
	ReceiveAmount   decimal      `json:"receive_amount"`
	Fee             decimal      `json:"fee"`
	Mobile          string       `json:"mobile"`
	ClientReference string       `json:"client_reference"`
	Status          string       `json:"status"`
	Timestamp       string       `json:"timestamp"`
	Error           *payoutError `json:"payout_error"`
}

type payoutError struct {
	Code string `json:"error_code"`
}

func (e *payoutError) code() string {
	if e == nil {
		return ""
	}
	return e.Code
}

// parsePayout wants one JSON object with an id and a status: without them it is no payout.
func parsePayout(body []byte) (payout, error) {
	var p payout
	if err := decode(body, &p); err != nil {
		return payout{}, err
	}
	if p.ID == "" || p.Status == "" {
		return payout{}, errors.New("a payout without id or status")
	}
	return p, nil
}

// decode reads one JSON value and nothing after it.
func decode(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(into); err != nil {
		return errors.New("the body is no JSON of the documented fields")
	}
	if d.More() {
		return errors.New("something follows the JSON value")
	}
	return nil
}

// is reports whether the answer is about our transfer. Everything that it tells has to agree; what it leaves out does not
// speak against it.
func (p payout) is(t provider.Transfer) bool {
	if p.ClientReference != "" && p.ClientReference != t.Reference || p.Currency != "" && p.Currency != string(t.Amount.Currency) {
		return false
	}
	if p.ReceiveAmount == "" {
		return true
	}
	amount, err := p.ReceiveAmount.amount(t.Amount.Currency)
	return err == nil && amount == t.Amount
}

func (p payout) fee() (money.Amount, error) { return p.Fee.amount(money.Currency(p.Currency)) }

// decimal is an amount in the main unit: a text, as documented, or a number of a server that is careless with types.
type decimal string

// UnmarshalJSON accepts "24000", 24000, 24000.0 and null.
func (d *decimal) UnmarshalJSON(b []byte) error {
	text := string(b)
	if text == "null" {
		return nil
	}
	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(b, &text); err != nil {
			return err
		}
	} else if strings.ContainsAny(text, "{[tf") {
		return errors.New("not an amount")
	}
	*d = decimal(text)
	return nil
}

// amount reads it exactly. Zeros after the point are no fraction.
func (d decimal) amount(c money.Currency) (money.Amount, error) {
	text := string(d)
	if whole, fraction, ok := strings.Cut(text, "."); ok && fraction != "" && strings.Trim(fraction, "0") == "" {
		text = whole
	}
	return money.Parse(text, c)
}

// signed is amount with an optional sign.
func (d decimal) signed(c money.Currency) (money.Amount, error) {
	text, negative := strings.CutPrefix(string(d), "-")
	amount, err := decimal(text).amount(c)
	if negative {
		amount.Minor = -amount.Minor
	}
	return amount, err
}
