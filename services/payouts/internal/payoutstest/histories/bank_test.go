package histories

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
)

// bank is a provider in this process with a book of what it really did. It goes wrong as it is told, payee by payee, so that a
// history says the same whichever of several concurrent calls comes first.
type bank struct {
	clock       clock.Clock
	deduplicate bool
	quiet       time.Duration     // within it a request arrives and becomes visible, as the provider has promised
	tell        func(body []byte) // posts a webhook
	uneven      bool              // answers take their time, each its own

	mu        sync.Mutex
	transfers map[string]*transfer
	sends     map[int][]string // how a payee's next sends go
	lookups   map[int][]string // how the next lookups about them go
	reversals []string
	arrivals  []string             // references since the judge last looked
	asked     map[string]bool      // references that it was asked to pay and has not disowned
	wait      map[string]time.Time // references that it was too busy for, and when they may come back
	denied    map[string]time.Time // references, and when a lookup found nothing last
	told      []string             // references of webhooks that are stored and not matched
	spoken    map[string]bool      // references that a webhook was about, and that no lookup has been answered about since
	barred    map[string]bool      // references that were claimed when people had stopped everything
	accuse    func(string)
}

// transfer is one reference as the provider knows it.
type transfer struct {
	provider.Transfer
	state    string // flying, pending, paid, failed; "" is of what never arrived
	lands    time.Time
	first    time.Time // it came in
	visible  time.Time
	moved    int
	reversed bool
	lied     bool // about it the provider has said what was not so
	beyond   bool // for longer than it has promised its reading side does not know of it
	amounts  int  // different ones that were asked for
	restored bool // it is from before a restore
}

// memory is how long a bank that deduplicates knows references again: as long as it takes until people look, by contract. What comes after that
// is another payment to it.
const memory = 24 * time.Hour

// blindness is how long after its quiet time a bank may not know what it has paid. A restore takes longer: what is asked about after it is
// known by then.
const blindness = 9 * time.Minute

// busyFor is how long a bank asks to be left alone: a page waits for it.
const busyFor = 20 * time.Second

// unseen reports whether it was paid and is denied, for longer than the bank has promised.
func (x *transfer) unseen(now time.Time) bool { return x != nil && x.beyond && now.Before(x.visible) }

// known reports whether the provider has it, and would say so.
func (x *transfer) known(now time.Time) bool {
	return x != nil && x.state != "" && x.state != "flying" && !now.Before(x.visible)
}

func (x *transfer) settled() int {
	if x.reversed {
		return x.moved - 1
	}
	return x.moved
}

// The ways in which sends, lookups and reversals go wrong.
func sendKinds() []string {
	return []string{
		"lost", "never", "late", "blind", "blind-long", "accepted", "lost-accepted", "garbage", "refused", "refused-for-now", "refused-payee", "no-float",
		"provider-refuses", "provider-stops", "not-sent", "busy", "busy", "ok-told", "lost-told",
	}
}

func lookupKinds() []string {
	return []string{"silent", "forgets", "denies", "claims", "still-pending", "other-amount", "garbled", "gone"}
}

func reversalKinds() []string { return []string{"ok", "lost", "refused", "not-sent"} }

func newBank(clk clock.Clock, deduplicate bool, quiet time.Duration) *bank {
	return &bank{
		clock: clk, deduplicate: deduplicate, quiet: quiet, transfers: map[string]*transfer{}, sends: map[int][]string{}, lookups: map[int][]string{},
		asked: map[string]bool{}, wait: map[string]time.Time{}, denied: map[string]time.Time{}, spoken: map[string]bool{}, barred: map[string]bool{},
	}
}

// phone is the wallet of a payee: a new one for each change.
func phone(payee, wallet int) string { return fmt.Sprintf("+2250700%04d%02d", wallet, payee) }

func payeeOf(destination string) int {
	n, err := strconv.Atoi(destination[len(destination)-2:])
	if err != nil {
		panic(err)
	}
	return n
}

func next(plans map[int][]string, payee int) string {
	p := plans[payee]
	if len(p) == 0 {
		return "ok"
	}
	plans[payee] = p[1:]
	return p[0]
}

// Submit pays, or does what was planned. A call whose time was over before its first byte is not made.
func (b *bank) Submit(ctx context.Context, t provider.Transfer) provider.Result {
	if ctx.Err() != nil {
		return provider.Result{Class: provider.NotSent, Code: "expired"}
	}
	b.mu.Lock()
	kind := next(b.sends, payeeOf(t.Destination))
	b.again(t)
	res := b.submit(t, kind)
	b.asked[t.Reference] = b.asked[t.Reference] || res.Class != provider.NotSent
	b.mu.Unlock()
	if b.uneven {
		<-time.After(time.Duration(2+t.Reference[0]%8) * 3 * time.Millisecond)
	}
	if kind == "ok-told" || kind == "lost-told" { // before we have the answer, let alone committed it
		b.tell(b.news(t.Reference))
	}
	return res
}

func (b *bank) submit(t provider.Transfer, kind string) provider.Result {
	b.land()
	doubt := provider.Result{Class: provider.Ambiguous, Scope: provider.ScopeProvider, Code: provider.CodeTimeout}
	switch kind {
	case "lost", "lost-told":
		b.arrive(t, "paid")
		return doubt
	case "garbage":
		b.arrive(t, "paid")
		return provider.Result{Class: provider.Ambiguous, Scope: provider.ScopeProvider, Code: "unreadable"}
	case "never":
		return doubt
	case "late":
		if x := b.transfers[t.Reference]; x == nil {
			b.transfers[t.Reference] = &transfer{Transfer: t, state: "flying", lands: b.clock.Now().Add(b.quiet - time.Second)}
		}
		return doubt
	case "blind":
		x := b.arrive(t, "paid")
		x.visible = b.clock.Now().Add(b.quiet - time.Second)
		return doubt
	case "blind-long": // longer than promised: only a bank that pays a reference once may be like that, for it alone is sent a reference again
		x := b.arrive(t, "paid")
		x.visible = b.clock.Now().Add(b.quiet - time.Second)
		if b.deduplicate {
			x.visible, x.beyond = b.clock.Now().Add(b.quiet+blindness), true
		}
		return doubt
	case "lost-accepted":
		b.arrive(t, "pending")
		return doubt
	case "accepted":
		return b.says(b.arrive(t, "pending"))
	case "refused", "refused-for-now", "refused-payee", "no-float", "provider-refuses", "provider-stops":
		return b.refuse(t, kind)
	case "not-sent":
		return provider.Result{Class: provider.NotSent, Scope: provider.ScopeProvider, Code: "dns_failed"}
	case "busy":
		b.wait[t.Reference] = b.clock.Now().Add(busyFor)
		return provider.Result{Class: provider.NotSent, Code: provider.CodeRateLimited, SlowDown: true, RetryAfter: busyFor}
	default:
		return b.says(b.arrive(t, "paid"))
	}
}

// refuse says no, for good as far as this reference goes, unless there is a transfer under it: of that it tells.
func (b *bank) refuse(t provider.Transfer, kind string) provider.Result {
	if x := b.transfers[t.Reference]; x.known(b.clock.Now()) && b.deduplicate {
		return b.says(x)
	}
	if t.Resend { // it may have arrived before, and a refusal would be about that
		return provider.Result{Class: provider.Ambiguous, Scope: provider.ScopeProvider, Code: "refused_resend"}
	}
	b.arrivals = append(b.arrivals, t.Reference)
	b.transfers[t.Reference] = &transfer{Transfer: t, state: "failed"}
	r := provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopePayment, Code: kind}
	switch kind {
	case "refused":
		r.Class = provider.RejectedFinal
	case "refused-payee":
		r.Class, r.Scope = provider.RejectedFinal, provider.ScopePayee
	case "no-float":
		r.Scope, r.Code = provider.ScopeFloat, provider.CodeFloat
	case "provider-refuses":
		r.Scope = provider.ScopeProvider
	case "provider-stops":
		r.Scope, r.Stop = provider.ScopeProvider, true
	}
	return r
}

// arrive is a request that has come in. Where references are not deduplicated, the second one pays a second time.
func (b *bank) arrive(t provider.Transfer, state string) *transfer {
	b.arrivals = append(b.arrivals, t.Reference)
	x := b.transfers[t.Reference]
	if x == nil || x.state == "flying" {
		lands := time.Time{}
		if x != nil {
			lands = x.lands // the first request is still on its way
		}
		x = &transfer{Transfer: t, state: state, lands: lands, first: b.clock.Now()}
		b.transfers[t.Reference] = x
		if state == "paid" {
			x.moved++
		}
		return x
	}
	if x.Amount != t.Amount {
		x.amounts++
	}
	if !b.deduplicate || !x.first.IsZero() && b.clock.Now().Sub(x.first) >= memory {
		x.moved++
	}
	return x
}

// land lets requests arrive whose time has come.
func (b *bank) land() {
	for _, x := range b.transfers {
		if x.lands.IsZero() || b.clock.Now().Before(x.lands) {
			continue
		}
		switch {
		case x.state == "flying":
			x.state, x.first = "paid", x.lands
			x.moved++
		case !b.deduplicate:
			x.moved++
		}
		x.lands = time.Time{}
	}
}

func (b *bank) says(x *transfer) provider.Result {
	id := "bank-" + x.Reference
	switch {
	case x.reversed:
		return provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: provider.CodeReversed, ProviderID: id}
	case x.state == "paid":
		fee := money.Amount{Minor: 10, Currency: x.Amount.Currency}
		return provider.Result{Class: provider.Succeeded, ProviderID: id, Fee: &fee}
	case x.state == "pending":
		return provider.Result{Class: provider.Accepted, Code: "pending", ProviderID: id}
	default:
		return provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "failed", ProviderID: id}
	}
}

// Lookup tells what there is, or lies as planned.
func (b *bank) Lookup(_ context.Context, t provider.Transfer) (provider.Found, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found, err := b.lookup(t)
	if err == nil {
		delete(b.spoken, t.Reference)
	}
	if err == nil && !found.Exists {
		b.denied[t.Reference] = b.clock.Now()
	}
	return found, err
}

// mayForget reports whether it may deny what it has. After a restore there is nothing but its word, so there it does only while a reference that
// comes again is paid once all the same.
func (b *bank) mayForget(x *transfer) bool {
	return x == nil || !x.restored || b.deduplicate && b.clock.Now().Sub(x.first) < memory-2*attempt.ResendWithin
}

func (b *bank) lookup(t provider.Transfer) (provider.Found, error) {
	b.land()
	x := b.transfers[t.Reference]
	kind := next(b.lookups, payeeOf(t.Destination))
	if kind == "forgets" && !b.mayForget(x) {
		kind = "ok"
	}
	if lie := kind == "denies" || kind == "claims" || kind == "other-amount" || kind == "forgets" && x.known(b.clock.Now()) || kind == "garbled" && x == nil; lie {
		if x == nil {
			x = &transfer{Transfer: t}
			b.transfers[t.Reference] = x
		}
		x.lied = true
	}
	no := provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "failed"}
	switch kind {
	case "silent":
		return provider.Found{}, context.DeadlineExceeded
	case "gone": // it says that it cannot say
		return provider.Found{}, provider.ErrForgotten
	case "forgets":
		return provider.Found{}, nil
	case "denies":
		return provider.Found{Exists: true, Result: no}, nil
	case "claims":
		return provider.Found{Exists: true, Result: provider.Result{Class: provider.Succeeded, ProviderID: "bank-" + t.Reference}}, nil
	case "garbled":
		return provider.Found{Exists: true, Result: provider.Result{Class: provider.Ambiguous, Code: "unreadable"}}, nil
	case "still-pending":
		if x.known(b.clock.Now()) && x.state == "paid" && !x.reversed {
			return provider.Found{Exists: true, Result: provider.Result{Class: provider.Accepted, Code: "pending"}}, nil
		}
	case "other-amount":
		more := money.Amount{Minor: t.Amount.Minor + 1, Currency: t.Amount.Currency}
		return provider.Found{Exists: true, Result: provider.Result{Class: provider.Succeeded}, Amount: &more}, nil
	}
	if !x.known(b.clock.Now()) {
		return provider.Found{}, nil
	}
	amount := x.Amount
	return provider.Found{Exists: true, Result: b.says(x), Amount: &amount, Destination: x.Destination}, nil
}

// Reverse takes back what was paid.
func (b *bank) Reverse(_ context.Context, t provider.Transfer, _ string) provider.Result {
	b.mu.Lock()
	defer b.mu.Unlock()
	kind := "ok"
	if len(b.reversals) > 0 {
		kind, b.reversals = b.reversals[0], b.reversals[1:]
	}
	x := b.transfers[t.Reference]
	switch {
	case kind == "not-sent":
		return provider.Result{Class: provider.NotSent, Code: "dns_failed"}
	case kind == "refused" || x == nil || x.state != "paid":
		return provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayment, Code: "not_reversible"}
	}
	x.reversed = true
	if kind == "lost" {
		return provider.Result{Class: provider.Ambiguous, Code: provider.CodeTimeout}
	}
	return provider.Result{Class: provider.Succeeded}
}

// credential is what authenticates the bank's webhooks.
const credential = "the-bank-itself"

// news is a webhook about a reference.
func (b *bank) news(reference string) []byte {
	body, err := json.Marshal(map[string]any{"reference": reference, "at": b.clock.Now()})
	if err != nil {
		panic(err)
	}
	return body
}

// Verify authenticates a webhook.
func (b *bank) Verify(h http.Header, body []byte) ([]string, error) {
	if h.Get("Bank") != credential {
		return nil, provider.ErrForged
	}
	var said struct{ Reference string }
	if err := json.Unmarshal(body, &said); err != nil || said.Reference == "" {
		return nil, provider.ErrUnreadable
	}
	return []string{said.Reference}, nil
}

// each calls fn with what the book has of a payee.
func (b *bank) each(payee int, fn func(x *transfer)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.land()
	for _, x := range b.transfers {
		if payee < 0 || payeeOf(x.Destination) == payee {
			fn(x)
		}
	}
}

// honest ends all that goes wrong from now on, and finishes what is pending.
func (b *bank) honest() {
	b.each(-1, func(x *transfer) {
		if x.state == "pending" {
			x.state, x.moved = "paid", x.moved+1
		}
		x.visible = time.Time{}
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.sends)
	clear(b.lookups)
	b.reversals = nil
}
