package mtnmomo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
)

// Balance is what the paying account holds.
func (a *Adapter) Balance(ctx context.Context) (money.Amount, error) {
	reply, err := a.call(ctx, http.MethodGet, "/v1_0/account/balance", nil, nil)
	if err == nil {
		err = a.unanswered(reply)
	}
	if err != nil {
		return money.Amount{}, fmt.Errorf("balance: %w", err)
	}
	return parseBalance(reply.Body)
}

func parseBalance(body []byte) (money.Amount, error) {
	var answer struct {
		Available text   `json:"availableBalance"`
		Currency  string `json:"currency"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return money.Amount{}, errors.New("balance: the answer is no JSON object of the documented fields")
	}
	amount, err := money.Parse(trimZeros(string(answer.Available)), money.Currency(answer.Currency))
	if err != nil {
		return money.Amount{}, fmt.Errorf("balance: %w", err)
	}
	return amount, nil
}

// VerifyRecipient asks whether a wallet is active and, when we have a name, whose it is. MTN says nothing about limits, so the
// amount is not asked about.
func (a *Adapter) VerifyRecipient(ctx context.Context, destination, name string, _ money.Amount) (provider.Recipient, error) {
	number, ok := msisdn(destination)
	if !ok {
		return provider.Recipient{Code: "wallet_number_invalid", Name: provider.NameUnknown}, nil
	}
	r, err := a.active(ctx, number)
	if err != nil || !r.Receives || strings.TrimSpace(name) == "" {
		return r, err
	}
	r.Name, err = a.compare(ctx, number, name)
	if err != nil {
		return provider.Recipient{}, err
	}
	return r, nil
}

// active is GET …/active. Only what is documented of a wallet is said of it; anything else is no answer.
func (a *Adapter) active(ctx context.Context, number string) (provider.Recipient, error) {
	unknown := provider.Recipient{Name: provider.NameUnknown}
	reply, err := a.call(ctx, http.MethodGet, holderPath(number)+"/active", nil, nil)
	if err != nil {
		return provider.Recipient{}, fmt.Errorf("account holder: %w", err)
	}
	if notFound(reply) {
		unknown.Code = "payee_not_found"
		return unknown, nil
	}
	if err := a.unanswered(reply); err != nil {
		return provider.Recipient{}, fmt.Errorf("account holder: %w", err)
	}
	active, err := parseActive(reply.Body)
	if err != nil {
		return provider.Recipient{}, err
	}
	if unknown.Receives = active; !active {
		unknown.Code = "payee_inactive"
	}
	return unknown, nil
}

func parseActive(body []byte) (bool, error) {
	var answer struct {
		Result *bool `json:"result"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Result == nil {
		return false, errors.New("account holder: the answer is not the documented one")
	}
	return *answer.Result, nil
}

// compare is GET …/basicuserinfo. Not every country tells names: where it does not, the name is unknown.
func (a *Adapter) compare(ctx context.Context, number, name string) (provider.NameMatch, error) {
	reply, err := a.call(ctx, http.MethodGet, holderPath(number)+"/basicuserinfo", nil, nil)
	if err != nil {
		return "", fmt.Errorf("name: %w", err)
	}
	if notFound(reply) || reply.Err == nil && reply.Status == http.StatusInternalServerError && codeOf(reply) == "NOT_ALLOWED" {
		return provider.NameUnknown, nil
	}
	if err := a.unanswered(reply); err != nil {
		return "", fmt.Errorf("name: %w", err)
	}
	theirs, err := parseUserInfo(reply.Body)
	if err != nil {
		return "", err
	}
	return compareNames(name, theirs), nil
}

func parseUserInfo(body []byte) (name string, err error) {
	var answer struct {
		Name   string `json:"name"`
		Given  string `json:"given_name"`
		Family string `json:"family_name"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", errors.New("name: the answer is no JSON object of the documented fields")
	}
	if answer.Given != "" || answer.Family != "" {
		return answer.Given + " " + answer.Family, nil
	}
	return answer.Name, nil
}

func holderPath(number string) string { return "/v1_0/accountholder/msisdn/" + number }
