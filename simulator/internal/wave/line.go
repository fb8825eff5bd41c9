package wave

import (
	"strconv"

	"github.com/agogopay/agogo/simulator/internal/fault"
)

// tell is what becomes of a line when it is told: a statement can be wrong about what has moved. Whoever reads the page again is
// told the same, unless the rule is used up.
func (s *Server) tell(t transaction) []transaction {
	rule, ok := s.Faults.Decide(fault.Call{
		Provider: Provider, Operation: "line", Peer: t.of.Peer, Reference: t.of.Account, Amount: t.of.Amount,
	})
	if !ok {
		return []transaction{t}
	}
	switch rule.Fault {
	case fault.LineMissing:
		return nil
	case fault.LineExtra:
		extra := t
		extra.ID, extra.ClientReference = "T_"+strconv.FormatUint(digest("extra"+t.ID), 36), rule.Message
		return []transaction{t, extra}
	case fault.LineAmount:
		return []transaction{t.amounting(rule)}
	case fault.LineTwice:
		return []transaction{t, t}
	default: // a rule without a fault uses itself up, and nothing else
		return []transaction{t}
	}
}

// amounting is the line with another amount and the fee that was taken. A text that is no number is told as it is: a reader has to
// stand that too.
func (t transaction) amounting(rule fault.Rule) transaction {
	told := t.of.Amount + 1
	if rule.Message != "" {
		n, err := strconv.ParseInt(rule.Message, 10, 64)
		if err != nil {
			t.Amount = rule.Message
			return t
		}
		told = n
	}
	sign := int64(-1)
	if t.IsReversal {
		sign = 1
	}
	t.Amount = decimal(sign*(told+t.of.Fee), rule)
	return t
}
