package orangeomr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
)

// form is what has to accompany a cash-in, and the limits that hold for it now.
type form struct {
	token, version, endpoint string
	minimum, maximum         json.Number
}

// header is empty for contracts without the forms step.
func (f *form) header() http.Header {
	h := http.Header{}
	if f.token != "" {
		h.Set("x-omr-forms-token", f.token)
		h.Set("x-omr-forms-version", f.version)
	}
	return h
}

const defaultEndpoint = "/transactions/cashin"

// prepare gets the form and holds the amount against its limits; ok is false when the payment ends here, unsent.
func (a *Adapter) prepare(ctx context.Context, amount money.Amount) (*form, provider.Result, bool) {
	if !a.cfg.FormsStep {
		return &form{endpoint: defaultEndpoint}, provider.Result{}, true
	}
	if _, err := a.forms.Get(ctx); err != nil {
		return nil, beforeSend("form", err), false
	}
	f := a.form.Load()
	if f.outside(amount) {
		return nil, provider.Result{
			Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "amount_outside_limits",
			ProviderCode: "limits " + f.minimum.String() + " to " + f.maximum.String(),
		}, false
	}
	return f, provider.Result{}, true
}

func (f *form) outside(amount money.Amount) bool {
	limit := func(n json.Number) (int64, bool) {
		l, err := money.Parse(trimZeros(n.String()), amount.Currency)
		return l.Minor, err == nil
	}
	low, hasLow := limit(f.minimum)
	high, hasHigh := limit(f.maximum)
	return hasLow && amount.Minor < low || hasHigh && amount.Minor > high
}

// seconds is a number that arrives as a number or as a string.
type seconds int64

// UnmarshalJSON accepts 3600 and "7776000".
func (s *seconds) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseInt(strings.Trim(string(b), `"`), 10, 64)
	if err != nil || n < 0 {
		return errors.New("not a number of seconds")
	}
	const year = 365 * 24 * 3600
	*s = seconds(min(n, year))
	return nil
}

func (s seconds) duration() time.Duration { return time.Duration(s) * time.Second }

// fetchBearer is POST token_url with the client's credentials.
func (a *Adapter) fetchBearer(ctx context.Context) (provider.Token, error) {
	h := http.Header{}
	h.Set("Authorization", basic(a.cfg.ClientID, a.cfg.ClientSecret))
	h.Set("Content-Type", "application/x-www-form-urlencoded")
	h.Set("Accept", "application/json") // 406 without it
	body := []byte(url.Values{"grant_type": {"client_credentials"}}.Encode())
	reply := a.caller.Do(ctx, provider.Request{Method: http.MethodPost, URL: a.cfg.TokenURL, Header: h, Body: body})
	if err := a.stepFailed(reply); err != nil {
		return provider.Token{}, err
	}
	var answer struct {
		AccessToken string  `json:"access_token"`
		ExpiresIn   seconds `json:"expires_in"`
	}
	if err := json.Unmarshal(reply.Body, &answer); err != nil || answer.AccessToken == "" {
		return provider.Token{}, unreadable("token")
	}
	return provider.Token{Value: answer.AccessToken, Life: answer.ExpiresIn.duration()}, nil
}

// fetchForm is GET /services, then GET /forms/cashin with the token of the first.
func (a *Adapter) fetchForm(ctx context.Context) (provider.Token, error) {
	services, err := a.services(ctx)
	if err != nil {
		return provider.Token{}, err
	}
	f, life, err := a.cashInForm(ctx, services)
	if err != nil {
		return provider.Token{}, err
	}
	a.form.Store(f)
	return provider.Token{Value: f.token, Life: life}, nil
}

// services is GET /services and returns its token.
func (a *Adapter) services(ctx context.Context) (string, error) {
	var answer struct {
		Token struct {
			Value string `json:"value"`
		} `json:"token"`
	}
	if err := a.step(ctx, "/services", nil, &answer); err != nil {
		return "", err
	}
	if answer.Token.Value == "" {
		return "", unreadable("services")
	}
	return answer.Token.Value, nil
}

// cashInForm is GET /forms/cashin, and how long its token lives.
func (a *Adapter) cashInForm(ctx context.Context, services string) (*form, time.Duration, error) {
	var answer struct {
		Version  json.RawMessage `json:"version"`
		Endpoint string          `json:"endpoint"`
		Token    struct {
			Value     string  `json:"value"`
			ExpiresIn seconds `json:"expiresIn"`
		} `json:"token"`
		Form []struct {
			Name    string      `json:"name"`
			Minimum json.Number `json:"minimum"`
			Maximum json.Number `json:"maximum"`
		} `json:"form"`
	}
	h := http.Header{}
	h.Set("x-omr-services-token", services)
	if err := a.step(ctx, "/forms/cashin", h, &answer); err != nil {
		return nil, 0, err
	}
	f := &form{token: answer.Token.Value, version: strings.Trim(string(answer.Version), `"`), endpoint: answer.Endpoint}
	if f.token == "" || !strings.HasPrefix(f.endpoint, "/transactions/") || strings.ContainsAny(f.endpoint, "?#\\") || strings.Contains(f.endpoint, "..") {
		return nil, 0, unreadable("form")
	}
	for _, field := range answer.Form {
		if field.Name == "amount" {
			f.minimum, f.maximum = field.Minimum, field.Maximum
		}
	}
	return f, answer.Token.ExpiresIn.duration(), nil
}

// step is a GET that only prepares; an expired bearer token is renewed once.
func (a *Adapter) step(ctx context.Context, path string, h http.Header, into any) error {
	for first := true; ; first = false {
		reply, token, err := a.call(ctx, http.MethodGet, path, h, nil)
		if err != nil {
			return err
		}
		if expired(reply) && first {
			a.bearer.Forget(token)
			continue
		}
		if err := a.stepFailed(reply); err != nil {
			return err
		}
		if err := json.Unmarshal(reply.Body, into); err != nil {
			return unreadable(path)
		}
		return nil
	}
}

// stepFailed says why a preparing step has no answer. Nothing of it concerns a payment.
func (a *Adapter) stepFailed(reply provider.Reply) error {
	if res, refused := refusedAccess(reply); refused {
		return &provider.Failure{Result: res}
	}
	if res, failed := reply.Unanswered(a.clock.Now()); failed {
		return &provider.Failure{Result: res}
	}
	return nil
}

func unreadable(step string) error {
	return &provider.Failure{Result: provider.Result{
		Class: provider.Ambiguous, Scope: provider.ScopeProvider, Code: provider.CodeUnreadable, ProviderCode: fmt.Sprintf("step %s", step),
	}}
}

// beforeSend turns the failure of a preparing step into the payment's result: it was not sent.
func beforeSend(step string, err error) provider.Result {
	var f *provider.Failure
	if errors.As(err, &f) {
		return f.Result.BeforeSend(step)
	}
	return provider.Result{Class: provider.NotSent, Code: provider.CodeExpired}
}
