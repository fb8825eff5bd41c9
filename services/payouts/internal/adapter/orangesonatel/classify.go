package orangesonatel

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
)

// Codes of the platform that are not only classified.
const (
	codeCredentials = "10"
	codeKeyRevoked  = "4003"
)

// problem is an error body, application/problem+json. Its status and code are texts.
type problem struct {
	Code   text   `json:"code"`
	Detail string `json:"detail"`
	Error  string `json:"error"` // of the platform's OAuth front
}

// text is a string that some servers write as a number.
type text string

// UnmarshalJSON accepts "2011" and 2011.
func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*t = text(s)
		return nil
	}
	var n json.Number
	if err := json.Unmarshal(b, &n); err != nil {
		return errors.New("neither a text nor a number")
	}
	*t = text(n.String())
	return nil
}

// codeOf is the code of a whole error answer, "" where there is none.
func codeOf(r provider.Reply) string {
	var p problem
	if r.Err != nil || r.Status < 400 || json.Unmarshal(r.Body, &p) != nil {
		return ""
	}
	return string(p.Code)
}

func keyRevoked(r provider.Reply) bool { return codeOf(r) == codeKeyRevoked }

// tokenRefused recognises a token that is not taken (any more). To a question every 401 counts but one that names something else.
// To what moves money or uses the PIN only one that names the credentials: any other may come from something in between, after
// the platform has done it.
func tokenRefused(method string, r provider.Reply) bool {
	if r.Err != nil || r.Status != http.StatusUnauthorized {
		return false
	}
	var p problem
	readable := json.Unmarshal(r.Body, &p) == nil
	named := readable && (p.Code == codeCredentials || p.Code == "" && p.Error == "invalid_token")
	return named || method == http.MethodGet && (!readable || p.Code == "")
}

type meaning struct {
	class provider.Class
	scope provider.Scope
	code  string
	stop  bool
	alarm string
}

// meanings is the platform's table of errors. Each of them says that the payment was looked at and refused, whatever 4xx it comes
// with but 408. 50 (internal) is not among them: that is a doubt, like every code that is not here.
var meanings = map[string]meaning{
	"10":   {provider.RejectedRetryable, provider.ScopeProvider, "credentials_refused", true, ""},
	"60":   {provider.RejectedRetryable, provider.ScopeProvider, "not_found_or_not_configured", true, ""},
	"2000": {provider.RejectedFinal, provider.ScopePayee, "no_account", false, ""},
	"2001": {provider.RejectedFinal, provider.ScopePayee, "wallet_number_invalid", false, ""},
	"2010": {provider.RejectedRetryable, provider.ScopeProvider, "pin_must_change", true, ""},
	"2011": {provider.RejectedRetryable, provider.ScopeProvider, "pin_wrong", true, "wrong PIN, two tries left"},
	"2012": {provider.RejectedRetryable, provider.ScopeProvider, "pin_wrong", true, "wrong PIN, one try left"},
	"2013": {provider.RejectedRetryable, provider.ScopeProvider, "pin_blocked", true, "wrong PIN, the account is blocked"},
	"2020": {provider.RejectedRetryable, provider.ScopeFloat, provider.CodeFloat, false, ""},
	"2021": {provider.RejectedRetryable, provider.ScopeFloat, provider.CodeFloat, false, ""},
	"2022": {provider.RejectedFinal, provider.ScopePayee, "payee_balance", false, ""},
	"2023": {provider.RejectedRetryable, provider.ScopePayment, "account_ceiling", false, ""},
	"2024": {provider.RejectedRetryable, provider.ScopeFloat, "partner_ceiling", false, ""},
	"2025": {provider.RejectedRetryable, provider.ScopePayee, "payee_ceiling", false, ""},
	"2041": {provider.RejectedFinal, provider.ScopePayment, "not_allowed", false, ""},
	"2042": {provider.RejectedRetryable, provider.ScopeProvider, "partner_not_allowed", true, ""},
	"2043": {provider.RejectedFinal, provider.ScopePayee, "payee_not_allowed", false, ""},
	"4003": {provider.RejectedRetryable, provider.ScopeProvider, "key_revoked", true, ""},
	"4004": {provider.RejectedFinal, provider.ScopePayment, "qr_code_expired", false, ""},
	"4099": {provider.RejectedFinal, provider.ScopePayment, "bad_request", false, "the provider calls our request a bad one"},
}

// beforePayment says whether a code is of what is looked at before any payment: the key and the PIN. Only these are believed when
// a server gave up (408, 5xx), after which a payment may exist whatever the body says.
func beforePayment(code string) bool {
	switch code {
	case codeKeyRevoked, "2010", "2011", "2012", "2013":
		return true
	default:
		return false
	}
}

// refused reads an error that the table names.
func refused(r provider.Reply) (provider.Result, bool) {
	code := codeOf(r)
	if (r.Status == http.StatusRequestTimeout || r.Status >= 500) && !beforePayment(code) {
		return provider.Result{}, false
	}
	m, ok := meanings[code]
	if !ok && tokenRefused(http.MethodPost, r) {
		m, ok = meanings[codeCredentials], true
	}
	if !ok {
		return provider.Result{}, false
	}
	said := "http " + strconv.Itoa(r.Status)
	if code != "" {
		said += " code " + code
	}
	return provider.Result{Class: m.class, Scope: m.scope, Code: m.code, ProviderCode: said, Stop: m.stop, Alarm: m.alarm}, true
}

// classify reads the answer to a cash-in.
func (a *Adapter) classify(reply provider.Reply, t provider.Transfer) provider.Result {
	if reply.Status == http.StatusTooManyRequests { // whatever its body says
		res, _ := reply.Unanswered(a.clock.Now())
		return res
	}
	if res, ok := refused(reply); ok {
		return res
	}
	if res, failed := reply.Unanswered(a.clock.Now()); failed {
		if reply.Err == nil && reply.Status == http.StatusUnauthorized { // repeated, it would be as unclear again
			res.Scope, res.Stop = provider.ScopeProvider, true
		}
		return res
	}
	tx, err := parseTransaction(reply.Body)
	if err != nil || tx.Status == "" {
		return provider.Result{Class: provider.Ambiguous, Scope: provider.ScopeProvider, Code: provider.CodeUnreadable, ProviderCode: "http " + strconv.Itoa(reply.Status)}
	}
	if tx.Reference != "" && tx.Reference != t.Reference {
		return provider.Result{Class: provider.Ambiguous, Scope: provider.ScopeProvider, Code: "answer_of_another", Alarm: "the answer names another reference"}
	}
	return a.result(tx)
}

// result is what a transaction's status means for the payment. Why one failed is only said in words, of which no list is known.
func (a *Adapter) result(tx transaction) provider.Result {
	res := provider.Result{ProviderID: tx.TransactionID}
	switch tx.Status {
	case "SUCCESS":
		res.Class = provider.Succeeded
	case "PRE_INITIATED", "INITIATED", "ACCEPTED", "PENDING":
		res.Class, res.Code = provider.Accepted, "pending"
	case "FAILED", "REJECTED", "CANCELLED":
		res.Class, res.Scope, res.Code = provider.RejectedFinal, provider.ScopePayment, "failed"
		res.ProviderCode = tx.Status // not its description, which may name a person
	default:
		// A word we do not know is never success and never failure.
		res.Class, res.Code, res.ProviderCode = provider.Accepted, "unknown_status", a.word(tx.Status)
		res.Alarm = "unknown status " + res.ProviderCode
	}
	return res
}

// word is a code or status word of theirs as it may go on: never free text.
func (a *Adapter) word(words string) string {
	return provider.Word(words, a.cfg.ClientID, a.cfg.ClientSecret, a.cfg.PIN, a.cfg.RetailerNumber, a.cfg.CallbackKey, a.cfg.CallbackSecret)
}

// transaction is a cash-in as it stands in answers, searches and callbacks.
type transaction struct {
	TransactionID string `json:"transactionId"`
	Reference     string `json:"reference"`
	Status        string `json:"status"`
	Amount        *sum   `json:"amount"`
	Customer      party  `json:"customer"`
}

// paid is the amount of a transaction, where it says one that can be read exactly.
func (tx transaction) paid() *money.Amount {
	if tx.Amount == nil {
		return nil
	}
	amount, err := parseSum(*tx.Amount)
	if err != nil {
		return nil
	}
	return &amount
}

// found is what a transaction says of its reference.
func (a *Adapter) found(tx transaction) provider.Found {
	return provider.Found{Exists: true, Result: a.result(tx), Amount: tx.paid(), Destination: tx.Customer.ID}
}
