package mtn

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/agogopay/agogo/simulator/internal/book"
)

// transferRequest has the documented fields. Fields beyond them are ignored.
type transferRequest struct {
	Amount     *string `json:"amount"` // a text, not a number
	Currency   *string `json:"currency"`
	ExternalID *string `json:"externalId"`
	Payee      struct {
		PartyIDType *string `json:"partyIdType"`
		PartyID     *string `json:"partyId"`
	} `json:"payee"`
	PayerMessage string `json:"payerMessage"`
	PayeeNote    string `json:"payeeNote"`
}

func parseTransfer(body []byte) (transferRequest, error) {
	var q transferRequest
	err := json.Unmarshal(body, &q)
	return q, err
}

var (
	uuid4      = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-4[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$`)
	msisdn     = regexp.MustCompile(`^[1-9][0-9]{7,14}$`) // with country code, without +
	decimal    = regexp.MustCompile(`^(0|[1-9][0-9]*)(\.[0-9]+)?$`)
	forbidden  = regexp.MustCompile("['\"&<>`]")
	externalID = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
)

const longestNote = 160

// valid holds a request to the specification; what does not follow it gets an empty 400, except for the mistakes that have a
// code of their own.
func (s *Server) valid(r *http.Request, q transferRequest) (p book.Payment, refused *problem, ok bool) {
	reference := r.Header.Get("X-Reference-Id")
	for _, must := range []*string{q.Amount, q.Currency, q.ExternalID, q.Payee.PartyIDType, q.Payee.PartyID} {
		if must == nil || *must == "" {
			return p, nil, false
		}
	}
	if !uuid4.MatchString(reference) || *q.Payee.PartyIDType != "MSISDN" || !msisdn.MatchString(*q.Payee.PartyID) ||
		!externalID.MatchString(*q.ExternalID) || note(q.PayerMessage) || note(q.PayeeNote) {
		return p, nil, false
	}
	currency, _ := s.currency(r)
	if *q.Currency != currency {
		return p, &problem{status: 500, Code: "INVALID_CURRENCY", Message: "Currency not supported."}, false
	}
	if to := r.Header.Get("X-Callback-Url"); to != "" && !s.mayCall(to) {
		return p, &problem{status: 500, Code: "INVALID_CALLBACK_URL_HOST", Message: "Callback URL with different host name then configured for API User."}, false
	}
	amount, whole := minor(*q.Amount, currency)
	if !whole || amount <= 0 {
		return p, nil, false
	}
	return book.Payment{
		Reference: strings.ToLower(reference), Peer: strings.Clone(*q.Payee.PartyID), Amount: amount, Currency: currency,
		Account: strings.Clone(*q.ExternalID),
	}, nil, true
}

// note says that a text for the payee or the payer cannot be taken.
func note(text string) bool { return len(text) > longestNote || forbidden.MatchString(text) }

// mayCall says whether the address has the host that the API user was made with.
func (s *Server) mayCall(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return false
	}
	return s.cfg.CallbackHost == "" || u.Hostname() == s.cfg.CallbackHost
}

// minor reads a decimal text in minor units; more decimals than the currency has are no amount.
func minor(text, currency string) (int64, bool) {
	if !decimal.MatchString(text) {
		return 0, false
	}
	whole, fraction, _ := strings.Cut(text, ".")
	places := places(currency)
	if len(fraction) > places {
		return 0, false
	}
	n, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", places-len(fraction)), 10, 64)
	return n, err == nil
}

func places(currency string) int {
	if n, ok := decimals[currency]; ok {
		return n
	}
	return 2
}

// major writes minor units as the decimal text that the platform uses.
func major(minor int64, currency string) string {
	n := places(currency)
	digits := strconv.FormatInt(minor, 10)
	if n == 0 {
		return digits
	}
	if short := n + 1 - len(digits); short > 0 {
		digits = strings.Repeat("0", short) + digits
	}
	return digits[:len(digits)-n] + "." + digits[len(digits)-n:]
}
