package mtn

import (
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
)

// delay is how long the payee that MTN calls "delayed" takes.
const delay = 30 * time.Second

// published are the payees of MTN's sandbox that do not simply succeed: the reason that a transfer to them fails with.
var published = map[string]string{
	"46733123450": "", // "failed", without a reason
	"46733123451": "APPROVAL_REJECTED",
	"46733123452": "EXPIRED",
	"46733123455": "NOT_ENOUGH_FUNDS",
	"46733123456": "PAYER_LIMIT_REACHED",
	"46733123457": "PAYEE_NOT_FOUND",
	"46733123458": "NOT_ALLOWED",
	"46733123459": "NOT_ALLOWED_TARGET_ENVIRONMENT",
	"46733123460": "INVALID_CALLBACK_URL_HOST",
	"46733123461": "INVALID_CURRENCY",
	"46733123462": "INTERNAL_PROCESSING_ERROR",
	"46733123463": "SERVICE_UNAVAILABLE",
}

const (
	payeeOngoing = "46733123453"
	payeeDelayed = "46733123454"
)

// What accountholder says of the published numbers that are not simply active.
const (
	holderUnknown    = "46733123450"
	holderInactive   = "46733123451"
	holderNotAllowed = "46733123452"
)

// usual is what becomes of a transfer that no rule is about.
func (s *Server) usual(p book.Payment, now time.Time) book.Verdict {
	if reason, fails := published[p.Peer]; fails {
		return failing(reason, now, s.cfg.Processing)
	}
	wait := s.cfg.Processing
	switch p.Peer {
	case payeeOngoing:
		return book.Verdict{Status: book.Pending}
	case payeeDelayed:
		wait = max(delay, wait)
	}
	if wait == 0 {
		return book.Verdict{Status: book.Success}
	}
	return book.Verdict{Status: book.Pending, Settles: book.Success, SettleAt: now.Add(wait)}
}

// failing is a transfer that was accepted and is not made.
func failing(reason string, now time.Time, after time.Duration) book.Verdict {
	if after == 0 {
		return book.Verdict{Status: book.Failed, Message: reason}
	}
	return book.Verdict{Status: book.Pending, Settles: book.Failed, SettleAt: now.Add(after), Message: reason}
}
