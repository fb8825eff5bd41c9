package cielo

import (
	"strings"
	"time"

	"github.com/agogopay/agogo/simulator/internal/fault"
)

// behaviour is what a card does by itself, as the rule of a plan would say it. Tokens that begin with no word of these, real
// ones among them, pay.
func behaviour(token string, pending time.Duration) fault.Rule {
	rest, ok := strings.CutPrefix(token, "tok_")
	if !ok {
		return fault.Rule{}
	}
	words := strings.Split(rest, "_")
	second := ""
	if len(words) > 1 {
		second = words[1]
	}
	switch words[0] {
	case "soft", "hard", "action":
		return fault.Rule{Fault: fault.Failed, Message: second}
	case "timeout":
		if second == "unpaid" {
			return fault.Rule{Fault: fault.TimeoutBefore}
		}
		return fault.Rule{Fault: fault.TimeoutAfter}
	case "pending":
		switch second {
		case "denied":
			return fault.Rule{Fault: fault.PendingFailed, Duration: pending}
		case "forever":
			return fault.Rule{Fault: fault.PendingForever}
		}
		return fault.Rule{Fault: fault.PendingSuccess, Duration: pending}
	}
	return fault.Rule{}
}

// combine lets a plan's rule go before the card's own behaviour; one without a fault only adds to it.
func combine(plan, card fault.Rule) fault.Rule {
	if plan.Fault != fault.None {
		return plan
	}
	plan.Fault, plan.Message, plan.Duration = card.Fault, or(plan.Message, card.Message), or(plan.Duration, card.Duration)
	return plan
}

// declined splits a decline such as "51" or "79-03" into the return code and Mastercard's advice.
func declined(message string) (code, advice string) {
	code, advice, _ = strings.Cut(or(message, "05"), "-")
	return code, advice
}
