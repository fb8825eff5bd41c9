package orangesonatel

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/agogopay/agogo/internal/provider"
)

// Lookup searches for a reference and asks for the state of what it found. Only an empty list means absent; how long after a
// send that proves nothing is the policy's to know.
//
// The search has no other parameter: with type it returns nothing at times, and fromDateTime leaves out what is younger by the
// provider's clock than by ours.
func (a *Adapter) Lookup(ctx context.Context, t provider.Transfer) (provider.Found, error) {
	query := url.Values{"reference": {t.Reference}}
	body, err := a.get(ctx, "/api/eWallet/v1/transactions?"+query.Encode())
	if err != nil {
		return provider.Found{}, err
	}
	var list []transaction
	if err := whole(body, &list); err != nil {
		return provider.Found{}, fmt.Errorf("lookup: %w", err)
	}
	if list == nil {
		return provider.Found{}, errors.New("lookup: the answer is no list")
	}
	if len(list) == 0 {
		return provider.Found{}, nil
	}
	// Each is asked about before one is chosen: the list may be behind, and what it calls paid may have failed beside one that paid.
	for i, tx := range list {
		if tx.Reference != t.Reference {
			continue
		}
		if status, ok := a.status(ctx, tx.TransactionID); ok {
			list[i].Status = status
		}
	}
	tx, live := choose(list, t.Reference)
	if tx.Reference == "" {
		return provider.Found{}, errors.New("lookup: the answer is about other references")
	}
	if live > 1 {
		// They may be as many payments, of which no one tells what became of the reference: that is for people.
		return provider.Found{Exists: true, Result: provider.Result{
			Class: provider.Ambiguous, Scope: provider.ScopePayment, Code: "several_transactions", ProviderID: tx.TransactionID,
			Alarm: "the provider has several transactions of one reference",
		}}, nil
	}
	f := a.found(tx)
	if f.Amount != nil && f.Amount.Currency != t.Amount.Currency {
		f.Amount = nil
	}
	return f, nil
}

// choose takes the transaction of a reference that says most: one that paid before one that may, and that before one that
// failed; live is how many are not proven to have failed.
func choose(list []transaction, reference string) (best transaction, live int) {
	for _, tx := range list {
		if tx.Reference != reference {
			continue
		}
		if rank(tx.Status) > 0 {
			live++
		}
		if best.Reference == "" || rank(tx.Status) > rank(best.Status) {
			best = tx
		}
	}
	return best, live
}

func rank(status string) int {
	switch status {
	case "SUCCESS":
		return 2
	case "FAILED", "REJECTED", "CANCELLED":
		return 0
	default:
		return 1
	}
}

// status asks for a transaction by the platform's own id, which the documentation calls the authoritative answer. Where there is
// none the search's word stands: it is the platform's, too.
func (a *Adapter) status(ctx context.Context, id string) (string, bool) {
	if id == "" {
		return "", false
	}
	body, err := a.get(ctx, "/api/eWallet/v1/transactions/"+url.PathEscape(id)+"/status")
	if err != nil {
		return "", false
	}
	var answer struct {
		Status string `json:"status"`
	}
	if err := whole(body, &answer); err != nil {
		return "", false
	}
	return answer.Status, answer.Status != ""
}

// get returns the body of a good answer.
func (a *Adapter) get(ctx context.Context, path string) ([]byte, error) {
	reply, err := a.call(ctx, provider.Request{Method: http.MethodGet, URL: path})
	if err != nil {
		return nil, err
	}
	if err := a.stepFailed(reply); err != nil {
		return nil, err
	}
	return reply.Body, nil
}
