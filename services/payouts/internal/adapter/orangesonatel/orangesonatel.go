// Package orangesonatel speaks the Sonatel eWallet API of Orange Money Senegal: token, key, cash-in with an encrypted PIN,
// search, balance and callback, as docs/providers/orange_sonatel.md describes them.
package orangesonatel

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/nyaruka/phonenumbers"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/provider"
)

// Kind is the provider kind of the tenants file.
const Kind = "orange_sonatel"

// What the platform serves: wallets of Senegal, in the currency that has no minor unit.
const (
	countryCode = 221
	numberLen   = 9
	currency    = "XOF"
	idType      = "MSISDN"
)

// Adapter is one tenant's contract with Sonatel. It is safe for concurrent use.
type Adapter struct {
	cfg    config.Provider
	clock  clock.Clock
	caller *provider.Caller
	bearer *provider.Tokens
	keys   *provider.Tokens // the public key that PINs are encrypted with, as the platform writes it
}

// New makes an adapter.
func New(c config.Provider, clk clock.Clock) *Adapter {
	a := &Adapter{cfg: c, clock: clk, caller: provider.NewCaller(provider.CallerConfig{Timeout: c.Timeout, Conns: c.Concurrency})}
	a.cfg.BaseURL = strings.TrimRight(c.BaseURL, "/")
	a.bearer = provider.NewTokens(clk, a.fetchBearer)
	a.keys = provider.NewTokens(clk, a.fetchKey)
	return a
}

var (
	_ provider.Submitter       = (*Adapter)(nil)
	_ provider.Lookuper        = (*Adapter)(nil)
	_ provider.BalanceReader   = (*Adapter)(nil)
	_ provider.WebhookVerifier = (*Adapter)(nil)
	_ provider.WebhookReader   = (*Adapter)(nil)
	_ provider.Lockout         = (*Adapter)(nil)
)

// LocksOut is true: every payment and every reading of the balance carries the PIN, and the third wrong one blocks the account.
func (a *Adapter) LocksOut() bool { return true }

// party is one side of a payment.
type party struct {
	IDType           string `json:"idType"`
	ID               string `json:"id"`
	EncryptedPINCode string `json:"encryptedPinCode,omitempty"`
}

// sum is an amount in the currency's main unit.
type sum struct {
	Value json.Number `json:"value"`
	Unit  string      `json:"unit"`
}

// cashIn is the body of a disbursement.
type cashIn struct {
	Partner             party  `json:"partner"`
	Customer            party  `json:"customer"`
	Amount              sum    `json:"amount"`
	Reference           string `json:"reference"`
	ReceiveNotification bool   `json:"receiveNotification"`
}

// Submit pays once. A refusal of us says nothing about a reference that may have arrived before, and a refusal of a repetition
// nothing about the first call: only a lookup ends the reference.
func (a *Adapter) Submit(ctx context.Context, t provider.Transfer) provider.Result {
	res := a.submit(ctx, t)
	switch {
	case t.Resend && res.Stop:
		res.Class = provider.NotSent
	case t.Resend && (res.Class == provider.RejectedFinal || res.Class == provider.RejectedRetryable):
		res.Class = provider.Ambiguous
	}
	return res
}

func (a *Adapter) submit(ctx context.Context, t provider.Transfer) provider.Result {
	payee, err := localNumber(t.Destination)
	if err != nil {
		return provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayee, Code: "wallet_number_invalid"}
	}
	if t.Amount.Currency != currency {
		return provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "currency_not_served"}
	}
	header := http.Header{}
	if a.cfg.CallbackURL != "" {
		header.Set("X-Callback-Url", a.cfg.CallbackURL)
	}
	reply, err := a.withPIN(ctx, "/api/eWallet/v1/cashins", header, func(pin string) any {
		return cashIn{
			Partner:   party{idType, a.cfg.RetailerNumber, pin},
			Customer:  party{IDType: idType, ID: payee},
			Amount:    sum{json.Number(t.Amount.Decimal()), currency},
			Reference: t.Reference, ReceiveNotification: a.cfg.CallbackKey != "",
		}
	})
	var f *provider.Failure
	switch {
	case errors.As(err, &f):
		return f.Result.BeforeSend("step")
	case err != nil:
		return provider.Result{Class: provider.NotSent, Code: provider.CodeExpired}
	default:
		return a.classify(reply, t)
	}
}

// call makes one request with a bearer token, and a second one with a new token when the platform does not take the first:
// a refusal before anything was looked at. err means that there was no token.
func (a *Adapter) call(ctx context.Context, r provider.Request) (provider.Reply, error) {
	for first := true; ; first = false {
		token, err := a.bearer.Get(ctx)
		if err != nil {
			return provider.Reply{}, err
		}
		h := r.Header.Clone()
		if h == nil {
			h = http.Header{}
		}
		h.Set("Authorization", "Bearer "+token)
		h.Set("Accept", "application/json")
		h.Set("Content-Type", "application/json") // a GET without it is 415
		reply := a.caller.Do(ctx, provider.Request{Method: r.Method, URL: a.cfg.BaseURL + r.URL, Header: h, Body: r.Body})
		if !tokenRefused(r.Method, reply) || !first {
			return reply, nil
		}
		a.bearer.Forget(token)
	}
}

var errNumber = errors.New("not a number of a wallet in Senegal")

// localNumber is the nine digits of a Senegalese E.164 number. Without its country code a number of elsewhere would be a
// stranger's here.
func localNumber(e164 string) (string, error) {
	n, err := phonenumbers.Parse(e164, "")
	if err != nil {
		return "", errNumber
	}
	local := phonenumbers.GetNationalSignificantNumber(n)
	if n.GetCountryCode() != countryCode || len(local) != numberLen {
		return "", errNumber
	}
	return local, nil
}
