package mtnmomo

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
)

// transfer is what statuses and callbacks say.
type transfer struct {
	Amount      text   `json:"amount"`
	Currency    string `json:"currency"`
	FinancialID text   `json:"financialTransactionId"`
	ExternalID  text   `json:"externalId"`
	Payee       party  `json:"payee"`
	Status      string `json:"status"`
	Reason      reason `json:"reason"`
}

// parseTransfer reads one JSON object and nothing behind it.
func parseTransfer(body []byte) (transfer, error) {
	var t transfer
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&t); err != nil {
		return transfer{}, errors.New("the body is no JSON object of the documented fields")
	}
	if d.More() {
		return transfer{}, errors.New("something follows the JSON object")
	}
	return t, nil
}

// found is what a transfer's state means for the payment.
func (a *Adapter) found(t transfer) provider.Found {
	f := provider.Found{Exists: true, Result: a.result(t)}
	if t.Payee.PartyIDType == "" || strings.EqualFold(t.Payee.PartyIDType, "MSISDN") {
		f.Destination = t.Payee.PartyID
	}
	if amount, err := money.Parse(trimZeros(string(t.Amount)), money.Currency(t.Currency)); err == nil {
		f.Amount = &amount
	}
	return f
}

func (a *Adapter) result(t transfer) provider.Result {
	switch t.Status {
	case "SUCCESSFUL":
		return provider.Result{Class: provider.Succeeded, ProviderID: string(t.FinancialID)}
	case "PENDING":
		return provider.Result{Class: provider.Accepted, Code: "pending"}
	case "FAILED":
		return a.failed(string(t.Reason))
	default:
		// A word we do not know is never success and never failure.
		said := a.word(t.Status)
		return provider.Result{Class: provider.Accepted, Code: "unknown_status", ProviderCode: said, Alarm: "unknown status " + said}
	}
}

func (a *Adapter) failed(why string) provider.Result {
	m, ok := reasons[strings.ToUpper(why)]
	if !ok {
		m = payment(provider.RejectedFinal, "failed")
	}
	if !word.MatchString(strings.ToUpper(why)) {
		why = "" // somebody's words, which may name a person
	}
	res := m.result(a.word(why))
	if m.class == provider.Ambiguous {
		res.Alarm = "MTN calls a transfer failed because it exists"
	}
	return res
}

// text is a value that arrives as a text or as a number.
type text string

// UnmarshalJSON accepts "24000" and 24000, and null, which is nothing.
func (t *text) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	if b[0] == '"' {
		var s string
		err := json.Unmarshal(b, &s)
		*t = text(s)
		return err
	}
	var n json.Number
	if err := json.Unmarshal(b, &n); err != nil {
		return errors.New("neither a text nor a number")
	}
	*t = text(n)
	return nil
}

// reason is documented as an object and arrives as a text, too. Anything else tells nothing.
type reason string

// UnmarshalJSON accepts {"code":"EXPIRED","message":"…"} and "EXPIRED". Its faults never hide the status beside it.
func (r *reason) UnmarshalJSON(b []byte) error {
	var object struct {
		Code text `json:"code"`
	}
	var plain string
	switch {
	case json.Unmarshal(b, &plain) == nil:
	case json.Unmarshal(b, &object) == nil:
		plain = string(object.Code)
	}
	*r = reason(strings.TrimSpace(plain))
	return nil
}

// trimZeros turns 24000.00 into 24000: some servers write whole amounts with a fraction.
func trimZeros(n string) string {
	if whole, fraction, ok := strings.Cut(n, "."); ok && strings.Trim(fraction, "0") == "" {
		return whole
	}
	return n
}
