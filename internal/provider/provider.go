// Package provider is the language between Agogo and those who move money: what a call's result means, the small
// interfaces that adapters implement, and the state that all replicas share about a connector.
package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/agogopay/agogo/internal/money"
)

// Class says what is known about the money after a call.
type Class string

// The classes (DESIGN 4).
const (
	NotSent           Class = "NOT_SENT"           // nothing reached the provider, or 429: the same reference may go again
	RejectedFinal     Class = "REJECTED_FINAL"     // proven not to have moved, and never will as it is
	RejectedRetryable Class = "REJECTED_RETRYABLE" // proven not to have moved, may succeed later
	Accepted          Class = "ACCEPTED"           // the provider has it and has not finished
	Succeeded         Class = "SUCCEEDED"          // the money moved
	Ambiguous         Class = "AMBIGUOUS"          // we do not know
)

// Scope says whom a rejection concerns.
type Scope string

// The scopes: only payee pauses a payee, only card invalidates a card, float holds the queue, provider stops or degrades
// the connector.
const (
	ScopeNone     Scope = ""
	ScopePayment  Scope = "payment"
	ScopePayee    Scope = "payee"
	ScopeCard     Scope = "card"
	ScopeFloat    Scope = "float"
	ScopeProvider Scope = "provider"
)

// CodeRequiresAction is Agogo's word for a refusal that only the payer can lift: to authenticate, or to give new card data.
const CodeRequiresAction = "requires_action"

// CodeReversed is Agogo's word for a transfer that had succeeded and came back, all of it. A Fee beside it is what the transfer
// has cost in the end.
const CodeReversed = "reversed"

// Result is an adapter's answer.
type Result struct {
	Class      Class
	Scope      Scope
	Code       string // Agogo's word: "timeout", "insufficient_float", "identical_transaction", …
	ProviderID string // the provider's id of the transfer
	// ProviderCode is the provider's own code or message, without personal data.
	ProviderCode string
	Fee          *money.Amount
	RetryAfter   time.Duration // asked for by the provider with 429 or 503, or by a card's network with a decline
	// SlowDown says that the provider asked for fewer calls, at whatever step: the connector rests. That the transfer itself was
	// answered so, and hence arrived, only the exact code CodeRateLimited says.
	SlowDown bool
	// Forbidden says that the card's network forbids to try this card again, and fines it.
	Forbidden bool
	Stop      bool   // repeating makes it worse: stop the connector for all replicas
	Alarm     string // set when people must look: an unknown status text, for instance
}

// Fault reports whether the call speaks against the connector itself: nothing came back, something unreadable did, or the
// provider refused us rather than the payment. Consecutive faults degrade the connector. Being asked to slow down is no
// fault, nor is a call that we ourselves called off.
func (r Result) Fault() bool {
	switch r.Class {
	case Ambiguous:
		return true
	case NotSent:
		return r.Scope == ScopeProvider
	case RejectedFinal, RejectedRetryable:
		return r.Scope == ScopeProvider
	default:
		return false
	}
}

// Transfer is one attempt to pay.
type Transfer struct {
	Tenant      string
	Reference   string // the provider reference of this attempt, committed before the call
	Amount      money.Amount
	Destination string // E.164, or "<brand>/<token>" of a card
	Description string
	// ProviderID is the provider's id of it, where an answer or a lookup has told one.
	ProviderID string
	// SubmittedAt is when this attempt was sent, zero when nobody knows: what a provider does not find proves nothing once
	// it forgets transfers of that age.
	SubmittedAt time.Time
	// Resend is set when an earlier call with this reference may have reached the provider. An answer that would mean "refused as a repetition" then
	// speaks about our own first call, and proves nothing.
	Resend bool
}

// Submitter pays. ctx ends with the attempt's lease; an expired context before the first byte is NotSent.
type Submitter interface {
	Submit(ctx context.Context, t Transfer) Result
}

// Found is what a lookup found.
type Found struct {
	Exists bool
	Result Result // meaningful when Exists; Amount and Destination as the provider tells them, when it does
	Amount *money.Amount
	// Destination as the provider writes it, or "".
	Destination string
	// Reversed is what was taken back of a transfer that had succeeded; nil when the provider tells of nothing.
	Reversed *Reversed
}

// Reversed is what was taken back of a transfer, as it stands: totals and not steps, so that it may be told any number of
// times. An adapter leaves out what it does not understand in full.
type Reversed struct {
	Refunded money.Amount // in all
	Disputes []Dispute
}

// Dispute is a payer's objection to a transfer, with the money of it taken back until it is decided.
type Dispute struct {
	Case   string // the provider's name of it
	Amount money.Amount
	Lost   bool // decided for the payer; otherwise it is open, as far as the provider tells
}

// Lookuper asks what became of a reference. err means that the question was not answered.
type Lookuper interface {
	Lookup(ctx context.Context, t Transfer) (Found, error)
}

// ErrForged says that a webhook did not authenticate, ErrStale that it did, long ago or with a wrong clock: it may be a recording, and
// is refused like a forged one. ErrUnreadable says that its content names no reference.
var (
	ErrForged     = errors.New("webhook is not authenticated")
	ErrStale      = fmt.Errorf("%w: its signature is of another time", ErrForged)
	ErrUnreadable = errors.New("webhook is authentic but not readable")
)

// WebhookVerifier authenticates an incoming call and names the references it is about. What it says is a hint: the state is
// always read again from the provider. Errors wrap ErrForged or ErrUnreadable.
type WebhookVerifier interface {
	Verify(h http.Header, body []byte) (references []string, err error)
}

// WebhookReader is a verifier that also understands what an authentic webhook says, by reference. It proves nothing: a webhook
// that repeats what is proven need not be followed by a second read, and that is all it is used for. What is not understood
// in full is left out.
type WebhookReader interface {
	Read(body []byte) map[string]Found
}

// AddressKey is the header in which a verifier finds the last segment of the address that a webhook was sent to, the one behind
// the connector's name, or nothing. Providers that sign nothing and send no header of ours are given an address with a secret
// there. Who receives webhooks sets it, and drops what a caller sent under that name.
const AddressKey = "Agogo-Address-Key"

// ErrForgotten says that a provider does not know transfers of that age any more: asking again will not be answered either.
var ErrForgotten = errors.New("the provider forgets transfers of this age, so not finding it says nothing: look in its portal")

// BalanceReader reads the float.
type BalanceReader interface {
	Balance(ctx context.Context) (money.Amount, error)
}

// NameMatch is how the name that we have for a payee compares with the one that the provider has for the wallet.
type NameMatch string

// The comparisons.
const (
	NameMatches NameMatch = "match"
	NamePartly  NameMatch = "partial"  // some words agree: a family name, for instance
	NameDiffers NameMatch = "no_match" // none does
	NameUnknown NameMatch = "unknown"  // the provider tells no name, or we have none
)

// Recipient is what a provider says of a wallet before anything is paid into it. The provider's name for it stays with the
// adapter: it is somebody's, and nobody else needs it.
type Recipient struct {
	Receives bool
	Code     string // why it does not, in Agogo's words: "payee_not_found", "payee_inactive", "limit_exceeded"
	Name     NameMatch
	// OfAmount says that Receives is about the amount that was asked about, and of a larger one (a yes) or smaller one (a no) nothing is said.
	OfAmount bool
}

// RecipientVerifier asks whether a wallet takes an amount and whose it is. err means that the question was not answered, which
// says nothing about the wallet.
type RecipientVerifier interface {
	VerifyRecipient(ctx context.Context, destination, name string, amount money.Amount) (Recipient, error)
}
