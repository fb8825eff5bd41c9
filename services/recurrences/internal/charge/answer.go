package charge

import "slices"

// Answer is what is known of an attempt, in the words of provider results.
type Answer struct {
	Class string
	Scope string
	Code  string
	Asked bool // to an attempt that a person wanted, or that a new card gets
}

// The classes and scopes that these rules tell apart. They are those of internal/provider, which does I/O and so cannot be
// imported here; a test beside the adapters would not compile if they drifted.
const (
	ClassNotSent           = "NOT_SENT"
	ClassRejectedFinal     = "REJECTED_FINAL"
	ClassRejectedRetryable = "REJECTED_RETRYABLE"
	ClassAccepted          = "ACCEPTED"
	ClassSucceeded         = "SUCCEEDED"

	ScopeCard     = "card"
	ScopeFloat    = "float"
	ScopeProvider = "provider"
)

// CodeRequiresAction is the code of a decline that only the customer can mend, by authenticating for instance.
const CodeRequiresAction = "requires_action"

// CardEffect is what an answer means for the card.
type CardEffect int

// The effects on a card.
const (
	CardUntouched  CardEffect = iota
	CardPaid                  // its failures in a row are over
	CardDeclined              // one failure more
	CardInvalidate            // one failure more, and it will not work again
)

// Outcome is what an answer makes of a charge.
type Outcome struct {
	State State
	// Declined counts as a try: it was definitely not charged, and not for want of having been sent.
	Declined bool
	// Again: the answer is not about this card. The charge goes back to where it was and is sent again as soon as that may be.
	Again bool
	// TakenBack: people took the money back at the gateway, so nothing is charged in its place.
	TakenBack bool
	Card      CardEffect
}

// Outcome reads an answer about a charge that is in a state and was declined tries times before. A charge whose answer
// changes nothing keeps its state. What is not understood makes a submitted charge unknown and leaves any other as it is:
// nothing is guessed.
func (a Answer) Outcome(from State, tries int) Outcome {
	switch a.Class {
	case ClassSucceeded:
		return Outcome{State: Succeeded, Card: CardPaid}
	case ClassAccepted:
		if from == ManualReview { // people look at it until it is decided
			return Outcome{State: ManualReview}
		}
		return Outcome{State: Processing}
	case ClassNotSent:
		return a.again(from, tries)
	case ClassRejectedFinal, ClassRejectedRetryable:
		if a.Scope == ScopeProvider || a.Scope == ScopeFloat {
			return a.refused(from, tries)
		}
		return a.declined(from)
	}
	if from == Submitting {
		return Outcome{State: Unknown}
	}
	return Outcome{State: from}
}

// again puts a submitted charge back: to due before anything was declined, else to failed_soft. Of one that was in doubt it
// proves nothing about what happened before.
func (Answer) again(from State, tries int) Outcome {
	switch {
	case from != Submitting:
		return Outcome{State: from}
	case tries == 0:
		return Outcome{State: Due, Again: true}
	default:
		return Outcome{State: FailedSoft, Again: true}
	}
}

// CodeDenialLapsed is the reason of a charge that is in doubt once more: its gateway denied it too long ago for the same reference to go again
// before it is asked anew.
const CodeDenialLapsed = "denial_lapsed"

// DeniedAnew is what becomes of a charge that was in doubt because its denial had lapsed, and that its gateway has denied once more: it goes
// back to where it was, and the send that had found it so goes on. It does not count as a try again. Only one whose retries are over has no
// day for the next.
func DeniedAnew(retried bool) Outcome {
	if retried {
		return Outcome{State: FailedSoft, Again: true}
	}
	return Outcome{State: Exhausted, Again: true}
}

// refused reads a definite rejection that is about us and not about the card. It goes again, except where it ends a doubt:
// then the charge has used up a try and waits for its next retry like any other. What somebody asked for is one attempt, and is
// not repeated by itself when the same would be refused again.
func (a Answer) refused(from State, tries int) Outcome {
	switch {
	case from != Submitting:
		return Outcome{State: FailedSoft, Declined: true}
	case a.Asked && a.Class == ClassRejectedFinal:
		return Outcome{State: FailedHard, Declined: true}
	default:
		return a.again(from, tries)
	}
}

// The codes of rejections that no issuer made: the gateway broke the charge off or has no use for the card as we know it, or
// people took the money back there. The card never said no.
const (
	CodeAborted      = "aborted"
	CodeVoided       = "voided"
	CodeRefunded     = "refunded"
	CodeCardMissing  = "card_missing"
	CodeCardRefused  = "card_refused" // the gateway knows no such token, or finds it wrong
	CodeBrandUnknown = "card_brand_unknown"
)

// GivenBack reports whether a code of the last answer says that people took the money back: it was the card's to give, and only
// a person has it charged again.
func GivenBack(code string) bool { return code == CodeVoided || code == CodeRefunded }

// CodeEitherCard is the reason of a charge whose reference went with two cards and was declined.
const CodeEitherCard = "either_card"

// OfEitherCard is what the outcome of an answer is where the reference went with two cards, and the first send of it may have arrived though
// its gateway denied it: it says nothing about either card. A decline then ends that reference and nothing else. The charge goes again under
// the next one, with the card that it has now, and that is no try more; declined reports this.
func (a Answer) OfEitherCard(o Outcome, from State, tries int) (after Outcome, declined bool) {
	o.Card = CardUntouched
	rejected := a.Class == ClassRejectedFinal || a.Class == ClassRejectedRetryable
	switch {
	case !rejected, o.TakenBack, a.Scope == ScopeProvider, a.Scope == ScopeFloat:
		return o, false
	case from == Submitting:
		return a.again(from, tries), true
	default:
		return Outcome{State: FailedSoft, Again: true}, true
	}
}

// declined reads a rejection by the card or its issuer.
func (a Answer) declined(from State) Outcome {
	o := Outcome{State: FailedHard, Declined: true, Card: CardDeclined}
	o.TakenBack = GivenBack(a.Code)
	if o.TakenBack || slices.Contains([]string{CodeAborted, CodeCardMissing, CodeCardRefused, CodeBrandUnknown}, a.Code) {
		o.Card = CardUntouched
	}
	switch {
	case a.Scope == ScopeCard:
		o.Card = CardInvalidate
	case a.Code == CodeRequiresAction && from == Submitting:
		o.State = RequiresAction
	case a.Class == ClassRejectedRetryable:
		o.State = FailedSoft
	}
	return o
}

// CodeCardFailures is the reason of a card that was declined too often in a row.
const CodeCardFailures = "card_failures"

// Failures is how many failures in a row a card has after an outcome, and whether that makes it invalid. A limit of 0 is
// none; a card that the gateway calls lost, expired or closed is invalid at the first one.
func (o Outcome) Failures(before, limit int) (after int, invalid bool) {
	switch o.Card {
	case CardPaid:
		return 0, false
	case CardDeclined:
		return before + 1, limit > 0 && before+1 >= limit
	case CardInvalidate:
		return before + 1, true
	default:
		return before, false
	}
}
