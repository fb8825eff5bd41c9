// Package mtnmomo speaks the disbursements of MTN's MoMo Open API: token, transfer, status, callback, balance and account holder,
// as docs/providers/mtn_momo.md describes them.
package mtnmomo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/provider"
)

// Kind is the provider kind of the tenants file.
const Kind = "mtn_momo"

// Adapter is one tenant's contract with MTN. It is safe for concurrent use.
type Adapter struct {
	cfg    config.Provider
	clock  clock.Clock
	caller *provider.Caller
	tokens *provider.Tokens
}

// New makes an adapter.
func New(c config.Provider, clk clock.Clock) *Adapter {
	a := &Adapter{cfg: c, clock: clk, caller: provider.NewCaller(provider.CallerConfig{Timeout: c.Timeout, Conns: c.Concurrency})}
	a.cfg.BaseURL = strings.TrimRight(c.BaseURL, "/") // a double slash is 400 there
	a.cfg.CallbackURL = strings.TrimRight(c.CallbackURL, "/")
	a.tokens = provider.NewTokens(clk, a.fetchToken)
	return a
}

var (
	_ provider.Submitter         = (*Adapter)(nil)
	_ provider.Lookuper          = (*Adapter)(nil)
	_ provider.BalanceReader     = (*Adapter)(nil)
	_ provider.RecipientVerifier = (*Adapter)(nil)
	_ provider.WebhookVerifier   = (*Adapter)(nil)
	_ provider.WebhookReader     = (*Adapter)(nil)
)

// transferRequest is the body of a transfer. Its externalId is our own reference: MTN cannot be asked by it, but callbacks
// bring it back.
type transferRequest struct {
	Amount       string `json:"amount"`
	Currency     string `json:"currency"`
	ExternalID   string `json:"externalId"`
	Payee        party  `json:"payee"`
	PayerMessage string `json:"payerMessage"`
	PayeeNote    string `json:"payeeNote"`
}

type party struct {
	PartyIDType string `json:"partyIdType"`
	PartyID     string `json:"partyId"`
}

// Submit pays once. A refusal of us says nothing about a reference that may have arrived before: it was not sent now, and
// keeps its reference. A refusal of the repetition says nothing about the first call either, whatever words it has: only a
// lookup ends the reference.
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

func (a *Adapter) submit(ctx context.Context, t provider.Transfer) provider.Result {
	wallet, ok := msisdn(t.Destination)
	if !ok {
		return provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayee, Code: "wallet_number_invalid"}
	}
	text := note(t.Description)
	body, err := json.Marshal(transferRequest{
		Amount: t.Amount.Decimal(), Currency: string(t.Amount.Currency), ExternalID: t.Reference,
		Payee: party{"MSISDN", wallet}, PayerMessage: text, PayeeNote: text,
	})
	if err != nil {
		return provider.Result{Class: provider.NotSent, Scope: provider.ScopePayment, Code: provider.CodeRequest}
	}
	h := http.Header{}
	h.Set("X-Reference-Id", referenceID(t.Reference))
	if a.cfg.CallbackURL != "" {
		h.Set("X-Callback-Url", a.cfg.CallbackURL+"/"+a.cfg.CallbackKey)
	}
	reply, err := a.call(ctx, http.MethodPost, "/v1_0/transfer", h, body)
	if err != nil {
		return beforeSend(err)
	}
	if exists(reply) {
		return a.follow(ctx, t)
	}
	return a.classify(reply)
}

// follow asks what became of a transfer that MTN says it has already: it was not made now, and says nothing of itself. A transfer
// of another amount or payee under our reference is for people.
func (a *Adapter) follow(ctx context.Context, t provider.Transfer) provider.Result {
	unsure := provider.Result{Class: provider.Ambiguous, Scope: provider.ScopePayment, Code: "already_exists", ProviderCode: "http 409 " + codeExists}
	f, err := a.Lookup(ctx, t)
	switch {
	case err != nil || !f.Exists:
		return unsure
	case f.Amount == nil || *f.Amount != t.Amount || strings.TrimPrefix(f.Destination, "+") != strings.TrimPrefix(t.Destination, "+"):
		unsure.Code, unsure.Alarm = "exists_for_another", "MTN has another transfer under a reference of ours"
		return unsure
	default:
		return f.Result
	}
}

// Lookup asks what became of a reference. Only the platform's own word for an unknown one means absent; the gateway before it
// has a 404, too.
func (a *Adapter) Lookup(ctx context.Context, t provider.Transfer) (provider.Found, error) {
	reply, err := a.call(ctx, http.MethodGet, "/v1_0/transfer/"+referenceID(t.Reference), nil, nil)
	if err != nil {
		return provider.Found{}, fmt.Errorf("lookup: %w", err)
	}
	if notFound(reply) {
		return provider.Found{}, nil
	}
	if err := a.unanswered(reply); err != nil {
		return provider.Found{}, fmt.Errorf("lookup: %w", err)
	}
	s, err := parseTransfer(reply.Body)
	switch {
	case err != nil:
		return provider.Found{}, fmt.Errorf("lookup: %w", err)
	case s.Status == "":
		return provider.Found{}, errors.New("lookup: the answer has no status")
	case s.ExternalID != "" && string(s.ExternalID) != t.Reference:
		return provider.Found{}, errors.New("lookup: the answer is about another transfer")
	}
	return a.found(s), nil
}

// call makes one request with a token; a refused token is renewed once, for a request without a valid one is not looked at. A
// transfer goes again only when MTN itself refused the token. err means that there was no token.
func (a *Adapter) call(ctx context.Context, method, path string, extra http.Header, body []byte) (provider.Reply, error) {
	for first := true; ; first = false {
		token, err := a.tokens.Get(ctx)
		if err != nil {
			return provider.Reply{}, err
		}
		h := extra.Clone()
		if h == nil {
			h = http.Header{}
		}
		h.Set("Authorization", "Bearer "+token)
		h.Set("X-Target-Environment", a.cfg.TargetEnvironment)
		h.Set("Ocp-Apim-Subscription-Key", a.cfg.SubscriptionKey)
		if body != nil {
			h.Set("Content-Type", "application/json")
		}
		reply := a.caller.Do(ctx, provider.Request{Method: method, URL: a.cfg.BaseURL + path, Header: h, Body: body})
		if first && reply.Err == nil && reply.Status == http.StatusUnauthorized {
			a.tokens.Forget(token)
			if method == http.MethodGet || unauthorised(reply) {
				continue
			}
		}
		return reply, nil
	}
}
