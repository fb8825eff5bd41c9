// Package wave speaks Wave's business API: single payouts, their lookup by our reference, reversal, verification of
// recipients, balance and statement, as docs/providers/wave.md describes them. Wave sends no webhooks about payouts.
package wave

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/provider"
)

// Kind is the provider kind of the tenants file.
const Kind = "wave"

// Adapter is one tenant's wallet at Wave. It is safe for concurrent use.
type Adapter struct {
	cfg    config.Provider
	clock  clock.Clock
	caller *provider.Caller
}

// New makes an adapter.
func New(c config.Provider, clk clock.Clock) *Adapter {
	a := &Adapter{cfg: c, clock: clk, caller: provider.NewCaller(provider.CallerConfig{Timeout: c.Timeout, Conns: c.Concurrency})}
	a.cfg.BaseURL = strings.TrimRight(c.BaseURL, "/")
	return a
}

var (
	_ provider.Submitter         = (*Adapter)(nil)
	_ provider.Lookuper          = (*Adapter)(nil)
	_ provider.BalanceReader     = (*Adapter)(nil)
	_ provider.Reverser          = (*Adapter)(nil)
	_ provider.RecipientVerifier = (*Adapter)(nil)
	_ provider.StatementReader   = (*Adapter)(nil)
)

// payoutRequest is the body of a payout. It says nothing but what is committed with the attempt: the same key with another
// body is refused, so a text that may differ the next time would make a repetition impossible.
type payoutRequest struct {
	Currency           string `json:"currency"`
	ReceiveAmount      string `json:"receive_amount"`
	Mobile             string `json:"mobile"`
	ClientReference    string `json:"client_reference"`
	AggregatedMerchant string `json:"aggregated_merchant_id,omitempty"`
}

// Submit pays once. The attempt's reference is the idempotency key, by which Wave pays once, and the client reference, by
// which the payout is found. No document says for how long Wave remembers a key: a refusal of a repetition says nothing about
// the first call, and a lookup decides.
func (a *Adapter) Submit(ctx context.Context, t provider.Transfer) provider.Result {
	body, err := json.Marshal(payoutRequest{
		Currency: string(t.Amount.Currency), ReceiveAmount: t.Amount.Decimal(), Mobile: t.Destination,
		ClientReference: t.Reference, AggregatedMerchant: a.cfg.AggregatedMerchant,
	})
	if err != nil {
		return provider.Result{Class: provider.NotSent, Scope: provider.ScopePayment, Code: provider.CodeRequest}
	}
	h := http.Header{"Idempotency-Key": {t.Reference}}
	res := a.classify(a.call(ctx, http.MethodPost, "/v1/payout", h, body), t)
	switch {
	case t.Resend && res.Stop:
		res.Class = provider.NotSent // not now, and what became of it earlier is asked under this reference
	case t.Resend && (res.Class == provider.RejectedFinal || res.Class == provider.RejectedRetryable):
		res.Class = provider.Ambiguous
	}
	return res
}

// call makes one request with the key of the wallet, signed where that was agreed.
func (a *Adapter) call(ctx context.Context, method, path string, extra http.Header, body []byte) provider.Reply {
	h := extra.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set("Authorization", "Bearer "+a.cfg.APIKey)
	h.Set("Accept", "application/json")
	if body != nil {
		h.Set("Content-Type", "application/json")
	}
	if a.cfg.SigningSecret != "" {
		h.Set("Wave-Signature", sign(a.cfg.SigningSecret, a.clock.Now().Unix(), body))
	}
	return a.caller.Do(ctx, provider.Request{Method: method, URL: a.cfg.BaseURL + path, Header: h, Body: body})
}

// sign is the HMAC of the seconds and the body, one after the other, with nothing between them.
func sign(secret string, seconds int64, body []byte) string {
	at := strconv.FormatInt(seconds, 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(at))
	mac.Write(body)
	return "t=" + at + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// word is a code or status word of theirs as it may go on: never free text.
func (a *Adapter) word(text string) string {
	return provider.Word(text, a.cfg.APIKey, a.cfg.SigningSecret, a.cfg.AggregatedMerchant)
}
