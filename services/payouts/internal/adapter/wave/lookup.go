package wave

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/agogopay/agogo/internal/provider"
)

// Lookup asks what became of a reference. Only an empty list of Wave's own means absent, and where Wave has given us its id of
// the payout, only when that is not found either: the search may lag behind.
func (a *Adapter) Lookup(ctx context.Context, t provider.Transfer) (provider.Found, error) {
	reply := a.call(ctx, http.MethodGet, "/v1/payouts/search?client_reference="+url.QueryEscape(t.Reference), nil, nil)
	if res, failed := a.refused(reply); failed {
		return provider.Found{}, &provider.Failure{Result: res}
	}
	payouts, err := parseSearch(reply.Body, t.Reference)
	if err != nil {
		return provider.Found{}, fmt.Errorf("lookup: %w", err)
	}
	switch {
	case len(payouts) > 0:
		return a.found(payouts, t), nil
	case t.ProviderID != "":
		return a.byID(ctx, t)
	default:
		return provider.Found{}, nil
	}
}

// byID asks for the payout itself.
func (a *Adapter) byID(ctx context.Context, t provider.Transfer) (provider.Found, error) {
	reply := a.call(ctx, http.MethodGet, "/v1/payout/"+url.PathEscape(t.ProviderID), nil, nil)
	if reply.Err == nil && reply.Status == http.StatusNotFound && problemCode(reply.Body) == "not-found" {
		return provider.Found{}, nil
	}
	if res, failed := a.refused(reply); failed {
		return provider.Found{}, &provider.Failure{Result: res}
	}
	p, err := parsePayout(reply.Body)
	if err != nil {
		return provider.Found{}, fmt.Errorf("lookup by id: %w", err)
	}
	if p.ID != t.ProviderID || p.ClientReference != "" && p.ClientReference != t.Reference {
		return provider.Found{}, errors.New("lookup by id: the answer is about another payout")
	}
	return a.found([]payout{p}, t), nil
}

// parseSearch wants the documented list, also when it is empty, and nothing in it but what was asked for.
func parseSearch(body []byte, reference string) ([]payout, error) {
	var answer struct {
		Result *[]payout `json:"result"`
	}
	if err := decode(body, &answer); err != nil {
		return nil, err
	}
	if answer.Result == nil {
		return nil, errors.New("no list of payouts")
	}
	for _, p := range *answer.Result {
		switch {
		case p.ID == "" || p.Status == "":
			return nil, errors.New("a payout without id or status")
		case p.ClientReference != reference:
			return nil, errors.New("a payout of another reference")
		}
	}
	return *answer.Result, nil
}

// found is what the payouts of one reference say together. There is one, unless a key was forgotten and the reference paid
// again: then everything that was paid or may be counts, so that the sum differs from ours and people look. Only when none of
// them is, a refusal is the answer, and that something came back says more than that something failed.
func (a *Adapter) found(payouts []payout, t provider.Transfer) provider.Found {
	answer := provider.Found{Exists: true, Result: a.result(payouts[0])}
	best := weight(answer.Result)
	for _, p := range payouts {
		if r := a.result(p); weight(r) > best {
			best, answer.Result = weight(r), r
		}
	}
	live := 0
	for _, p := range payouts {
		if best >= weightLive && weight(a.result(p)) < weightLive {
			continue
		}
		live++
		answer.Destination = p.Mobile
		amount, err := p.ReceiveAmount.amount(t.Amount.Currency)
		switch {
		case err != nil || p.Currency != string(t.Amount.Currency):
		case answer.Amount == nil || best < weightLive:
			answer.Amount = &amount
		default:
			if sum, err := answer.Amount.Add(amount); err == nil {
				answer.Amount = &sum
			}
		}
	}
	if live > 1 && best >= weightLive {
		answer.Result.Alarm = "several payouts carry one reference"
	}
	return answer
}

// weightLive is the least weight of a payout that was paid or may be.
const weightLive = 2

func weight(r provider.Result) int {
	switch {
	case r.Class == provider.Succeeded:
		return 4
	case r.Class == provider.Accepted || r.Class == provider.Ambiguous:
		return 3
	case r.Code == "reversed":
		return 1
	default:
		return 0
	}
}
