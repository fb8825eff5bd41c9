package orange

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
)

// nested says which of the two shapes that exist is used for a reference.
func (s *Server) nested(reference string) bool {
	switch s.cfg.Shape {
	case "nested":
		return true
	case "flat":
		return false
	}
	return digest(reference)%2 == 0
}

// transaction is the JSON of a payment, the same in answers, lookups and callbacks. odd makes its numbers arrive as
// careless servers write them.
func (s *Server) transaction(e book.Entry, odd bool) []byte {
	status := e.Status.String()
	if e.Text != "" {
		status = e.Text
	}
	b := append(make([]byte, 0, 384), `{"status":`...)
	b = quote(b, status)
	if e.Message != "" {
		b = quote(append(b, `,"message":`...), e.Message)
	}
	if s.nested(e.Reference) {
		b = append(b, `,"transactionData":{"type":"CASHIN",`...)
		b = common(b, e, odd)
		b = append(b, `,"creationDate":`...)
		b = number(b, e.FirstAt.UnixMilli(), odd)
		b = quote(append(b, `,"posId":`...), e.Account)
		if e.Status == book.Success {
			b = quote(append(b, `,"txnId":`...), providerID("CI", 'C', e))
		}
		return append(b, "}}"...)
	}
	b = common(append(b, ','), e, odd)
	if e.Status == book.Success {
		b = quote(append(b, `,"reference":`...), providerID("MP", 'A', e))
	}
	return append(b, '}')
}

func common(b []byte, e book.Entry, odd bool) []byte {
	b = quote(append(b, `"transactionId":`...), e.Reference)
	b = quote(append(b, `,"peerId":`...), e.Peer)
	b = append(b, `,"peerIdType":"msisdn","amount":`...)
	b = strconv.AppendInt(b, e.Amount, 10)
	if odd {
		b = append(b, ".0"...)
	}
	return quote(append(b, `,"currency":`...), e.Currency)
}

// number is a JSON number, or the same in quotes.
func number(b []byte, n int64, quoted bool) []byte {
	if quoted {
		return append(strconv.AppendInt(append(b, '"'), n, 10), '"')
	}
	return strconv.AppendInt(b, n, 10)
}

// quote appends a JSON string; most texts here need no escapes.
func quote(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			q, err := json.Marshal(s)
			if err != nil {
				return append(b, `""`...)
			}
			return append(b, q...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// providerID has the shape of the platform's own ids, "CI210125.1432.C12345", and follows from the payment.
func providerID(prefix string, letter byte, e book.Entry) string {
	return fmt.Sprintf("%s%s.%c%05d", prefix, e.FirstAt.UTC().Format("060102.1504"), letter, digest(e.Reference)%100_000)
}

func digest(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	x := h.Sum64()
	return x ^ x>>29
}

// lateness is how long a payment still has until it settles.
func lateness(at, now time.Time) time.Duration { return max(at.Sub(now), 0) }
