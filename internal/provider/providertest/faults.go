package providertest

import "github.com/agogopay/agogo/internal/provider"

// Fault names a way for a provider to go wrong.
type Fault string

// What can happen to a payment. "After" means that the money moved although the caller cannot see it.
const (
	Away                 Fault = "away"                   // nobody listens
	LostAnswer           Fault = "lost answer"            // paid, the connection closes
	TimeoutAfter         Fault = "timeout after"          // paid, no answer in time
	ResetAfter           Fault = "reset after"            // paid, TCP reset
	ResetBefore          Fault = "reset before"           // not paid, TCP reset
	BadGatewayAfter      Fault = "502 after"              // paid
	GatewayTimeoutAfter  Fault = "504 after"              // paid
	RequestTimeoutAfter  Fault = "408 after"              // paid
	UnavailableBefore    Fault = "503 before"             // not paid
	Garbage              Fault = "garbage"                // paid, 200 with something unreadable
	WrongTypes           Fault = "wrong types"            // paid, numbers as strings and the like: still readable
	TooMany              Fault = "429"                    // not paid
	TooManyRetryAfter    Fault = "429 with Retry-After"   // not paid
	Pending              Fault = "pending"                // neither paid nor refused yet
	UnknownStatus        Fault = "unknown status"         // a word that no documentation has
	Refused              Fault = "refused"                // a definite no
	NoFloat              Fault = "no float"               // our own account is empty
	Identical            Fault = "identical"              // looks like a recent payment
	IdenticalAfterResend Fault = "identical after resend" // may look like our own first call
	TokenExpired         Fault = "token expired"          // once: renewed, and paid
	AccessRefused        Fault = "access refused"         // wrong credentials or not subscribed
	Declined             Fault = "declined"               // a card that may pay later
	CardGone             Fault = "card gone"              // a card that will never pay again
	ActionNeeded         Fault = "action needed"          // a charge that only the customer can let pass
	AuthorizedOnly       Fault = "authorized only"        // reserved on the card and not charged
	// AccessRefusedToResend is the same when the reference may have arrived before: it keeps its reference.
	AccessRefusedToResend Fault = "access refused to resend"
)

const anyScope provider.Scope = "any"

type expectation struct {
	class      provider.Class
	scope      provider.Scope
	moved      int
	stop       bool
	alarm      bool
	retryAfter bool
	slowDown   bool
	lookup     bool // can happen to a lookup as well
}

// expectations are reference/providers.md, sections 0 and 7, as a table.
var expectations = map[Fault]expectation{
	Away:                 {class: provider.NotSent, scope: provider.ScopeProvider, lookup: true},
	LostAnswer:           {class: provider.Ambiguous, scope: anyScope, moved: 1},
	TimeoutAfter:         {class: provider.Ambiguous, scope: anyScope, moved: 1},
	ResetAfter:           {class: provider.Ambiguous, scope: anyScope, moved: 1},
	ResetBefore:          {class: provider.Ambiguous, scope: anyScope, lookup: true},
	BadGatewayAfter:      {class: provider.Ambiguous, scope: anyScope, moved: 1},
	GatewayTimeoutAfter:  {class: provider.Ambiguous, scope: anyScope, moved: 1},
	RequestTimeoutAfter:  {class: provider.Ambiguous, scope: anyScope, moved: 1},
	UnavailableBefore:    {class: provider.Ambiguous, scope: anyScope, lookup: true},
	Garbage:              {class: provider.Ambiguous, scope: anyScope, moved: 1, lookup: true},
	WrongTypes:           {class: provider.Succeeded, scope: provider.ScopeNone, moved: 1},
	TooMany:              {class: provider.NotSent, scope: provider.ScopeNone, slowDown: true, lookup: true},
	TooManyRetryAfter:    {class: provider.NotSent, scope: provider.ScopeNone, slowDown: true, retryAfter: true, lookup: true},
	Pending:              {class: provider.Accepted, scope: provider.ScopeNone},
	UnknownStatus:        {class: provider.Accepted, scope: provider.ScopeNone, alarm: true},
	Refused:              {class: provider.RejectedFinal, scope: anyScope},
	NoFloat:              {class: provider.RejectedRetryable, scope: provider.ScopeFloat},
	Identical:            {class: provider.RejectedRetryable, scope: provider.ScopePayment},
	IdenticalAfterResend: {class: provider.Ambiguous, scope: anyScope},
	TokenExpired:         {class: provider.Succeeded, scope: provider.ScopeNone, moved: 1},
	AccessRefused:        {class: provider.RejectedRetryable, scope: provider.ScopeProvider, stop: true, lookup: true},
	Declined:             {class: provider.RejectedRetryable, scope: provider.ScopePayment},
	CardGone:             {class: provider.RejectedFinal, scope: provider.ScopeCard},
	ActionNeeded:         {class: provider.RejectedFinal, scope: provider.ScopePayment},
	AuthorizedOnly:       {class: provider.Accepted, scope: provider.ScopeNone, alarm: true},

	AccessRefusedToResend: {class: provider.NotSent, scope: provider.ScopeProvider, stop: true},
}
