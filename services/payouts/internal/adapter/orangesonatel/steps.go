package orangesonatel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
)

// seconds is a number that arrives as a number or as a string.
type seconds int64

// UnmarshalJSON accepts 299 and "299".
func (s *seconds) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseInt(strings.Trim(string(b), `"`), 10, 64)
	if err != nil || n < 0 {
		return errors.New("not a number of seconds")
	}
	const day = 24 * 3600
	*s = seconds(min(n, day))
	return nil
}

// fetchBearer is POST token_url with the client's credentials in the form.
func (a *Adapter) fetchBearer(ctx context.Context) (provider.Token, error) {
	h := http.Header{}
	h.Set("Content-Type", "application/x-www-form-urlencoded")
	h.Set("Accept", "application/json")
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {a.cfg.ClientID}, "client_secret": {a.cfg.ClientSecret}}
	reply := a.caller.Do(ctx, provider.Request{Method: http.MethodPost, URL: a.cfg.TokenURL, Header: h, Body: []byte(form.Encode())})
	if err := a.tokenFailed(reply); err != nil {
		return provider.Token{}, err
	}
	var answer struct {
		AccessToken string  `json:"access_token"`
		ExpiresIn   seconds `json:"expires_in"`
	}
	if err := json.Unmarshal(reply.Body, &answer); err != nil || answer.AccessToken == "" {
		return provider.Token{}, unreadable("token")
	}
	return provider.Token{Value: answer.AccessToken, Life: time.Duration(answer.ExpiresIn) * time.Second}, nil
}

// tokenFailed knows the two ways in which the token endpoint refuses a client: unknown, and not provisioned.
func (a *Adapter) tokenFailed(reply provider.Reply) error {
	if reply.Err == nil && reply.Status == http.StatusUnauthorized {
		var said struct {
			Error string `json:"error"`
		}
		code := "credentials_refused"
		if json.Unmarshal(reply.Body, &said) == nil && said.Error == "unauthorized_client" {
			code = "not_provisioned"
		}
		return &provider.Failure{Result: provider.Result{
			Class: provider.RejectedRetryable, Scope: provider.ScopeProvider, Code: code, ProviderCode: "http 401 " + a.word(said.Error), Stop: true,
		}}
	}
	return a.stepFailed(reply)
}

// stepFailed says why a preparing step has no answer. Nothing of it concerns a payment.
func (a *Adapter) stepFailed(reply provider.Reply) error {
	if res, ok := refused(reply); ok && res.Stop {
		return &provider.Failure{Result: res}
	}
	if res, failed := reply.Unanswered(a.clock.Now()); failed {
		return &provider.Failure{Result: res}
	}
	return nil
}

func unreadable(step string) error {
	return &provider.Failure{Result: provider.Result{
		Class: provider.Ambiguous, Scope: provider.ScopeProvider, Code: provider.CodeUnreadable, ProviderCode: "step " + step,
	}}
}

func notBuilt() error {
	return &provider.Failure{Result: provider.Result{Class: provider.NotSent, Scope: provider.ScopePayment, Code: provider.CodeRequest}}
}

// Balance reads the retailer's float. It uses the PIN, so it is called behind [provider.GuardedBalance].
func (a *Adapter) Balance(ctx context.Context) (money.Amount, error) {
	reply, err := a.withPIN(ctx, "/api/eWallet/v1/account/retailer/balance", nil, func(pin string) any {
		return struct {
			party
			Wallet string `json:"wallet"`
		}{party{idType, a.cfg.RetailerNumber, pin}, "PRINCIPAL"}
	})
	if err != nil {
		var f *provider.Failure
		if errors.As(err, &f) { // before the PIN left
			return money.Amount{}, &provider.Failure{Result: f.Result.BeforeSend("step")}
		}
		return money.Amount{}, err
	}
	if res, ok := refused(reply); ok {
		return money.Amount{}, &provider.Failure{Result: res}
	}
	if res, failed := reply.Unanswered(a.clock.Now()); failed {
		return money.Amount{}, &provider.Failure{Result: res}
	}
	amount, err := parseBalance(reply.Body)
	if err != nil {
		return money.Amount{}, unreadable("balance")
	}
	return amount, nil
}

// parseBalance reads an amount as the platform writes it everywhere else, alone or under "balance": what its answer looks
// like is not documented.
func parseBalance(body []byte) (money.Amount, error) {
	var answer struct {
		sum
		Balance *sum `json:"balance"`
	}
	if err := whole(body, &answer); err != nil {
		return money.Amount{}, err
	}
	if answer.Balance != nil {
		return parseSum(*answer.Balance)
	}
	return parseSum(answer.sum)
}

// parseSum reads 10, 10.0 and "10": some servers write whole amounts with a fraction.
func parseSum(s sum) (money.Amount, error) {
	n := s.Value.String()
	if w, fraction, ok := strings.Cut(n, "."); ok && strings.Trim(fraction, "0") == "" {
		n = w
	}
	return money.Parse(n, money.Currency(s.Unit))
}

func parseTransaction(body []byte) (tx transaction, err error) { return tx, whole(body, &tx) }

// whole decodes one JSON value and nothing after it.
func whole(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(into); err != nil {
		return errors.New("the body is not the documented JSON")
	}
	if d.More() {
		return errors.New("something follows the JSON")
	}
	return nil
}
