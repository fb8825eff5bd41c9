package simulator

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/calls"
	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/fcm"
)

// Plan is a seed and the rules of what goes wrong.
type Plan = fault.Plan

// Rule makes calls that it matches go wrong.
type Rule = fault.Rule

// Match says which calls a rule is about.
type Match = fault.Match

// Fault names a way to go wrong; see docs/simulator.md.
type Fault = fault.Kind

// Latency is how long a provider takes for every call of an operation.
type Latency = fault.Latency

// CallCount is how often an operation had an outcome.
type CallCount = calls.Count

// Push is a message that a device received.
type Push = fcm.Push

// Faults of money providers.
const (
	LostAnswer        = fault.LostAnswer
	TimeoutAfter      = fault.TimeoutAfter
	ServerErrorAfter  = fault.ServerErrorAfter
	ServerErrorBefore = fault.ServerErrorBefore
	ResetBefore       = fault.ResetBefore
	ResetAfter        = fault.ResetAfter
	Garbage           = fault.Garbage
	PendingSuccess    = fault.PendingSuccess
	PendingFailed     = fault.PendingFailed
	PendingForever    = fault.PendingForever
	LookupBlind       = fault.LookupBlind
	Failed            = fault.Failed
	Identical         = fault.Identical
	Unauthorized      = fault.Unauthorized
	TooMany           = fault.TooMany
	UnknownStatus     = fault.UnknownStatus
	WrongShape        = fault.WrongShape
	NotSubscribed     = fault.NotSubscribed
	NotActivated      = fault.NotActivated
	Slow              = fault.Slow
	TimeoutBefore     = fault.TimeoutBefore
	AuthorizedOnly    = fault.AuthorizedOnly
	Chargeback        = fault.Chargeback
	Problem           = fault.Problem
	KeyRevoked        = fault.KeyRevoked
	LineMissing       = fault.LineMissing
	LineExtra         = fault.LineExtra
	LineAmount        = fault.LineAmount
	LineTwice         = fault.LineTwice
	PageCut           = fault.PageCut
)

// Faults of push services.
const (
	DeadToken      = fault.DeadToken
	SenderMismatch = fault.SenderMismatch
	Invalid        = fault.Invalid
	Internal       = fault.Internal
	Unavailable    = fault.Unavailable
	AuthError      = fault.AuthError
	LostPush       = fault.LostPush
)

// Book is a provider's truth.
type Book struct {
	Entries []Entry `json:"entries"`
	Totals  Totals  `json:"totals"`
}

// Entry is everything about one reference. Moved above 1 is a double payment.
type Entry struct {
	Reference  string    `json:"reference"`
	Peer       string    `json:"peer"`
	Amount     int64     `json:"amount"`
	Currency   string    `json:"currency"`
	Status     string    `json:"status"`
	Moved      int       `json:"moved"`
	MovedMinor int64     `json:"moved_minor"`
	Fee        int64     `json:"fee,omitempty"`
	Reversed   bool      `json:"reversed,omitempty"` // all of it came back
	Refunded   int64     `json:"refunded,omitempty"` // how much was given back since
	Requests   int       `json:"requests"`
	FirstAt    time.Time `json:"first_at"`
	LastAt     time.Time `json:"last_at"`
}

// Totals sums a book. Float is what the paying account still has, when it can run dry.
type Totals struct {
	Entries    int64  `json:"entries"`
	MovedCount int64  `json:"moved_count"`
	MovedMinor int64  `json:"moved_minor"`
	Float      *int64 `json:"float,omitempty"`
}

// Plan replaces the plan in force; what earlier rules had used up is forgotten. A wrong rule is an error, and nothing
// changes.
func (s *Simulator) Plan(p Plan) error { return s.faults.Replace(p) }

// AddRule appends a rule to the plan in force.
func (s *Simulator) AddRule(r Rule) error { return s.faults.Add(r) }

// SetLatency makes every call of an operation, or of a provider, take its time.
func (s *Simulator) SetLatency(l Latency) error {
	if all := append(s.withBooks(), FCM); !slices.Contains(all, l.Provider) {
		return fmt.Errorf("provider %q is not simulated; it is one of %s", l.Provider, strings.Join(all, ", "))
	}
	s.latencies.Set(l)
	return nil
}

// SetCallback changes where Orange posts final states to.
func (s *Simulator) SetCallback(c Callback) error { return s.orange.SetCallback(c) }

// SetMTNCallback changes how MTN's callbacks go out.
func (s *Simulator) SetMTNCallback(c MTNCallback) error { return s.mtn.SetCallback(c) }

// SetSonatelCallback changes where Sonatel posts final states to.
func (s *Simulator) SetSonatelCallback(c SonatelCallback) error { return s.sonatel.SetCallback(c) }

// UnblockSonatel forgets the wrong PINs of the account that pays at Sonatel, and gives it a new PIN unless that is "".
func (s *Simulator) UnblockSonatel(pin string) { s.sonatel.Unblock(pin) }

// SetWebhook changes where Cielo posts notifications to.
func (s *Simulator) SetWebhook(w Webhook) error { return s.cielo.SetWebhook(w) }

// Refund gives back a part of what was charged for an order of Cielo, or with 0 all that is left of it, as the shop does in the
// portal, and notifies. Of several transactions it is the newest that has as much left.
func (s *Simulator) Refund(order string, minor int64) error { return s.cielo.Refund(order, minor) }

// Dispute makes the card holder dispute what was charged for an order of Cielo, or with 0 all of it, from now on, and notifies. Each
// call is a case of its own.
func (s *Simulator) Dispute(order string, minor int64) error { return s.cielo.Dispute(order, minor) }

// AcceptDispute has the shop accept every dispute of an order of Cielo, and notifies: the money is the card holder's.
func (s *Simulator) AcceptDispute(order string) error { return s.cielo.AcceptDispute(order) }

// Fill adds to the float that a provider pays from; before the first call it never runs dry.
func (s *Simulator) Fill(provider string, minor int64) error {
	b, err := s.book(provider)
	if err == nil {
		b.Fill(minor)
	}
	return err
}

// Book is a provider's truth at this moment, entries in the order of their references.
func (s *Simulator) Book(provider string) (Book, error) {
	return s.selection(provider, filter{})
}

// Calls says what came of all calls so far.
func (s *Simulator) Calls() []CallCount { return s.counter.All() }

// Pushes are what devices received, oldest first. Only the newest 100,000 are kept.
func (s *Simulator) Pushes() []Push {
	pushes, _ := s.fcm.Inbox().All()
	return pushes
}

// Reset goes back to an empty book, no faults, no counts and the callback that was configured. It is meant for the time
// between two tests, when nothing is under way.
func (s *Simulator) Reset() error {
	s.latencies.Clear()
	s.counter.Clear()
	s.fcm.Inbox().Clear()
	for _, b := range s.books {
		b.Clear()
	}
	if s.journal != nil {
		if err := s.journal.Clear(); err != nil {
			return fmt.Errorf("empty the simulator's book: %w", err)
		}
	}
	if err := s.faults.Replace(Plan{}); err != nil {
		return err
	}
	s.wave.Reset()
	return errors.Join(s.orange.Reset(), s.sonatel.Reset(), s.mtn.Reset(), s.cielo.Reset())
}

func (s *Simulator) book(provider string) (*book.Book, error) {
	b, ok := s.books[provider]
	if !ok {
		return nil, fmt.Errorf("provider %q has no book; these have: %s", provider, strings.Join(s.withBooks(), ", "))
	}
	return b, nil
}

// withBooks are the providers that move money.
func (s *Simulator) withBooks() []string { return slices.Sorted(maps.Keys(s.books)) }

// filter selects entries of a book.
type filter struct {
	reference, peer string
	totalsOnly      bool
}

func (s *Simulator) selection(provider string, f filter) (Book, error) {
	b, err := s.book(provider)
	if err != nil {
		return Book{}, err
	}
	out, orders := Book{Entries: []Entry{}}, map[string]Entry{}
	// The books of these are by transaction, of which a reference of the caller's may have several.
	several := provider == Cielo || provider == Wave
	err = b.Each(s.clock.Now(), func(e book.Entry) bool {
		if several {
			e.Reference = e.Account
		}
		if f.reference != "" && e.Reference != f.reference || f.peer != "" && e.Peer != f.peer {
			return true
		}
		out.Totals.MovedCount += int64(e.Moved)
		out.Totals.MovedMinor += e.MovedMinor
		switch {
		case several:
			orders[e.Reference] = merge(orders[e.Reference], entryOf(e))
		case f.totalsOnly:
			out.Totals.Entries++
		default:
			out.Totals.Entries++
			out.Entries = append(out.Entries, entryOf(e))
		}
		return true
	})
	out.Totals.Entries += int64(len(orders))
	if !f.totalsOnly {
		out.Entries = slices.AppendSeq(out.Entries, maps.Values(orders))
	}
	slices.SortFunc(out.Entries, func(a, b Entry) int { return strings.Compare(a.Reference, b.Reference) })
	if float, limited := b.Float(); limited {
		out.Totals.Float = &float
	}
	return out, err
}

// merge puts two transactions of one order together: the money of both, and the status of the one that says most.
func merge(a, b Entry) Entry {
	if a.Requests == 0 {
		return b
	}
	if b.FirstAt.Before(a.FirstAt) {
		a, b = b, a
	}
	for _, status := range []book.Status{book.Success, book.Pending, book.Failed} {
		if word := status.String(); a.Status == word || b.Status == word {
			a.Status = word
			break
		}
	}
	a.Moved, a.MovedMinor, a.Requests = a.Moved+b.Moved, a.MovedMinor+b.MovedMinor, a.Requests+b.Requests
	a.Fee, a.Reversed, a.Refunded = a.Fee+b.Fee, a.Reversed && b.Reversed, a.Refunded+b.Refunded
	if b.LastAt.After(a.LastAt) {
		a.LastAt = b.LastAt
	}
	return a
}

func entryOf(e book.Entry) Entry {
	return Entry{
		Reference: e.Reference, Peer: e.Peer, Amount: e.Amount, Currency: e.Currency, Status: e.Status.String(),
		Moved: e.Moved, MovedMinor: e.MovedMinor, Fee: e.Fee, Reversed: !e.ReversedAt.IsZero(), Refunded: e.Refunded, Requests: e.Requests, FirstAt: e.FirstAt, LastAt: e.LastAt,
	}
}
