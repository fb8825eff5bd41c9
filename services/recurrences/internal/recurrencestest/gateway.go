package recurrencestest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
)

// What a card makes the gateway do. A token begins with one of these, and may be given another later.
const (
	OK          = "tok_ok"           // charged
	Soft        = "tok_soft"         // declined: insufficient funds
	Hard        = "tok_hard"         // declined for good
	Lost        = "tok_lost"         // declined: the card was lost
	Action      = "tok_action"       // the customer must act
	TimeoutPaid = "tok_timeout_paid" // charged, and the answer is lost
	TimeoutSoft = "tok_timeout_soft" // declined, and the answer is lost
	TimeoutHard = "tok_timeout_hard" // declined for good, and the answer is lost
	TimeoutGone = "tok_timeout_gone" // nothing happened, and nobody said so
	Pending     = "tok_pending"      // accepted, until [Gateway.Finish]
	Down        = "tok_down"         // it cannot be reached
	WrongKey    = "tok_key"          // it does not know us
	Busy        = "tok_busy"         // it takes nothing from us for a while
	Unfit       = "tok_unfit"        // it finds our request wrong
	NoCard      = "tok_no_card"      // it knows no such card
)

// Sale is what the gateway's book holds of a reference.
type Sale struct {
	Reference, Destination string
	Amount                 money.Amount
	Result                 provider.Result
	// Reversed is what was taken back of it since; nil when nothing was.
	Reversed *provider.Reversed
	At       time.Time // by Now
}

// Gateway is a card gateway with a book. It does not deduplicate: what is sent twice is charged twice, unless it Remembers.
type Gateway struct {
	// Before, if set, is called before a send is looked at.
	Before func(ctx context.Context, t provider.Transfer)
	// Asking, if set, is called before a lookup is answered.
	Asking func()
	// Remembers is for how long, by Now, it answers a repeated reference as it did the first, and charges nothing.
	Remembers time.Duration
	Now       func() time.Time
	// Blind: its reading side finds no reference. Silent: it does not answer. Nameless: it shows no sale by its own id.
	Blind, Silent, Nameless bool

	mu     sync.Mutex
	book   []Sale
	says   map[string]string
	sends  []provider.Transfer
	hidden bool // amounts, from lookups
	asked  []string
}

// Say has the gateway treat a token like another kind from now on.
func (g *Gateway) Say(token, kind string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.says == nil {
		g.says = map[string]string{}
	}
	g.says[token] = kind
}

// Submit charges a card.
func (g *Gateway) Submit(ctx context.Context, t provider.Transfer) provider.Result {
	if g.Before != nil {
		g.Before(ctx, t)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sends = append(g.sends, t)
	if s := g.remembered(t.Reference); s != nil {
		return s.Result
	}
	sale, answer := g.decide(t)
	if sale != nil {
		s := Sale{Reference: t.Reference, Destination: t.Destination, Amount: t.Amount, Result: *sale}
		if g.Now != nil {
			s.At = g.Now()
		}
		g.book = append(g.book, s)
	}
	return answer
}

func (g *Gateway) remembered(reference string) *Sale {
	for i, s := range g.book {
		if g.Remembers > 0 && s.Reference == reference && g.Now().Sub(s.At) < g.Remembers {
			return &g.book[i]
		}
	}
	return nil
}

// decide is what the gateway writes into its book, nil for nothing, and what it answers.
func (g *Gateway) decide(t provider.Transfer) (sale *provider.Result, answer provider.Result) {
	_, token, _ := strings.Cut(t.Destination, "/")
	kind, ok := g.says[token]
	if !ok {
		kind = token
	}
	lost := provider.Result{Class: provider.Ambiguous, Code: "timeout"}
	paid := provider.Result{Class: provider.Succeeded}
	hard := provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "not_permitted", ProviderCode: "58"}
	soft := provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopePayment, Code: "insufficient_funds", ProviderCode: "51"}
	switch {
	case strings.HasPrefix(kind, OK):
		return &paid, paid
	case strings.HasPrefix(kind, Soft):
		return &soft, soft
	case strings.HasPrefix(kind, Hard):
		return &hard, hard
	case strings.HasPrefix(kind, Lost):
		gone := provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopeCard, Code: "lost_card", ProviderCode: "41"}
		return &gone, gone
	case strings.HasPrefix(kind, Action):
		act := provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: provider.CodeRequiresAction}
		return &act, act
	case strings.HasPrefix(kind, TimeoutPaid):
		return &paid, lost
	case strings.HasPrefix(kind, TimeoutSoft):
		return &soft, lost
	case strings.HasPrefix(kind, TimeoutHard):
		return &hard, lost
	case strings.HasPrefix(kind, TimeoutGone):
		return nil, lost
	case strings.HasPrefix(kind, Pending):
		pending := provider.Result{Class: provider.Accepted, Code: "pending"}
		return &pending, pending
	case strings.HasPrefix(kind, WrongKey):
		return nil, provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopeProvider, Code: "wrong_key", Stop: true}
	case strings.HasPrefix(kind, Busy):
		return nil, provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopeProvider, Code: "maintenance"}
	case strings.HasPrefix(kind, Unfit):
		return nil, provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopeProvider, Code: "invalid_request", Alarm: "the request is wrong"}
	case strings.HasPrefix(kind, NoCard):
		return nil, provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: charge.CodeCardRefused}
	default: // down
		return nil, provider.Result{Class: provider.NotSent, Scope: provider.ScopeProvider, Code: "connect"}
	}
}

var errSilent = errors.New("the gateway does not answer")

// Lookup finds what became of a reference.
func (g *Gateway) Lookup(_ context.Context, t provider.Transfer) (provider.Found, error) {
	if g.Asking != nil {
		g.Asking()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.Silent {
		return provider.Found{}, errSilent
	}
	for _, s := range g.book {
		if s.Reference == t.Reference && !g.Blind {
			f := provider.Found{Exists: true, Result: s.Result, Amount: &s.Amount, Reversed: s.Reversed}
			if s.Reversed != nil && s.Reversed.Refunded.Minor >= s.Amount.Minor {
				f.Result = provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: charge.CodeRefunded, Alarm: "refunded"}
			}
			if g.hidden {
				f.Amount = nil
			}
			return f, nil
		}
	}
	return provider.Found{}, nil
}

// ID is what the gateway calls a sale, also in webhooks. Its answers do not tell it.
func ID(reference string) string { return uuid.NewSHA1(uuid.NameSpaceOID, []byte(reference)).String() }

// ReferenceOf finds the reference of a sale by its id. The gateway has sales of others.
func (g *Gateway) ReferenceOf(_ context.Context, id string) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, id)
	if g.Silent {
		return "", errSilent
	}
	for _, s := range g.book {
		if ID(s.Reference) == id && !g.Nameless {
			return s.Reference, nil
		}
	}
	return "", errors.New("the gateway knows no such sale")
}

// Asked lists the ids that it was asked about.
func (g *Gateway) Asked() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.asked)
}

// HideAmounts has lookups tell no amounts from now on, or tell them again.
func (g *Gateway) HideAmounts(hide bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hidden = hide
}

// TakeBack changes what was taken back of a sale: the total of its refunds, and its disputes.
func (g *Gateway) TakeBack(reference string, refunded int64, disputes ...provider.Dispute) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.book {
		if s := &g.book[i]; s.Reference == reference {
			s.Reversed = &provider.Reversed{Refunded: money.Amount{Minor: refunded, Currency: s.Amount.Currency}, Disputes: disputes}
		}
	}
}

// Finish changes what the book says of a reference.
func (g *Gateway) Finish(reference string, r provider.Result) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.book {
		if g.book[i].Reference == reference {
			g.book[i].Result = r
			return
		}
	}
	g.book = append(g.book, Sale{Reference: reference, Result: r})
}

// FinishAs changes what the book says of a reference, and over which amount.
func (g *Gateway) FinishAs(reference string, a money.Amount, r provider.Result) {
	g.Finish(reference, r)
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.book {
		if g.book[i].Reference == reference {
			g.book[i].Amount = a
		}
	}
}

// Paid lists the sales that took money.
func (g *Gateway) Paid() []Sale {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(g.book), func(s Sale) bool { return s.Result.Class != provider.Succeeded })
}

// Sends lists every call that was to take money.
func (g *Gateway) Sends() []provider.Transfer {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.sends)
}
