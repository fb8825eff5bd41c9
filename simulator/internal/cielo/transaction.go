package cielo

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
)

// Cielo's statuses.
const (
	statusAuthorized = 1
	statusConfirmed  = 2
	statusDenied     = 3
	statusVoided     = 10
	statusRefunded   = 11
	statusPending    = 12
)

// number is a JSON number, or the same in quotes, as careless servers write it.
type number struct {
	value  int64
	quoted bool
}

func (n number) MarshalJSON() ([]byte, error) {
	b := strconv.AppendInt(nil, n.value, 10)
	if n.quoted {
		return append(append([]byte{'"'}, b...), '"'), nil
	}
	return b, nil
}

type saleAnswer struct {
	MerchantOrderID string        `json:"MerchantOrderId"`
	Customer        struct{}      `json:"Customer"`
	Payment         paymentAnswer `json:"Payment"`
}

type paymentAnswer struct {
	Type               string       `json:"Type"`
	PaymentID          string       `json:"PaymentId"`
	Amount             number       `json:"Amount"`
	CapturedAmount     *number      `json:"CapturedAmount,omitempty"`
	Currency           string       `json:"Currency"`
	Country            string       `json:"Country"`
	Installments       int          `json:"Installments"`
	Recurrent          bool         `json:"Recurrent"`
	ReceivedDate       string       `json:"ReceivedDate"`
	CapturedDate       string       `json:"CapturedDate,omitempty"`
	VoidedAmount       *number      `json:"VoidedAmount,omitempty"`
	VoidedDate         string       `json:"VoidedDate,omitempty"`
	Tid                string       `json:"Tid"`
	ProofOfSale        string       `json:"ProofOfSale"`
	AuthorizationCode  string       `json:"AuthorizationCode,omitempty"`
	Status             number       `json:"Status"`
	ReturnCode         string       `json:"ReturnCode"`
	ReturnMessage      string       `json:"ReturnMessage"`
	MerchantAdviceCode string       `json:"MerchantAdviceCode,omitempty"`
	Chargebacks        []chargeback `json:"Chargebacks,omitempty"`
}

type chargeback struct {
	Amount        number `json:"Amount"`
	CaseNumber    string `json:"CaseNumber"`
	Date          string `json:"Date"`
	ReasonCode    string `json:"ReasonCode"`
	ReasonMessage string `json:"ReasonMessage"`
	Status        string `json:"Status"`
}

// transaction is the JSON of a sale, the same in answers and queries. odd writes its numbers in quotes. The card is not
// repeated: nobody needs it there.
func (s *Server) transaction(e book.Entry, odd bool) []byte {
	a := saleAnswer{MerchantOrderID: e.Account, Payment: paymentAnswer{
		Type: "CreditCard", PaymentID: e.Reference, Amount: number{e.Amount, odd}, Currency: e.Currency, Country: "BRA",
		Installments: 1, Recurrent: true, ReceivedDate: stamp(e.FirstAt), Tid: fmt.Sprintf("%020d", digest(e.Reference)),
		ProofOfSale: fmt.Sprintf("%06d", digest(e.Reference)%1_000_000),
	}}
	p := &a.Payment
	p.Status.quoted = odd
	p.Status.value, p.ReturnCode, p.ReturnMessage = state(e)
	switch p.Status.value {
	case statusConfirmed:
		p.CapturedAmount, p.CapturedDate = &number{e.Amount, odd}, stamp(e.FirstAt)
		p.AuthorizationCode = p.ProofOfSale
		takenBack(p, e, odd)
	case statusDenied:
		p.ReturnCode, p.MerchantAdviceCode = declined(e.Message)
	}
	p.Chargebacks = s.chargebacks(e, odd)
	b, err := json.Marshal(a)
	if err != nil {
		return []byte(`{}`)
	}
	return b
}

// state is a transaction's status with the code and the text that come with it.
func state(e book.Entry) (status int64, code, text string) {
	switch e.Status {
	case book.Success:
		return statusConfirmed, "00", "Transacao capturada com sucesso"
	case book.Failed:
		return statusDenied, "", "Nao autorizado"
	case book.Pending:
	}
	if e.Text == authorizedText {
		return statusAuthorized, "00", "Transacao autorizada"
	}
	if n, err := strconv.ParseInt(e.Text, 10, 32); err == nil {
		return n, "", ""
	}
	return statusPending, "", "Pendente"
}

func stamp(t time.Time) string { return t.UTC().Add(-3 * time.Hour).Format(time.DateTime) }

func digest(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	x := h.Sum64()
	return x ^ x>>29
}
