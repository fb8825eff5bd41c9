package orangeomr

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/agogopay/agogo/internal/provider"
)

// Codes of the group platform's error body.
const (
	codeExpired  = 42
	codeQuota    = 53
	codeNotFound = 60
)

// codeIdentical is Agogo's word for "Transaction identique.".
const codeIdentical = "identical_transaction"

type problem struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func problemOf(r provider.Reply) problem {
	var p problem
	if json.Unmarshal(r.Body, &p) != nil {
		return problem{}
	}
	return p
}

func expired(r provider.Reply) bool {
	return r.Err == nil && r.Status == http.StatusUnauthorized && problemOf(r).Code == codeExpired
}

// refusedAccess recognises refusals of us rather than of a payment: wrong credentials, no subscription, service not
// activated. Asking again changes nothing, so the connector stops until people have mended it.
func refusedAccess(r provider.Reply) (provider.Result, bool) {
	switch {
	case r.Err != nil:
		return provider.Result{}, false
	case r.Status != http.StatusUnauthorized && r.Status != http.StatusForbidden && r.Status != http.StatusNotFound:
		return provider.Result{}, false // before its body is read for a problem that it does not hold
	}
	p := problemOf(r)
	res := provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopeProvider, Stop: true, ProviderCode: "http " + strconv.Itoa(r.Status) + " code " + strconv.Itoa(p.Code)}
	switch {
	case r.Status == http.StatusForbidden && p.Code == codeQuota:
		return provider.Result{Class: provider.NotSent, Code: provider.CodeRateLimited, ProviderCode: res.ProviderCode, SlowDown: true}, true
	case r.Status == http.StatusUnauthorized:
		res.Code = "credentials_refused"
	case r.Status == http.StatusForbidden:
		res.Code = "not_subscribed"
	case r.Status == http.StatusNotFound && p.Code == codeNotFound:
		res.Code = "service_not_activated"
	default:
		return provider.Result{}, false
	}
	return res, true
}

// classify reads the answer to a cash-in.
func (a *Adapter) classify(reply provider.Reply, t provider.Transfer) provider.Result {
	if res, refused := refusedAccess(reply); refused {
		if res.Stop && problemOf(reply).Code == 0 { // not in the platform's words: something in between, after a payment perhaps
			res.Class = provider.Ambiguous
		}
		return res
	}
	if res, failed := reply.Unanswered(a.clock.Now()); failed {
		return res
	}
	tx, err := parseTransaction(reply.Body)
	if err != nil || tx.Status == "" {
		return provider.Result{Class: provider.Ambiguous, Scope: provider.ScopeProvider, Code: provider.CodeUnreadable, ProviderCode: "http " + strconv.Itoa(reply.Status)}
	}
	if tx.TransactionID != "" && tx.TransactionID != t.Reference {
		return provider.Result{Class: provider.Ambiguous, Scope: provider.ScopeProvider, Code: "answer_of_another", Alarm: "the answer names another transaction"}
	}
	return a.result(tx, t)
}

// result is what a transaction's state means for the payment.
func (a *Adapter) result(tx transaction, t provider.Transfer) provider.Result {
	res := provider.Result{ProviderID: tx.providerID()}
	switch a.meaning(tx.Status) {
	case "SUCCESS":
		res.Class = provider.Succeeded
	case "PENDING":
		res.Class, res.Code = provider.Accepted, "pending"
	case "FAILED":
		return a.failed(res, tx, t)
	default:
		// A word we do not know is never success and never failure.
		res.Class, res.Code, res.ProviderCode = provider.Accepted, "unknown_status", a.word(tx.Status)
		res.Alarm = "unknown status " + res.ProviderCode
	}
	return res
}

// meaning is the documented status that a word of the contract stands for, or the word itself. What is documented stands.
func (a *Adapter) meaning(status string) string {
	switch status {
	case "SUCCESS", "PENDING", "FAILED":
		return status
	}
	switch a.cfg.Statuses[status] {
	case "succeeded":
		return "SUCCESS"
	case "pending":
		return "PENDING"
	case "failed":
		return "FAILED"
	default:
		return status
	}
}

// failed tells the documented kinds of failure apart. There is no public catalogue of messages; those that no contract
// names are final for this transaction, whose payments then wait for the next run. No message goes on as it stands, for it may name
// a person.
func (a *Adapter) failed(res provider.Result, tx transaction, t provider.Transfer) provider.Result {
	res.Class, res.Scope, res.Code, res.ProviderCode = provider.RejectedFinal, provider.ScopePayment, "failed", tx.Status
	message := strings.ToLower(tx.Message)
	identical := strings.Contains(message, "transaction identique")
	if identical {
		res.ProviderCode = "Transaction identique."
	}
	switch {
	case identical && t.Resend:
		// It may be our own first call that this one equals.
		res.Class, res.Code, res.Alarm = provider.Ambiguous, "identical_to_own", "refused as identical after our own resend"
	case identical:
		res.Class, res.Code = provider.RejectedRetryable, codeIdentical
	case strings.Contains(message, "solde insuffisant"), strings.Contains(message, "insufficient balance"):
		res.Class, res.Scope, res.Code = provider.RejectedRetryable, provider.ScopeFloat, "insufficient_float"
		res.ProviderCode = "Solde insuffisant."
	}
	return res
}

// word is a code or status word of theirs as it may go on: never free text.
func (a *Adapter) word(text string) string {
	return provider.Word(text, a.cfg.ClientID, a.cfg.ClientSecret, a.cfg.PosID, a.cfg.CallbackAuthorization)
}

// transaction is a cash-in in either of the two shapes that are in use.
type transaction struct {
	details
	Status  string
	Message string
}

type details struct {
	TransactionID string      `json:"transactionId"`
	PeerID        string      `json:"peerId"`
	Amount        json.Number `json:"amount"`
	Currency      string      `json:"currency"`
	TxnID         string      `json:"txnId"`     // nested shape
	Reference     string      `json:"reference"` // flat shape
}

func (d details) providerID() string {
	if d.TxnID != "" {
		return d.TxnID
	}
	return d.Reference
}

// parseTransaction accepts the nested and the flat shape.
func parseTransaction(body []byte) (transaction, error) {
	var answer struct {
		details
		Status  string   `json:"status"`
		Message string   `json:"message"`
		Data    *details `json:"transactionData"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&answer); err != nil {
		return transaction{}, errors.New("the body is no JSON object of the documented fields")
	}
	if d.More() {
		return transaction{}, errors.New("something follows the JSON object")
	}
	tx := transaction{details: answer.details, Status: answer.Status, Message: answer.Message}
	if answer.Data != nil {
		tx.details = *answer.Data
	}
	return tx, nil
}

// trimZeros turns 10.0 into 10: some servers write whole amounts with a fraction.
func trimZeros(n string) string {
	if whole, fraction, ok := strings.Cut(n, "."); ok && strings.Trim(fraction, "0") == "" {
		return whole
	}
	return n
}
