package orange

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"github.com/agogopay/agogo/simulator/internal/book"
)

// country is what differs between the countries of one platform. A country that is not listed takes any currency and any
// number of 7 to 10 digits.
type country struct {
	currency string
	local    *regexp.Regexp
}

var countries = map[string]country{
	"ci": {"XOF", regexp.MustCompile(`^0[0-9]{9}$`)}, // ten digits since 2021, the first is a zero
	"sn": {"XOF", regexp.MustCompile(`^7[0-9]{8}$`)},
	"ml": {"XOF", regexp.MustCompile(`^[5-9][0-9]{7}$`)},
	"bf": {"XOF", regexp.MustCompile(`^[0-9]{8}$`)},
	"gn": {"GNF", regexp.MustCompile(`^6[0-9]{8}$`)},
	"cm": {"XAF", regexp.MustCompile(`^6[0-9]{8}$`)},
	"cd": {"CDF", regexp.MustCompile(`^0?8[0-9]{8}$`)},
}

var (
	anyLocal    = regexp.MustCompile(`^[0-9]{7,10}$`)
	anyCurrency = regexp.MustCompile(`^[A-Z]{3}$`)
)

// cashinRequest has the documented fields. Fields beyond them are ignored, as the platform does.
type cashinRequest struct {
	PeerID        *string         `json:"peerId"`
	PeerIDType    *string         `json:"peerIdType"`
	Amount        json.RawMessage `json:"amount"`
	Currency      *string         `json:"currency"`
	PosID         *string         `json:"posId"`
	TransactionID *string         `json:"transactionId"`
}

// parseCashin reads a body as far as it can be read: rules match also what validation will refuse. Nothing but a JSON
// object is an error.
func parseCashin(body []byte) (cashinRequest, error) {
	var q cashinRequest
	err := json.Unmarshal(body, &q)
	return q, err
}

// payment holds a request to the documentation.
func (s *Server) payment(cc string, q cashinRequest) (book.Payment, *problem) {
	refused := func(p problem) (book.Payment, *problem) { return book.Payment{}, &p }
	for _, f := range []struct {
		name  string
		value *string
	}{{"peerId", q.PeerID}, {"peerIdType", q.PeerIDType}, {"currency", q.Currency}, {"posId", q.PosID}, {"transactionId", q.TransactionID}} {
		if f.value == nil || *f.value == "" {
			return refused(problemMissingField(f.name))
		}
	}
	if len(q.Amount) == 0 {
		return refused(problemMissingField("amount"))
	}
	c, ok := countries[cc]
	if !ok {
		c = country{*q.Currency, anyLocal}
	}
	switch {
	case *q.PeerIDType != "msisdn":
		return refused(problemField("peerIdType", "it has to be msisdn"))
	case !c.local.MatchString(*q.PeerID):
		return refused(problemField("peerId", "it has to be a local number, without country code"))
	case *q.Currency != c.currency || !anyCurrency.MatchString(*q.Currency):
		return refused(problemField("currency", "this country's is "+c.currency))
	case len(*q.TransactionID) > 36:
		return refused(problemField("transactionId", "it has at most 36 characters"))
	}
	amount, ok := integer(q.Amount)
	if !ok || amount < s.cfg.Minimum || amount > s.cfg.Maximum {
		return refused(problemField("amount", "it has to be a whole number from "+
			strconv.FormatInt(s.cfg.Minimum, 10)+" to "+strconv.FormatInt(s.cfg.Maximum, 10)))
	}
	return book.Payment{
		Reference: strings.Clone(*q.TransactionID), Peer: strings.Clone(*q.PeerID), Amount: amount,
		Currency: *q.Currency, Account: *q.PosID,
	}, nil
}

// integer reads a JSON number without fraction and exponent: the currencies here have no minor unit, and the platform
// takes no numbers in quotes.
func integer(raw json.RawMessage) (int64, bool) {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	return n, err == nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
