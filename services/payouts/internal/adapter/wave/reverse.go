package wave

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/agogopay/agogo/internal/provider"
)

// reversals are the documented refusals of a reversal. insufficient-funds is the recipient's here, not ours.
var reversals = map[string]provider.Result{
	"insufficient-funds":                  {Class: provider.RejectedRetryable, Scope: provider.ScopePayee, Code: "payee_has_too_little"},
	"payout-reversal-time-limit-exceeded": {Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "reversal_too_late"},
	"payout-reversal-account-terminated":  {Class: provider.RejectedFinal, Scope: provider.ScopePayee, Code: "payee_gone"},
	"not-found":                           {Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "not_found", Alarm: "the provider does not know a payout that is to be reversed"},
}

// Reverse takes a payout of the last three days back, with its fee. Wave does so once however often it is asked, so an
// ambiguous answer is settled by asking again.
func (a *Adapter) Reverse(ctx context.Context, _ provider.Transfer, providerID string) provider.Result {
	reply := a.call(ctx, http.MethodPost, "/v1/payout/"+url.PathEscape(providerID)+"/reverse", nil, nil)
	if reply.Err == nil && reply.Status >= 400 && reply.Status < 500 {
		code := problemCode(reply.Body)
		if res, ok := reversals[code]; ok {
			res.ProviderID, res.ProviderCode = providerID, "http "+strconv.Itoa(reply.Status)+" "+code
			return res
		}
	}
	if res, failed := a.refused(reply); failed {
		res.ProviderID = providerID
		return res
	}
	if reply.Status != http.StatusOK {
		return provider.Result{
			Class: provider.Ambiguous, Scope: provider.ScopeProvider, Code: provider.CodeUnrecognised, ProviderID: providerID,
			ProviderCode: "http " + strconv.Itoa(reply.Status),
		}
	}
	return provider.Result{Class: provider.Succeeded, ProviderID: providerID}
}
