package cielo

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/recurrences/internal/abecs"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
)

// Cielo's statuses of a transaction.
const (
	notFinished = 0
	authorized  = 1 // the card's limit is reserved, nothing is charged
	confirmed   = 2
	denied      = 3
	voided      = 10
	refunded    = 11
	pending     = 12
	aborted     = 13
	scheduled   = 20
)

// Agogo's words of this gateway, beside those of package abecs.
const (
	codeChargeback = "chargeback"
	codeTimeout    = "issuer_timeout"
)

// classify reads the answer to a sale. The status decides, not the HTTP status: a declined card is 201 as well.
func (a *Adapter) classify(reply provider.Reply, t provider.Transfer, brand abecs.Brand) provider.Result {
	if res, refused := refusedUs(reply); refused {
		return res
	}
	if res, refused := refusedContent(reply); refused {
		return res
	}
	if res, failed := reply.Unanswered(a.clock.Now()); failed {
		return res
	}
	tx, err := parseTransaction(reply.Body)
	doubt := provider.Result{Class: provider.Ambiguous, Scope: provider.ScopeProvider, ProviderCode: httpCode(reply)}
	switch {
	case err != nil:
		doubt.Code = provider.CodeUnreadable
		return doubt
	case tx.Order != t.Reference:
		doubt.Code, doubt.Alarm = "answer_of_another", "the answer names another order"
		return doubt
	case tx.Amount != t.Amount.Minor && tx.Status != denied:
		doubt.Code, doubt.Alarm, doubt.ProviderID = "amount_differs", "the answer has another amount", tx.ID
		return doubt
	case tx.Status == denied && timedOut(tx.Code):
		// The documentation says of these that the card may have been charged, and to ask before anything else.
		return provider.Result{Class: provider.Ambiguous, Scope: provider.ScopePayment, Code: codeTimeout, ProviderCode: fit(tx.Code), ProviderID: tx.ID}
	}
	return result(tx, brand)
}

// timedOut are return codes of a denial that say only that the issuer did not answer.
func timedOut(code string) bool {
	return slices.Contains([]string{"98", "99"}, abecs.Normal(code))
}

// refusedUs recognises refusals of the merchant rather than of a card: nothing was looked at, and asking again changes
// nothing, so the connector stops until people have mended it.
func refusedUs(r provider.Reply) (provider.Result, bool) {
	if r.Err != nil {
		return provider.Result{}, false
	}
	res := provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopeProvider, Stop: true, ProviderCode: httpCode(r)}
	switch r.Status {
	case http.StatusUnauthorized:
		res.Code = "credentials_refused"
	case http.StatusForbidden:
		res.Code = "address_refused"
	case http.StatusBadRequest:
		codes := parseProblems(r.Body)
		i := slices.IndexFunc(codes, func(code string) bool {
			// The merchant id has no GUID's form, is unknown, is blocked; our address is not allowed; the key is missing, is wrong.
			return slices.Contains([]string{"114", "115", "116", "120", "131", "132"}, code)
		})
		if i < 0 {
			return provider.Result{}, false
		}
		res.Code, res.ProviderCode = "merchant_refused", httpCode(r)+" code "+codes[i]
	default:
		return provider.Result{}, false
	}
	return res, true
}

// cardCodes are the errors of content, in Cielo's list of API errors, that are about the card's data: what a token stands for.
func cardCodes() []string { return []string{"117", "118", "124", "125", "126", "127", "128", "130"} }

// refusedContent recognises a request that the gateway found wrong before it did anything: no issuer has seen it, so it says
// nothing against the card. Where it is about the card's data another card is needed; all else is our mistake, and the same would
// be refused again until people have mended it.
func refusedContent(r provider.Reply) (provider.Result, bool) {
	if r.Err != nil || r.Status != http.StatusBadRequest {
		return provider.Result{}, false
	}
	codes := parseProblems(r.Body)
	if len(codes) == 0 {
		return provider.Result{}, false
	}
	theirs := httpCode(r) + " code " + fit(codes[0])
	if !slices.ContainsFunc(codes, func(code string) bool { return !slices.Contains(cardCodes(), code) }) {
		return provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: charge.CodeCardRefused, ProviderCode: theirs}, true
	}
	return provider.Result{
		Class: provider.RejectedFinal, Scope: provider.ScopeProvider, Code: "invalid_request", ProviderCode: theirs,
		Alarm: "the gateway finds the request wrong: " + theirs,
	}, true
}

// result is what a transaction's status means for the charge.
func result(tx transaction, brand abecs.Brand) provider.Result {
	res := provider.Result{ProviderID: tx.ID}
	switch tx.Status {
	case confirmed:
		res.Class = provider.Succeeded
		if tx.Dispute.odd {
			res.Code, res.Alarm = codeChargeback, "the card holder disputes the charge, and not in the documented words: look in the gateway's portal"
		}
	case denied:
		return declined(tx, brand)
	case pending, notFinished:
		res.Class, res.Code = provider.Accepted, "pending"
	case authorized:
		// A capture would be a second step that moves money, with doubts of its own; it was asked for with the sale. People
		// capture or void it, or it lapses, and the lookups tell.
		res.Class, res.Code, res.Alarm = provider.Accepted, "authorized_only", "authorised and not captured, although capture was asked for"
	case aborted:
		res.Class, res.Scope, res.Code = provider.RejectedRetryable, provider.ScopePayment, charge.CodeAborted
	case voided:
		res.Class, res.Scope, res.Code, res.Alarm = provider.RejectedFinal, provider.ScopePayment, charge.CodeVoided, "voided at the gateway"
	case refunded:
		res.Class, res.Scope, res.Code, res.Alarm = provider.RejectedFinal, provider.ScopePayment, charge.CodeRefunded, "refunded at the gateway"
	case scheduled:
		res.Class, res.Code, res.Alarm = provider.Accepted, "scheduled", "scheduled, although it was to be charged at once"
	default:
		// A status that we do not know is never success and never failure.
		res.Class, res.Code, res.ProviderCode = provider.Accepted, "unknown_status", "status "+strconv.FormatInt(tx.Status, 10)
		res.Alarm = "unknown " + res.ProviderCode
	}
	return res
}

// declined puts a decline into Agogo's words.
func declined(tx transaction, brand abecs.Brand) provider.Result {
	d := abecs.Classify(brand, tx.Code, tx.Advice)
	res := provider.Result{
		Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: d.Word, ProviderID: tx.ID, ProviderCode: fit(abecs.Normal(tx.Code)),
		Forbidden: d.Forbidden, RetryAfter: d.After,
	}
	switch {
	case d.Merchant:
		res.Class, res.Scope, res.Stop = provider.RejectedRetryable, provider.ScopeProvider, true
	case d.Class == abecs.Soft:
		res.Class = provider.RejectedRetryable
	case d.Class == abecs.Action:
		res.Code = provider.CodeRequiresAction
	case d.CardInvalid:
		res.Scope = provider.ScopeCard
	}
	if d.Word == "invalid_merchant" || !d.Known {
		res.Alarm = "declined as " + d.Word + " with code " + res.ProviderCode
	}
	return res
}

// code is what return codes look like. Anything else could be anything: a card's token, our key.
var code = regexp.MustCompile(`^[0-9A-Za-z]{1,8}$`)

// fit makes a code of the gateway fit for logs, events and screens.
func fit(s string) string {
	if s == "" || code.MatchString(s) {
		return s
	}
	return "…"
}

func httpCode(r provider.Reply) string { return "http " + strconv.Itoa(r.Status) }

func asFailure(err error) (*provider.Failure, bool) {
	var f *provider.Failure
	ok := errors.As(err, &f)
	return f, ok
}
