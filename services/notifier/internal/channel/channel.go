// Package channel is what the delivery of notices knows of a push service: messages, and the few outcomes that differ in
// what must happen next.
package channel

import "time"

// Message is one push to one device.
type Message struct {
	NotificationID string // also the collapse key: a repeated push replaces the first one on the device
	Token          string
	Kind           string
	SubjectID      string
	Title          string
	Body           string
	Data           map[string]string
}

// Outcome says what became of a message.
type Outcome int

// The outcomes, by what follows from them.
const (
	// Sent: the service took it.
	Sent Outcome = iota
	// Dead: the token will never work again; the device is removed.
	Dead
	// Invalid: the service refused the message or the token, and does not say which. Repeating cannot help.
	Invalid
	// Later: quota, outage or an unreadable answer; the same push goes again after a while.
	Later
	// Refused: we are not allowed to send. Every push meets it until a person repairs the configuration.
	Refused
)

// String is the outcome's name in metrics and rows.
func (o Outcome) String() string {
	switch o {
	case Sent:
		return "sent"
	case Dead:
		return "dead"
	case Invalid:
		return "invalid"
	case Later:
		return "later"
	case Refused:
		return "refused"
	default:
		return "unknown"
	}
}

// Result is the answer to one message.
type Result struct {
	Outcome Outcome
	Code    string        // the service's word: "UNREGISTERED"
	After   time.Duration // Later: how long the service asks to wait; 0: it did not say
}
