// Package cielo charges tokenised cards through the Cielo E-commerce API 3.0: one sale per attempt, lookups by order, and
// notifications, as docs/providers/cielo.md describes them. The gateway charges a repeated order again, so nothing in here
// ever sends a sale twice.
package cielo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/recurrences/internal/abecs"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
)

// Kind is the provider kind of the tenants file.
const Kind = "cielo"

// Adapter is one merchant's contract with Cielo. It is safe for concurrent use.
type Adapter struct {
	cfg    config.Provider
	clock  clock.Clock
	caller *provider.Caller
}

// New makes an adapter.
func New(c config.Provider, clk clock.Clock) *Adapter {
	c.BaseURL, c.QueryURL = strings.TrimRight(c.BaseURL, "/"), strings.TrimRight(c.QueryURL, "/")
	return &Adapter{cfg: c, clock: clk, caller: provider.NewCaller(provider.CallerConfig{Timeout: c.Timeout, Conns: c.Concurrency})}
}

var (
	_ provider.Submitter       = (*Adapter)(nil)
	_ provider.Lookuper        = (*Adapter)(nil)
	_ provider.WebhookVerifier = (*Adapter)(nil)
	_ provider.Namer           = (*Adapter)(nil)
)

// sale is the body of a charge. It carries nothing about the customer: the gateway needs the card and the amount.
type sale struct {
	MerchantOrderID string      `json:"MerchantOrderId"`
	Payment         salePayment `json:"Payment"`
}

type salePayment struct {
	Type           string     `json:"Type"`
	Amount         int64      `json:"Amount"` // cents
	Installments   int        `json:"Installments"`
	SoftDescriptor string     `json:"SoftDescriptor,omitempty"`
	Capture        bool       `json:"Capture"`
	Recurrent      bool       `json:"Recurrent"` // the merchant keeps the recurrence, Cielo only charges
	CreditCard     card       `json:"CreditCard"`
	Initiated      *initiated `json:"InitiatedTransactionIndicator,omitempty"`
}

type card struct {
	CardToken string `json:"CardToken"`
	Brand     string `json:"Brand"`
}

// initiated tells Mastercard who began the transaction: the merchant, by a subscription of fixed amount and rhythm.
type initiated struct {
	Category    string `json:"Category"`
	Subcategory string `json:"Subcategory"`
}

// Submit charges once. A reference that may have come to the gateway before is looked up first, for it would be charged again;
// a refusal of us says nothing about it, so it keeps its reference, under which it is asked about.
func (a *Adapter) Submit(ctx context.Context, t provider.Transfer) provider.Result {
	brand, body, refused := a.body(t)
	if refused != nil {
		return *refused
	}
	if t.Resend {
		switch f, err := a.Lookup(ctx, t); {
		case err != nil:
			return unasked(err)
		case f.Exists && f.Amount != nil && *f.Amount != t.Amount: // a second sale, say: a lookup has people look
			return provider.Result{Class: provider.Ambiguous, Scope: provider.ScopeProvider, Code: "amount_differs", Alarm: "the order holds another amount than ours"}
		case f.Exists:
			return f.Result
		}
	}
	reply := a.caller.Do(ctx, provider.Request{Method: http.MethodPost, URL: a.cfg.BaseURL + "/1/sales/", Header: a.header(t, true), Body: body})
	res := a.classify(reply, t, brand)
	if t.Resend && res.Stop && res.ProviderID == "" {
		res.Class = provider.NotSent
	}
	return res
}

// unasked is the result of a charge whose reference could not be looked up before: it was not sent.
func unasked(err error) provider.Result {
	res := provider.Result{Class: provider.NotSent, Scope: provider.ScopeProvider, Code: "lookup_" + provider.CodeUnreadable}
	if f, ok := asFailure(err); ok {
		res = f.Result.BeforeSend("lookup")
	}
	res.Class = provider.NotSent
	return res
}

// reference is what Cielo takes for an order. It gives another number to any other text, which no lookup would find.
var reference = regexp.MustCompile(`^[A-Za-z0-9]{1,50}$`)

// body makes the request, or says why there is none. A mistake of ours says nothing about the card: people mend it, and the
// charge is sent then. A card that cannot be named to Cielo needs another one; that it was not asked is no failure of it.
func (a *Adapter) body(t provider.Transfer) (abecs.Brand, []byte, *provider.Result) {
	refuse := func(scope provider.Scope, code string) (abecs.Brand, []byte, *provider.Result) {
		return "", nil, &provider.Result{
			Class: provider.RejectedFinal, Scope: scope, Code: code, Alarm: "the charge cannot be sent: " + code,
		}
	}
	brand, token := cardOf(t)
	name, known := brandNames()[brand]
	switch {
	case !reference.MatchString(t.Reference):
		return refuse(provider.ScopeProvider, "reference_invalid")
	case t.Amount.Currency != "BRL" || t.Amount.Minor <= 0:
		return refuse(provider.ScopeProvider, "amount_invalid")
	case token == "":
		return refuse(provider.ScopePayment, charge.CodeCardMissing)
	case !known:
		return refuse(provider.ScopePayment, charge.CodeBrandUnknown)
	}
	p := salePayment{
		Type: "CreditCard", Amount: t.Amount.Minor, Installments: 1, SoftDescriptor: a.cfg.SoftDescriptor,
		Capture: true, Recurrent: true, CreditCard: card{CardToken: token, Brand: name},
	}
	if brand == abecs.Mastercard {
		p.Initiated = &initiated{Category: "M1", Subcategory: "Subscription"}
	}
	body, err := json.Marshal(sale{MerchantOrderID: t.Reference, Payment: p})
	if err != nil {
		return "", nil, &provider.Result{Class: provider.NotSent, Scope: provider.ScopePayment, Code: provider.CodeRequest}
	}
	return brand, body, nil
}

// cardOf splits a destination, "<brand>/<token>".
func cardOf(t provider.Transfer) (abecs.Brand, string) {
	brand, token, ok := strings.Cut(t.Destination, "/")
	if !ok {
		return "", ""
	}
	return abecs.ParseBrand(brand), token
}

// brandNames are the brands as Cielo writes them.
func brandNames() map[abecs.Brand]string {
	return map[abecs.Brand]string{
		abecs.Visa: "Visa", abecs.Mastercard: "Master", abecs.Elo: "Elo", abecs.Amex: "Amex", abecs.Hipercard: "Hipercard",
		"diners": "Diners", "discover": "Discover", "jcb": "JCB", "aura": "Aura",
	}
}

// requests is the namespace of request ids. They follow from the reference, so that Cielo's support finds what we mean; no
// document says that they keep anything from being done twice.
var requests = uuid.MustParse("5d1c7a52-6d0e-4d6b-9f0b-3c1f6d1c2a10")

func (a *Adapter) header(t provider.Transfer, body bool) http.Header {
	h := http.Header{
		"Accept":     {"application/json"},
		"Merchantid": {a.cfg.MerchantID}, "Merchantkey": {a.cfg.MerchantKey},
		"Requestid": {uuid.NewSHA1(requests, []byte(t.Reference)).String()},
	}
	if body {
		h.Set("Content-Type", "application/json")
	}
	return h
}

// Verify checks the static header that was agreed. Without one configured nobody is let in. A notification names Cielo's own
// id of a transaction and nothing of ours: the reference that it is about is that of the attempt with this provider id.
func (a *Adapter) Verify(h http.Header, body []byte) ([]string, error) {
	if a.cfg.WebhookHeader == "" || !provider.SameSecret(h.Get(a.cfg.WebhookHeader), a.cfg.WebhookSecret) {
		return nil, provider.ErrForged
	}
	var n struct {
		PaymentID string `json:"PaymentId"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&n); err != nil || d.More() {
		return nil, fmt.Errorf("%w: it is no JSON object of the documented fields", provider.ErrUnreadable)
	}
	id, err := uuid.Parse(n.PaymentID)
	if err != nil || len(n.PaymentID) != len(uuid.Nil.String()) {
		return nil, fmt.Errorf("%w: no PaymentId", provider.ErrUnreadable)
	}
	return []string{id.String()}, nil
}
