// Package fault says what goes wrong, for whom and how often. A plan is a list of rules; the first rule that matches a
// call and has something left to give decides it.
package fault

import (
	"encoding/json"
	"fmt"
	"time"
)

// Kind names a way to go wrong.
type Kind string

// What money providers do. "After payment" means that the money moved although the caller cannot see it.
const (
	None              Kind = ""                          // the rule only sets delay, blind or callback
	LostAnswer        Kind = "lost_answer_after_payment" // the connection closes without an answer
	TimeoutAfter      Kind = "timeout_after_payment"     // the answer comes after delay, a minute if it is not set
	ServerErrorAfter  Kind = "5xx_after_payment"         // status, 502 if it is not set
	ServerErrorBefore Kind = "5xx_before_payment"        // status, 503 if it is not set
	ResetBefore       Kind = "reset_before"              // TCP reset, nothing moved
	ResetAfter        Kind = "reset_after"               // TCP reset, the money moved
	Garbage           Kind = "garbage_200"               // a proxy's HTML page with status 200; a payment moved
	PendingSuccess    Kind = "pending_success"           // pending for duration, then paid
	PendingFailed     Kind = "pending_failed"            // pending for duration, then failed
	PendingForever    Kind = "pending_forever"           // never anything else
	LookupBlind       Kind = "lookup_blind"              // lookups say 404 for duration, though the money moved
	Failed            Kind = "failed"                    // a definite no, with message
	Identical         Kind = "identical"                 // "Transaction identique.", within duration of an equal payment
	Unauthorized      Kind = "401_once"                  // the token is withdrawn
	TooMany           Kind = "429"                       // with Retry-After when retry_after is set
	UnknownStatus     Kind = "unknown_status"            // a status text that no documentation has, for duration
	WrongShape        Kind = "wrong_shape"               // numbers as strings, amounts as 24000.0
	NotSubscribed     Kind = "403_not_subscribed"        // the application may not use this
	NotActivated      Kind = "404_not_activated"         // the service is not activated: 404 code 60, as for what does not exist
	Slow              Kind = "slow"                      // delay, then as usual
	TimeoutBefore     Kind = "timeout_before_payment"    // no answer for delay, a minute if it is not set; nothing moved
	AuthorizedOnly    Kind = "authorized_only"           // the card's limit is reserved; charged after duration, 0 is never
	Chargeback        Kind = "chargeback"                // charged, and disputed after duration
	Problem           Kind = "problem"                   // the provider's own error of the code in message; nothing moved
	KeyRevoked        Kind = "key_revoked"               // the key that PINs are encrypted with is taken out of use
)

// What statements do. They change what is told, and never what has moved.
const (
	LineMissing Kind = "line_missing" // the line is left out
	LineExtra   Kind = "line_extra"   // a line of a payment that nobody made follows, with message as its reference
	LineAmount  Kind = "line_amount"  // the line tells message as its amount, one more than was paid if it is not set
	LineTwice   Kind = "line_twice"   // the line stands there two times
	PageCut     Kind = "page_cut"     // the page ends in the middle, with status 200
)

// What push services do.
const (
	DeadToken      Kind = "dead_token"      // 404 UNREGISTERED
	SenderMismatch Kind = "sender_mismatch" // 403 SENDER_ID_MISMATCH
	Invalid        Kind = "invalid"         // 400 INVALID_ARGUMENT
	Internal       Kind = "500"             // 500 INTERNAL
	Unavailable    Kind = "503"             // 503 UNAVAILABLE, with Retry-After when retry_after is set
	AuthError      Kind = "auth_error"      // 401 THIRD_PARTY_AUTH_ERROR
	LostPush       Kind = "lost_answer"     // delivered, and the connection closes without an answer
)

// Rule makes calls that it matches go wrong.
type Rule struct {
	Provider  string // "orange_omr", "orange_sonatel", "mtn_momo", "cielo", "fcm"
	Operation string // of the provider: "cashin", "lookup", "sale", "send", …
	Match     Match
	Fault     Kind
	// Times is how many calls the rule decides before it is used up; 0 means all of them.
	Times int
	// Delay comes before the answer (before the call is looked at, for slow and for a rule without a fault).
	Delay time.Duration
	// Duration is how long a pending payment, a blind lookup, an unknown status or the memory for identical payments lasts.
	Duration time.Duration
	// Blind hides the payment from lookups for so long, besides whatever else the rule does.
	Blind time.Duration
	// Status replaces the HTTP status of 5xx faults.
	Status int
	// Message replaces the text of a failure or of an unknown status.
	Message string
	// RetryAfter is announced with 429 and 503.
	RetryAfter time.Duration
	// Callback replaces the provider's configured way to call back.
	Callback string
}

// Match says which calls a rule is about: those for which everything that is set agrees. A trailing * matches any rest.
type Match struct {
	Peer      string `json:"peer,omitempty"`
	Amount    int64  `json:"amount,omitempty"`
	Reference string `json:"reference,omitempty"`
	Token     string `json:"token,omitempty"`
	// Probability in (0, 1] lets only that share of the references in, chosen by seed; 0 means all.
	Probability float64 `json:"probability,omitempty"`
}

// document is the JSON form of a rule: times are texts such as "1.5s".
type document struct {
	Provider   string `json:"provider"`
	Operation  string `json:"operation"`
	Match      Match  `json:"match"`
	Fault      Kind   `json:"fault"`
	Times      int    `json:"times,omitempty"`
	Delay      string `json:"delay,omitempty"`
	Duration   string `json:"duration,omitempty"`
	Blind      string `json:"blind,omitempty"`
	Status     int    `json:"status,omitempty"`
	Message    string `json:"message,omitempty"`
	RetryAfter string `json:"retry_after,omitempty"`
	Callback   string `json:"callback,omitempty"`
}

// MarshalJSON writes durations as texts.
func (r Rule) MarshalJSON() ([]byte, error) {
	return json.Marshal(document{
		Provider: r.Provider, Operation: r.Operation, Match: r.Match, Fault: r.Fault, Times: r.Times,
		Delay: span(r.Delay), Duration: span(r.Duration), Blind: span(r.Blind), Status: r.Status,
		Message: r.Message, RetryAfter: span(r.RetryAfter), Callback: r.Callback,
	})
}

// UnmarshalJSON reads durations from texts and refuses words it does not know: a misspelt fault would never happen.
func (r *Rule) UnmarshalJSON(b []byte) error {
	var d document
	if err := Strict(b, &d); err != nil {
		return err
	}
	*r = Rule{
		Provider: d.Provider, Operation: d.Operation, Match: d.Match, Fault: d.Fault, Times: d.Times,
		Status: d.Status, Message: d.Message, Callback: d.Callback,
	}
	for _, f := range []struct {
		name, text string
		to         *time.Duration
	}{{"delay", d.Delay, &r.Delay}, {"duration", d.Duration, &r.Duration}, {"blind", d.Blind, &r.Blind}, {"retry_after", d.RetryAfter, &r.RetryAfter}} {
		if f.text == "" {
			continue
		}
		v, err := time.ParseDuration(f.text)
		if err != nil || v < 0 {
			return fmt.Errorf("%s: %q is not a duration such as \"1.5s\"", f.name, f.text)
		}
		*f.to = v
	}
	return nil
}

func span(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}
