package cielo

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
)

// transaction is what Cielo says of a sale, in answers and in queries.
type transaction struct {
	Order   string
	ID      string // PaymentId, as a UUID is written
	Status  int64
	Amount  int64 // cents, of what was charged where that is told
	Code    string
	Advice  string // Mastercard's
	Voided  int64  // cents that were given back so far, where that is told
	Dispute disputes
}

// disputes are what Cielo tells of chargebacks. odd says that there are some which are not told as documented: nothing is
// concluded from any of them then.
type disputes struct {
	cases []provider.Dispute
	odd   bool
}

// errShape is all that is said of an answer that is not what was documented: it may hold anything.
var errShape = errors.New("the body is no JSON object of the documented fields")

// wire is the part of the JSON that is read. Numbers may come in quotes.
type wire struct {
	MerchantOrderID string `json:"MerchantOrderId"`
	Payment         *struct {
		PaymentID          string            `json:"PaymentId"`
		Status             *json.Number      `json:"Status"`
		Amount             *json.Number      `json:"Amount"`
		CapturedAmount     *json.Number      `json:"CapturedAmount"`
		VoidedAmount       *json.Number      `json:"VoidedAmount"`
		ReturnCode         text              `json:"ReturnCode"`
		MerchantAdviceCode text              `json:"MerchantAdviceCode"`
		Chargebacks        []json.RawMessage `json:"Chargebacks"`
	} `json:"Payment"`
}

// text is a text that some servers write as a number.
type text string

// UnmarshalJSON accepts texts, numbers and null.
func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	if len(b) > 0 && b[0] == '"' {
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*t = text(s)
		return nil
	}
	var n *json.Number
	if err := json.Unmarshal(b, &n); err != nil {
		return err
	}
	if n != nil {
		*t = text(n.String())
	}
	return nil
}

// parseTransaction reads a sale. What lacks its id, status or amount is none.
func parseTransaction(body []byte) (transaction, error) {
	var w wire
	if err := decode(body, &w); err != nil || w.Payment == nil || w.Payment.Status == nil || w.Payment.Amount == nil {
		return transaction{}, errShape
	}
	p := w.Payment
	id, err := uuid.Parse(p.PaymentID)
	if err != nil {
		return transaction{}, errShape
	}
	status, okStatus := whole(*p.Status)
	amount, okAmount := whole(*p.Amount)
	captured, okCaptured := amount, true
	if status == confirmed && p.CapturedAmount != nil {
		captured, okCaptured = whole(*p.CapturedAmount)
	}
	if !okStatus || !okAmount || !okCaptured {
		return transaction{}, errShape
	}
	tx := transaction{
		Order: w.MerchantOrderID, ID: id.String(), Status: status, Amount: captured,
		Code: string(p.ReturnCode), Advice: string(p.MerchantAdviceCode), Dispute: parseDisputes(p.Chargebacks),
	}
	if p.VoidedAmount != nil {
		var ok bool
		if tx.Voided, ok = whole(*p.VoidedAmount); !ok {
			return transaction{}, errShape
		}
	}
	return tx, nil
}

// caseNumber is what the number of a case looks like: at most 16 letters and digits, by the documentation, with room to spare.
var caseNumber = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$`)

// parseDisputes reads chargebacks. One without its number or its amount, or a number that is there twice, cannot be booked
// once, so people have to look.
func parseDisputes(list []json.RawMessage) (d disputes) {
	seen := map[text]bool{}
	for _, raw := range list {
		var c struct {
			Amount     *json.Number `json:"Amount"`
			CaseNumber text         `json:"CaseNumber"`
			Status     text         `json:"Status"`
		}
		if err := json.Unmarshal(raw, &c); err != nil || c.Amount == nil || !caseNumber.MatchString(string(c.CaseNumber)) || seen[c.CaseNumber] {
			return disputes{odd: true}
		}
		amount, ok := whole(*c.Amount)
		if !ok || amount == 0 {
			return disputes{odd: true}
		}
		seen[c.CaseNumber] = true
		d.cases = append(d.cases, provider.Dispute{Case: string(c.CaseNumber), Amount: *cents(amount), Lost: lost(string(c.Status))})
	}
	return d
}

// lost reports whether a chargeback's status says that the money is gone: the shop has accepted it. Received and
// ContestedByMerchant are open, and no status says that a contested one was won or lost.
func lost(status string) bool {
	return strings.EqualFold(status, "AcceptedByMerchant") || status == "2"
}

// parseListing reads which transactions an order has. Only a list that is there and empty says that there are none.
func parseListing(body []byte) (ids []string, err error) {
	type item struct {
		PaymentID string `json:"PaymentId"`
	}
	var w struct {
		Payment  *[]item `json:"Payment"`
		Payments *[]item `json:"Payments"`
	}
	if err := decode(body, &w); err != nil || w.Payment == nil && w.Payments == nil {
		return nil, errShape
	}
	seen := map[string]bool{}
	for _, list := range []*[]item{w.Payment, w.Payments} {
		if list == nil {
			continue
		}
		for _, i := range *list {
			id, err := uuid.Parse(i.PaymentID)
			if err != nil {
				return nil, errShape
			}
			if s := id.String(); !seen[s] {
				seen[s] = true
				ids = append(ids, s)
			}
		}
	}
	return ids, nil
}

// parseProblems reads the list of content errors that a 400 carries; nil when it is none.
func parseProblems(body []byte) (codes []string) {
	var list []struct {
		Code text `json:"Code"`
	}
	if decode(body, &list) != nil {
		return nil
	}
	for _, p := range list {
		if p.Code == "" {
			return nil
		}
		codes = append(codes, string(p.Code))
	}
	return codes
}

func decode(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errShape
	}
	return nil
}

// most is more than any amount or status has, and far from where sums would overflow.
const most = 1_000_000_000_000_000

// whole reads a number without sign and fraction; some servers write 2.0.
func whole(n json.Number) (int64, bool) {
	s := n.String()
	if i, fraction, ok := strings.Cut(s, "."); ok && fraction != "" && strings.Trim(fraction, "0") == "" {
		s = i
	}
	v, err := json.Number(s).Int64()
	return v, err == nil && v >= 0 && v < most
}

func cents(n int64) *money.Amount { return &money.Amount{Minor: n, Currency: "BRL"} }
