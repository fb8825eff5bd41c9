package wave

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
)

// codes are the documented error codes, as an error's code and as a failed payout's, and what they say about a payment. They
// are matched by name: which HTTP status some of them come with is not documented.
var codes = map[string]provider.Result{
	"insufficient-funds": {Class: provider.RejectedRetryable, Scope: provider.ScopeFloat, Code: provider.CodeFloat},

	// The recipient's. A limit is lifted by time, and the next run tries again.
	"recipient-limit-exceeded":   {Class: provider.RejectedFinal, Scope: provider.ScopePayee, Code: "limit_exceeded"},
	"recipient-minor":            {Class: provider.RejectedFinal, Scope: provider.ScopePayee, Code: "payee_minor"},
	"recipient-account-blocked":  {Class: provider.RejectedFinal, Scope: provider.ScopePayee, Code: "payee_blocked"},
	"recipient-account-inactive": {Class: provider.RejectedFinal, Scope: provider.ScopePayee, Code: "payee_inactive"},
	"country-mismatch":           {Class: provider.RejectedFinal, Scope: provider.ScopePayee, Code: "country_mismatch"},

	// Ours. The first are true of every payment, so the connector stops; the request errors may be of a single one.
	"missing-auth-header":            stop("credentials_refused"),
	"invalid-auth":                   stop("credentials_refused"),
	"api-key-not-provided":           stop("credentials_refused"),
	"no-matching-api-key":            stop("credentials_refused"),
	"api-key-revoked":                stop("credentials_refused"),
	"invalid-wallet":                 stop("wallet_refused"),
	"disabled-wallet":                stop("wallet_refused"),
	"currency-mismatch":              stop("currency_mismatch"),
	"aggregated-merchant-required":   stop("aggregated_merchant"),
	"invalid-aggregated-merchant-id": stop("aggregated_merchant"),
	"request-not-json":               malformed,
	"request-parsing-error":          malformed,
	"request-validation-error":       malformed,

	// It is another request's key: what became of that one, a lookup tells.
	"idempotency-mismatch": {
		Class: provider.Ambiguous, Scope: provider.ScopePayment, Code: "idempotency_mismatch",
		Alarm: "the reference was used for a payout with other content",
	},
	"too-many-requests": {Class: provider.NotSent, Code: provider.CodeRateLimited, SlowDown: true},
}

var malformed = provider.Result{
	Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "request_refused", Alarm: "the provider does not understand our request",
}

func stop(code string) provider.Result {
	return provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopeProvider, Code: code, Stop: true}
}

// problemCode is the code of an error body, in either of the two names that the documentation gives it.
func problemCode(body []byte) string {
	var p struct {
		Code      string `json:"code"`
		ErrorCode string `json:"error_code"`
	}
	if json.Unmarshal(body, &p) != nil {
		return ""
	}
	if p.Code != "" {
		return p.Code
	}
	return p.ErrorCode
}

// refused reads an error answer; ok is false for what is none. Codes decide, but not those of server errors and time-outs:
// after one of these a payout may exist, whatever the body says.
func (a *Adapter) refused(reply provider.Reply) (res provider.Result, ok bool) {
	definite := reply.Err == nil && reply.Status >= 400 && reply.Status < 500 && reply.Status != http.StatusRequestTimeout
	if definite {
		code := problemCode(reply.Body)
		if res, ok := codes[code]; ok {
			res.ProviderCode = "http " + strconv.Itoa(reply.Status) + " " + code
			if res.SlowDown {
				res.RetryAfter = reply.RetryAfter(a.clock.Now())
			}
			return res, true
		}
	}
	if res, ok = reply.Unanswered(a.clock.Now()); ok && definite {
		res.ProviderCode = res.ProviderCode + " " + a.word(problemCode(reply.Body))
		if reply.Status == http.StatusUnauthorized || reply.Status == http.StatusForbidden {
			// Something before Wave, or a code that is new: whether a payment got through is not said, but the next would fare likewise.
			res.Scope, res.Code, res.Stop = provider.ScopeProvider, "access_refused", true
		}
	}
	return res, ok
}

// classify reads the answer to a payout.
func (a *Adapter) classify(reply provider.Reply, t provider.Transfer) provider.Result {
	if res, failed := a.refused(reply); failed {
		return res
	}
	p, err := parsePayout(reply.Body)
	if err != nil {
		return provider.Result{Class: provider.Ambiguous, Scope: provider.ScopeProvider, Code: provider.CodeUnreadable, ProviderCode: "http " + strconv.Itoa(reply.Status)}
	}
	if !p.is(t) {
		return provider.Result{Class: provider.Ambiguous, Scope: provider.ScopeProvider, Code: "answer_of_another", Alarm: "the answer is about another payout"}
	}
	return a.result(p)
}

// result is what a payout's state means for the payment.
func (a *Adapter) result(p payout) provider.Result {
	res := provider.Result{ProviderID: p.ID}
	switch {
	case p.Status == "failed":
		return a.failed(res, p)
	case p.Error.code() != "" && p.Status != "processing":
		res.Class, res.Scope, res.Code, res.ProviderCode = provider.Ambiguous, provider.ScopePayment, "contradiction", a.word(p.Status)+" "+a.word(p.Error.code())
		res.Alarm = "a payout that did not fail has an error"
	case p.Status == "succeeded":
		res.Class = provider.Succeeded
		if fee, err := p.fee(); err == nil {
			res.Fee = &fee
		}
	case p.Status == "processing":
		res.Class, res.Code = provider.Accepted, "pending"
	case p.Status == "reversed":
		// It was paid and came back, with its fee: nothing of it is left with the payee.
		res.Class, res.Scope, res.Code, res.ProviderCode = provider.RejectedFinal, provider.ScopePayment, provider.CodeReversed, p.Status
		res.Fee = &money.Amount{Currency: money.Currency(p.Currency)}
		res.Alarm = "the payout was reversed at the provider"
	default:
		// A word we do not know is never success and never failure.
		res.Class, res.Code, res.ProviderCode = provider.Accepted, "unknown_status", a.word(p.Status)
		res.Alarm = "unknown status " + res.ProviderCode
	}
	return res
}

// failed is a payout that Wave says has failed: that is definite whatever the reason, and only a reason that is documented
// says more.
func (a *Adapter) failed(res provider.Result, p payout) provider.Result {
	code := p.Error.code()
	known, ok := codes[code]
	if ok && (known.Class == provider.RejectedFinal || known.Class == provider.RejectedRetryable) {
		known.ProviderID, known.ProviderCode = res.ProviderID, code
		return known
	}
	res.Class, res.Scope, res.Code, res.ProviderCode = provider.RejectedFinal, provider.ScopePayment, "failed", a.word(code)
	res.Alarm = "a payout failed for a reason that is not documented: " + res.ProviderCode
	return res
}
