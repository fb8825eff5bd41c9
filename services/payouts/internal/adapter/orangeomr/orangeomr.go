// Package orangeomr speaks Orange Money B2B ("OMR") cash-in: token, optional services and forms steps, transaction, lookup
// and callback, as docs/providers/orange_omr.md describes them.
package orangeomr

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
)

// Kind is the provider kind of the tenants file.
const Kind = "orange_omr"

// Adapter is one tenant's contract with Orange Money B2B. It is safe for concurrent use.
type Adapter struct {
	cfg    config.Provider
	own    profile
	clock  clock.Clock
	caller *provider.Caller
	bearer *provider.Tokens
	forms  *provider.Tokens
	form   atomic.Pointer[form]
	active activation
}

// New makes an adapter.
func New(c config.Provider, clk clock.Clock) *Adapter {
	a := &Adapter{cfg: c, own: profileOf(c), clock: clk, caller: provider.NewCaller(provider.CallerConfig{Timeout: c.Timeout, Conns: c.Concurrency})}
	a.cfg.BaseURL = strings.TrimRight(c.BaseURL, "/")
	a.bearer = provider.NewTokens(clk, a.fetchBearer)
	a.forms = provider.NewTokens(clk, a.fetchForm)
	return a
}

var (
	_ provider.Submitter       = (*Adapter)(nil)
	_ provider.Lookuper        = (*Adapter)(nil)
	_ provider.WebhookVerifier = (*Adapter)(nil)
	_ provider.WebhookReader   = (*Adapter)(nil)
)

// cashIn is the body of a disbursement. amount is a JSON number in the currency's main unit.
type cashIn struct {
	PeerID        string      `json:"peerId"`
	PeerIDType    string      `json:"peerIdType"`
	Amount        json.Number `json:"amount"`
	Currency      string      `json:"currency"`
	PosID         string      `json:"posId"`
	TransactionID string      `json:"transactionId"`
}

// Submit pays once. A refusal of us says nothing about a reference that may have arrived before: it was not sent now, and
// keeps its reference, for what became of it earlier is asked under that one. A refusal of the repetition says nothing about
// the first call either, whatever words it has: only a lookup ends the reference.
func (a *Adapter) Submit(ctx context.Context, t provider.Transfer) provider.Result {
	res := a.submit(ctx, t)
	switch {
	case t.Resend && res.Stop && res.Class != provider.Ambiguous:
		res.Class = provider.NotSent
	case t.Resend && (res.Class == provider.RejectedFinal || res.Class == provider.RejectedRetryable):
		res.Class = provider.Ambiguous
	}
	return res
}

// submit asks a second time only after an expired bearer token, a refusal before the payment was looked at.
func (a *Adapter) submit(ctx context.Context, t provider.Transfer) provider.Result {
	peer, code := a.own.local(t.Destination)
	if code != "" {
		return provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayee, Code: code}
	}
	if !a.own.serves(t.Amount.Currency) {
		return provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "currency_not_served"}
	}
	body, err := json.Marshal(cashIn{
		PeerID: peer, PeerIDType: "msisdn", Amount: json.Number(trimZeros(t.Amount.Decimal())), Currency: string(t.Amount.Currency),
		PosID: a.cfg.PosID, TransactionID: t.Reference,
	})
	if err != nil {
		return provider.Result{Class: provider.NotSent, Scope: provider.ScopePayment, Code: provider.CodeRequest}
	}
	for first := true; ; first = false {
		f, result, ok := a.prepare(ctx, t.Amount)
		if !ok {
			return result
		}
		reply, token, err := a.call(ctx, http.MethodPost, f.endpoint, f.header(), body)
		if err != nil {
			return beforeSend("token", err)
		}
		if expired(reply) && first {
			a.bearer.Forget(token)
			continue
		}
		if reply.Status == http.StatusBadRequest {
			a.forms.Forget(f.token) // a form that went stale is refused so: the next attempt asks for a fresh one
		}
		res := a.classify(reply, t)
		if res.Code == codeIdentical {
			return a.confirm(ctx, t, res)
		}
		return res
	}
}

// confirm looks a transfer up that was refused as identical to a recent one, before a new reference may follow it: the
// refusal may speak about this very transfer.
func (a *Adapter) confirm(ctx context.Context, t provider.Transfer, refused provider.Result) provider.Result {
	f, err := a.Lookup(ctx, t)
	switch {
	case err != nil:
		return provider.Result{Class: provider.Ambiguous, Scope: provider.ScopePayment, Code: "identical_unconfirmed", ProviderCode: refused.ProviderCode}
	case !f.Exists:
		return refused
	default:
		return f.Result
	}
}

// Lookup asks what became of a reference. Only the provider's own 404 for it means absent, and only while the service is
// activated for us.
func (a *Adapter) Lookup(ctx context.Context, t provider.Transfer) (provider.Found, error) {
	for first := true; ; first = false {
		reply, token, err := a.call(ctx, http.MethodGet, "/transactions/"+t.Reference, nil, nil)
		if err != nil {
			return provider.Found{}, err
		}
		if expired(reply) && first {
			a.bearer.Forget(token)
			continue
		}
		return a.found(ctx, reply, t)
	}
}

func (a *Adapter) found(ctx context.Context, reply provider.Reply, t provider.Transfer) (provider.Found, error) {
	if reply.Err == nil && reply.Status == http.StatusNotFound && problemOf(reply).Code == codeNotFound {
		return a.absent(ctx)
	}
	if res, failed := reply.Unanswered(a.clock.Now()); failed {
		return provider.Found{}, &provider.Failure{Result: res}
	}
	tx, err := parseTransaction(reply.Body)
	if err != nil {
		return provider.Found{}, fmt.Errorf("lookup: %w", err)
	}
	if tx.TransactionID != "" && tx.TransactionID != t.Reference {
		return provider.Found{}, errors.New("lookup: the answer is about another transaction")
	}
	f := provider.Found{Exists: true, Result: a.result(tx, t), Destination: tx.PeerID}
	if amount, err := money.Parse(trimZeros(tx.Amount.String()), t.Amount.Currency); err == nil && tx.Currency == string(t.Amount.Currency) {
		f.Amount = &amount
	}
	return f, nil
}

// Verify checks the Authorization value that was agreed at provisioning. Without one configured nobody is let in.
func (a *Adapter) Verify(h http.Header, body []byte) ([]string, error) {
	if !provider.SameSecret(h.Get("Authorization"), a.cfg.CallbackAuthorization) {
		return nil, provider.ErrForged
	}
	tx, err := parseTransaction(body)
	if err != nil || tx.TransactionID == "" {
		return nil, fmt.Errorf("%w: no transactionId", provider.ErrUnreadable)
	}
	return []string{tx.TransactionID}, nil
}

// Read is what a callback says of its transaction, when it says all of it.
func (a *Adapter) Read(body []byte) map[string]provider.Found {
	tx, err := parseTransaction(body)
	if err != nil || tx.TransactionID == "" || tx.PeerID == "" {
		return nil
	}
	amount, err := money.Parse(trimZeros(tx.Amount.String()), money.Currency(tx.Currency))
	if err != nil {
		return nil
	}
	said := a.result(tx, provider.Transfer{Reference: tx.TransactionID})
	return map[string]provider.Found{tx.TransactionID: {Exists: true, Result: said, Amount: &amount, Destination: tx.PeerID}}
}

// call makes one request with a bearer token, and tells which one it used. err means that there was no token.
func (a *Adapter) call(ctx context.Context, method, path string, extra http.Header, body []byte) (provider.Reply, string, error) {
	token, err := a.bearer.Get(ctx)
	if err != nil {
		return provider.Reply{}, "", err
	}
	h := extra.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set("Authorization", "Bearer "+token)
	h.Set("Accept", "application/json")
	if body != nil {
		h.Set("Content-Type", "application/json")
	}
	return a.caller.Do(ctx, provider.Request{Method: method, URL: a.cfg.BaseURL + path, Header: h, Body: body}), token, nil
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}
