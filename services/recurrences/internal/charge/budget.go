package charge

import (
	"slices"
	"time"
)

// Card networks punish those who try a card too often. What they count is declined attempts on a card in a window, over all
// gateways; reference is the networks' rules as acquirers publish them for Brazil.

// Window is a budget: at most Most declined attempts within Span, of the same amount or of any.
type Window struct {
	Span       time.Duration
	Most       int
	SameAmount bool
}

const day = 24 * time.Hour

// Windows are the budgets of a brand, by Cielo's "Programa de retentativa das bandeiras" (docs.cielo.com.br). One that is not
// known gets the smallest that Cielo's table of return codes names for any code, "only 4 times in 16 days", over any amount:
// better a retry too few than a fine that nobody expected.
func Windows(brand string) []Window {
	switch brand {
	case "visa":
		return []Window{{Span: 30 * day, Most: 15, SameAmount: true}}
	case "mastercard":
		return []Window{{Span: day, Most: 7}, {Span: 30 * day, Most: 35}}
	case "elo":
		return []Window{{Span: 31 * day, Most: 15}} // "a month": the longest one
	case "hipercard":
		return []Window{{Span: 31 * day, Most: 8}} // likewise
	default:
		return []Window{{Span: 16 * day, Most: 4}, {Span: 31 * day, Most: 8}} // the second: Hipercard's, the smallest month
	}
}

// The codes of attempts that a network's rules forbid.
const (
	CodeBudget = "network_budget" // not now: a window is used up
	CodeNever  = "network_never"  // never again with this card
	CodeWait   = "network_wait"   // the network wants the card left alone for a while
)

// visaNever is Visa's category 1: the issuer will never approve.
func visaNever() []string {
	return []string{"04", "07", "12", "14", "15", "41", "43", "46", "57", "R0", "R1", "R3"}
}

// Forbidden says whether one more attempt would break the rules of the card's brand, and by which code; "" allows it. never is
// what the network said of the card with a decline, whatever the brand and whichever charge that was; last is the gateway's
// code of the card's newest decline for the charge, "" if there was none; counts are the declined attempts within each of
// [Windows], in their order. Missing counts forbid: what was not counted cannot be allowed.
func Forbidden(brand, last string, never bool, counts []int) string {
	if never || brand == "visa" && slices.Contains(visaNever(), last) {
		return CodeNever
	}
	for i, w := range Windows(brand) {
		if i >= len(counts) || counts[i] >= w.Most {
			return CodeBudget
		}
	}
	return ""
}
