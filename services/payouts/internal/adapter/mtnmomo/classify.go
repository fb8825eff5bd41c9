package mtnmomo

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/agogopay/agogo/internal/provider"
)

// Codes that are about a reference or about us rather than about a transfer.
const (
	codeExists    = "RESOURCE_ALREADY_EXIST"
	codeNotFound  = "RESOURCE_NOT_FOUND"
	codeForbidden = "FORBIDDEN_IP" // the one 403 that MTN documents: an address that may not call
)

// meaning is what a code of MTN's says about the money, which did not move.
type meaning struct {
	class provider.Class
	scope provider.Scope
	code  string
	stop  bool
}

// ours are mistakes of ours, in every transfer alike: people mend them before anything goes on.
func ours(code string) meaning {
	return meaning{provider.RejectedRetryable, provider.ScopeProvider, code, true}
}

func float(code string) meaning {
	return meaning{provider.RejectedRetryable, provider.ScopeFloat, code, false}
}

func payee(code string) meaning {
	return meaning{provider.RejectedFinal, provider.ScopePayee, code, false}
}

func payment(class provider.Class, code string) meaning {
	return meaning{class, provider.ScopePayment, code, false}
}

// refusals are the codes with which a transfer is refused instead of accepted (HTTP 400 or 500): it does not exist. What is not
// listed here is not known to have been refused: INTERNAL_PROCESSING_ERROR and SERVICE_UNAVAILABLE above all.
var refusals = map[string]meaning{
	"PAYEE_NOT_FOUND":                payee("payee_not_found"),
	"NOT_ENOUGH_FUNDS":               float("insufficient_float"),
	"PAYER_LIMIT_REACHED":            float("payer_limit_reached"),
	"NOT_ALLOWED":                    ours("not_allowed"), // the API user lacks the permission
	"NOT_ALLOWED_TARGET_ENVIRONMENT": ours("target_environment_refused"),
	"INVALID_CALLBACK_URL_HOST":      ours("callback_host_refused"),
	"INVALID_CURRENCY":               ours("currency_refused"),
}

// reasons are why an accepted transfer is FAILED, which is final by MTN's word. A reason that is not listed is final for this
// transfer, whose payments then wait for the next run.
var reasons = map[string]meaning{
	"PAYEE_NOT_FOUND":                payee("payee_not_found"),
	"PAYEE_NOT_ALLOWED_TO_RECEIVE":   payee("payee_not_allowed"),
	"PAYER_NOT_FOUND":                ours("payer_not_found"),
	"NOT_ALLOWED":                    payment(provider.RejectedFinal, "not_allowed"), // a transfer was accepted, so the API user is allowed
	"NOT_ALLOWED_TARGET_ENVIRONMENT": ours("target_environment_refused"),
	"INVALID_CALLBACK_URL_HOST":      ours("callback_host_refused"),
	"INVALID_CURRENCY":               ours("currency_refused"),
	"SERVICE_UNAVAILABLE":            payment(provider.RejectedRetryable, "service_unavailable"),
	"INTERNAL_PROCESSING_ERROR":      payment(provider.RejectedRetryable, "internal_processing_error"), // lack of float too, at times
	"COULD_NOT_PERFORM_TRANSACTION":  payment(provider.RejectedRetryable, "could_not_perform"),
	"EXPIRED":                        payment(provider.RejectedRetryable, "expired"),
	"NOT_ENOUGH_FUNDS":               float("insufficient_float"),
	"PAYER_LIMIT_REACHED":            float("payer_limit_reached"),
	"PAYMENT_NOT_APPROVED":           payment(provider.RejectedFinal, "not_approved"),
	"APPROVAL_REJECTED":              payment(provider.RejectedFinal, "approval_rejected"),
	"TRANSACTION_CANCELED":           payment(provider.RejectedFinal, "cancelled"),
	codeNotFound:                     payment(provider.RejectedFinal, "failed"),
	codeExists:                       payment(provider.Ambiguous, "already_exists"), // proves that a transfer exists, never that none was made
}

func (m meaning) result(providerCode string) provider.Result {
	return provider.Result{Class: m.class, Scope: m.scope, Code: m.code, ProviderCode: providerCode, Stop: m.stop}
}

// problem is an error body: of the platform {code, message}, of the gateway before it {statusCode, message}.
type problem struct {
	StatusCode text `json:"statusCode"`
	Code       text `json:"code"`
	Message    text `json:"message"`
}

// word keeps codes apart from what people wrote into their place.
var word = regexp.MustCompile(`^[A-Z0-9_]{1,64}$`)

// codeOf is the platform's code, or "".
func codeOf(r provider.Reply) string {
	var p problem
	if r.Err != nil || json.Unmarshal(r.Body, &p) != nil || !word.MatchString(string(p.Code)) {
		return ""
	}
	return string(p.Code)
}

func exists(r provider.Reply) bool {
	return r.Err == nil && r.Status == http.StatusConflict && codeOf(r) == codeExists
}

func notFound(r provider.Reply) bool {
	return r.Err == nil && r.Status == http.StatusNotFound && codeOf(r) == codeNotFound
}

// unauthorised recognises MTN's own 401, of the gateway or the platform, which comes before a request is looked at. A 401 in other
// words may be of something in between, and then says nothing about what MTN did.
func unauthorised(r provider.Reply) bool {
	var p problem
	if r.Err != nil || r.Status != http.StatusUnauthorized || json.Unmarshal(r.Body, &p) != nil {
		return false
	}
	return p.Message != "" && (p.StatusCode == "" || string(p.StatusCode) == strconv.Itoa(http.StatusUnauthorized))
}

// refusedTransfer is refusedAccess for a transfer, of which a refusal counts only in MTN's own words: whatever stands between may
// make a 403 of an acceptance. Otherwise the transfer is a doubt, and the connector stops, for the next would fare likewise.
func refusedTransfer(r provider.Reply) (provider.Result, bool) {
	res, refused := refusedAccess(r)
	if refused && !unauthorised(r) && (r.Status != http.StatusForbidden || codeOf(r) != codeForbidden) {
		res.Class = provider.Ambiguous
	}
	return res, refused
}

// refusedAccess recognises refusals of us rather than of a payment: wrong credentials, an address that may not call. Asking again
// changes nothing, so the connector stops until people have mended it.
func refusedAccess(r provider.Reply) (provider.Result, bool) {
	switch {
	case r.Err != nil:
		return provider.Result{}, false
	case r.Status == http.StatusUnauthorized:
		return ours("credentials_refused").result(httpCode(r)), true
	case r.Status == http.StatusForbidden:
		return ours("access_forbidden").result(httpCode(r)), true
	default:
		return provider.Result{}, false
	}
}

// classify reads the answer to a transfer. Only 202 without a body is the documented one.
func (a *Adapter) classify(reply provider.Reply) provider.Result {
	if res, refused := refusedTransfer(reply); refused {
		return res
	}
	code := codeOf(reply)
	if reply.Status == http.StatusBadRequest || reply.Status == http.StatusInternalServerError {
		if m, ok := refusals[code]; ok {
			return m.result(httpCode(reply))
		}
	}
	res, failed := reply.Unanswered(a.clock.Now())
	switch {
	case failed:
		if code != "" {
			res.ProviderCode = httpCode(reply)
		}
		if reply.Err == nil && reply.Status == http.StatusBadRequest {
			res.Alarm = "MTN does not take the request as it is"
		}
		return res
	case reply.Status == http.StatusAccepted && len(bytes.TrimSpace(reply.Body)) == 0:
		return provider.Result{Class: provider.Accepted, Code: "pending"}
	default:
		return provider.Result{Class: provider.Ambiguous, Scope: provider.ScopeProvider, Code: provider.CodeUnreadable, ProviderCode: httpCode(reply)}
	}
}

// unanswered says why a question has no answer. Nothing of it concerns a payment.
func (a *Adapter) unanswered(reply provider.Reply) error {
	if res, refused := refusedAccess(reply); refused {
		return &provider.Failure{Result: res}
	}
	if res, failed := reply.Unanswered(a.clock.Now()); failed {
		if codeOf(reply) != "" {
			res.ProviderCode = httpCode(reply)
		}
		return &provider.Failure{Result: res}
	}
	return nil
}

func httpCode(r provider.Reply) string {
	return strings.TrimSpace("http " + strconv.Itoa(r.Status) + " " + codeOf(r))
}

// word is a code or status word of theirs as it may go on: never free text.
func (a *Adapter) word(s string) string {
	return provider.Word(s, a.cfg.APIUser, a.cfg.APIKey, a.cfg.SubscriptionKey, a.cfg.CallbackKey)
}
