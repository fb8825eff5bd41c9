package mtnmomo

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/agogopay/agogo/internal/provider"
)

// fetchToken is POST /token/, which has no body: one that has is 400.
func (a *Adapter) fetchToken(ctx context.Context) (provider.Token, error) {
	h := http.Header{}
	h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(a.cfg.APIUser+":"+a.cfg.APIKey)))
	h.Set("Ocp-Apim-Subscription-Key", a.cfg.SubscriptionKey)
	reply := a.caller.Do(ctx, provider.Request{Method: http.MethodPost, URL: a.cfg.BaseURL + "/token/", Header: h})
	if err := a.unanswered(reply); err != nil {
		return provider.Token{}, err
	}
	return parseToken(reply.Body)
}

func parseToken(body []byte) (provider.Token, error) {
	var answer struct {
		AccessToken string  `json:"access_token"`
		ExpiresIn   seconds `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.AccessToken == "" || strings.ContainsFunc(answer.AccessToken, unprintable) {
		return provider.Token{}, &provider.Failure{Result: provider.Result{
			Class: provider.Ambiguous, Scope: provider.ScopeProvider, Code: provider.CodeUnreadable, ProviderCode: "step token",
		}}
	}
	return provider.Token{Value: answer.AccessToken, Life: time.Duration(answer.ExpiresIn) * time.Second}, nil
}

// unprintable is what cannot stand in a header.
func unprintable(r rune) bool { return r <= ' ' || r > '~' }

// seconds is a number that arrives as a number or as a text.
type seconds int64

// UnmarshalJSON accepts 3600 and "3600".
func (s *seconds) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseInt(strings.Trim(string(b), `"`), 10, 64)
	if err != nil || n < 0 {
		return errors.New("not a number of seconds")
	}
	const year = 365 * 24 * 3600
	*s = seconds(min(n, year))
	return nil
}

// beforeSend turns the failure to get a token into the payment's result: it was not sent.
func beforeSend(err error) provider.Result {
	var f *provider.Failure
	if errors.As(err, &f) {
		return f.Result.BeforeSend("token")
	}
	return provider.Result{Class: provider.NotSent, Code: provider.CodeExpired}
}
