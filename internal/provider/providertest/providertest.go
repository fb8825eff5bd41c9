// Package providertest is the conformance suite of adapters, of those that pay out and of those that charge cards: whatever a
// provider does, an adapter says what is known about the money, no more and no less. The judge is the provider's book of what really moved. It is imported by tests only.
package providertest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/provider"
)

// Adapter is what an adapter can do at least.
type Adapter interface {
	provider.Submitter
	provider.Lookuper
}

// Subject is an adapter before a provider of its own, with an empty book and no faults.
type Subject struct {
	Adapter Adapter
	// Transfer makes a transfer that the provider would pay.
	Transfer func(reference string) provider.Transfer
	// Break makes all payments, or lookups for faults of lookups, go wrong from now on; Mend ends that.
	Break func(Fault)
	Mend  func()
	// Moved is how often money moved for a reference, Requests how often it was asked for, both by the provider's book.
	Moved    func(reference string) int
	Requests func(reference string) int
	// Webhook is nil for a provider that sends none. Callback is then what the provider would post about a reference, and Names
	// how it names it there, nil when by the reference itself.
	Webhook  provider.WebhookVerifier
	Callback func(reference string) (http.Header, []byte)
	Names    func(reference string) string
	// Secrets must not be in any result: keys, PINs.
	Secrets []string
	// Wallets is nil for a provider that verifies no recipients.
	Wallets *Wallets
}

// Rig makes subjects of one kind.
type Rig struct {
	// Faults are those that the provider can show; what is not listed is not tried.
	Faults []Fault
	New    func(t testing.TB) Subject
	// Asynchronous providers accept a payment and make it afterwards: where others answer SUCCEEDED, they answer ACCEPTED.
	Asynchronous bool
	// Deduplicates says that the provider pays a reference once, however often it comes.
	Deduplicates bool
}

// Run holds an adapter against the whole suite.
func Run(t *testing.T, r Rig) {
	t.Run("pays once", r.pays)
	for _, f := range r.Faults {
		e, ok := expectations[f]
		if !ok {
			t.Fatalf("the suite does not know the fault %q", f)
		}
		t.Run("fault "+string(f), func(t *testing.T) { r.fault(t, f, e) })
		if e.lookup {
			t.Run("lookup during "+string(f), func(t *testing.T) { r.lookupFault(t, f) })
			t.Run("name during "+string(f), func(t *testing.T) { r.nameFault(t, f) })
		}
	}
	t.Run("lookups", r.lookups)
	t.Run("expired before the first byte", r.expired)
	t.Run("cancelled at any moment", r.cancelled)
	t.Run("many at once", r.parallel)
	t.Run("webhooks", r.webhooks)
	t.Run("names", r.names)
	t.Run("recipients", r.recipients)
	if r.Deduplicates {
		t.Run("a repeated reference", r.repeats)
	}
}

func (r Rig) pays(t *testing.T) {
	t.Parallel()
	s := r.New(t)
	res := s.Adapter.Submit(t.Context(), s.Transfer("ref-1"))
	judge(t, s, "ref-1", res)
	if res.Class != provider.Succeeded && res.Class != provider.Accepted {
		t.Errorf("a provider without faults: %+v", res)
	}
}

// fault compares the result of one payment with what the fault allows, and with the book.
func (r Rig) fault(t *testing.T, f Fault, e expectation) {
	t.Parallel()
	s := r.New(t)
	s.Break(f)
	tr := s.Transfer("ref-1")
	tr.Resend = f == IdenticalAfterResend || f == AccessRefusedToResend
	ctx := t.Context()
	if f == TimeoutAfter {
		ctx = untilMoved(t, s)
	}
	res := s.Adapter.Submit(ctx, tr)
	want := e.class
	if r.Asynchronous && want == provider.Succeeded {
		want = provider.Accepted
	}
	if res.Class != want {
		t.Errorf("class %s, want %s (%+v)", res.Class, want, res)
	}
	if e.scope != anyScope && res.Scope != e.scope {
		t.Errorf("scope %q, want %q (%+v)", res.Scope, e.scope, res)
	}
	if res.Stop != e.stop {
		t.Errorf("stop is %v, want %v", res.Stop, e.stop)
	}
	if e.alarm && res.Alarm == "" {
		t.Errorf("nobody is told: %+v", res)
	}
	if res.SlowDown != e.slowDown {
		t.Errorf("asked to slow down is %v, want %v", res.SlowDown, e.slowDown)
	}
	if e.retryAfter && res.RetryAfter <= 0 {
		t.Errorf("the wait that the provider asked for is lost: %+v", res)
	}
	if n := s.Moved("ref-1"); n != e.moved {
		t.Errorf("the rig moved money %d times, the suite expects %d of this fault", n, e.moved)
	}
	judge(t, s, "ref-1", res)
}

// untilMoved ends when the provider has paid: the caller's time is over then, however slow the machine is that both run on.
func untilMoved(t testing.TB, s Subject) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() {
		look := time.NewTicker(5 * time.Millisecond)
		defer look.Stop()
		for ctx.Err() == nil && s.Moved("ref-1") == 0 {
			select {
			case <-look.C:
			case <-ctx.Done():
			}
		}
		cancel()
	}()
	return ctx
}

// judge holds a result against the book: what it claims is so, and the adapter asked no more than once.
func judge(t testing.TB, s Subject, reference string, res provider.Result) {
	t.Helper()
	moved := s.Moved(reference)
	switch res.Class {
	case provider.Succeeded:
		if moved != 1 {
			t.Errorf("%s: reported as paid, the book moved money %d times", reference, moved)
		}
	case provider.RejectedFinal, provider.RejectedRetryable, provider.NotSent:
		if moved != 0 {
			t.Errorf("%s: reported as %s, the book moved money %d times", reference, res.Class, moved)
		}
	case provider.Accepted, provider.Ambiguous:
	default:
		t.Errorf("%s: class %q is none", reference, res.Class)
	}
	if n := s.Requests(reference); n > 1 {
		t.Errorf("%s: the adapter asked for the payment %d times in one call", reference, n)
	}
	if res.Code == "" && res.Class != provider.Succeeded {
		t.Errorf("%s: %s without a code", reference, res.Class)
	}
	discreet(t, s, res)
}

// carried is what of a provider's words reaches logs and events: a few codes, each of a bounded length.
var carried = regexp.MustCompile(`^([A-Za-z0-9_.:-]{1,40}|…)?( ([A-Za-z0-9_.:-]{1,40}|…)){0,5} ?$`)

// discreet finds secrets and telephone numbers in everything that results carry into logs and events.
func discreet(t testing.TB, s Subject, res provider.Result) {
	t.Helper()
	text := fmt.Sprintf("%s %s %s %s", res.Code, res.ProviderCode, res.Alarm, res.ProviderID)
	for _, secret := range s.Secrets {
		if secret != "" && strings.Contains(text, secret) {
			t.Errorf("a secret is in %+v", res)
		}
	}
	if !carried.MatchString(res.ProviderCode) {
		t.Errorf("what the provider wrote goes on as %q: only words of a closed alphabet do", res.ProviderCode)
	}
	phone := strings.TrimPrefix(s.Transfer("x").Destination, "+")
	if tail := phone[max(0, len(phone)-8):]; strings.Contains(strings.NewReplacer(" ", "", "-", "", ".", "").Replace(text), tail) {
		t.Errorf("the payee's number is in %+v", res)
	}
}

// lookupFault: a lookup that is not answered is never "there is no such payment".
func (r Rig) lookupFault(t *testing.T, f Fault) {
	t.Parallel()
	s := r.New(t)
	s.Adapter.Submit(t.Context(), s.Transfer("ref-1"))
	s.Break(f)
	found, err := s.Adapter.Lookup(t.Context(), s.Transfer("ref-1"))
	switch {
	case err == nil && !found.Exists:
		t.Errorf("%s was read as absence", f)
	case err == nil && found.Result.Class != provider.Succeeded && found.Result.Class != provider.Accepted:
		t.Errorf("%s was read as %s", f, found.Result.Class)
	case err != nil && containsAny(err.Error(), s.Secrets):
		t.Errorf("a secret is in %q", err)
	}
	s.Mend()
	if found, err := s.Adapter.Lookup(t.Context(), s.Transfer("ref-1")); err != nil || !found.Exists {
		t.Errorf("after the fault: %+v, %v", found, err)
	}
}

func containsAny(text string, parts []string) bool {
	for _, p := range parts {
		if p != "" && strings.Contains(text, p) {
			return true
		}
	}
	return false
}

func (r Rig) lookups(t *testing.T) {
	t.Parallel()
	s := r.New(t)
	tr := s.Transfer("ref-1")
	if f, err := s.Adapter.Lookup(t.Context(), tr); err != nil || f.Exists {
		t.Errorf("before the payment: %+v, %v", f, err)
	}
	s.Adapter.Submit(t.Context(), tr)
	f, err := s.Adapter.Lookup(t.Context(), tr)
	if err != nil || !f.Exists || (f.Result.Class != provider.Succeeded && f.Result.Class != provider.Accepted) {
		t.Fatalf("after the payment: %+v, %v", f, err)
	}
	if f.Amount != nil && *f.Amount != tr.Amount {
		t.Errorf("amount %+v, paid were %+v", *f.Amount, tr.Amount)
	}
	discreet(t, s, f.Result)
	if n := s.Requests("ref-1"); n != 1 {
		t.Errorf("looking up asked for the payment: %d requests", n)
	}
}

// expired: a call whose time is over before it begins sends nothing and says so.
func (r Rig) expired(t *testing.T) {
	t.Parallel()
	s := r.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	res := s.Adapter.Submit(ctx, s.Transfer("ref-1"))
	if res.Class != provider.NotSent || res.Fault() || s.Requests("ref-1") != 0 {
		t.Errorf("got %+v after %d requests; our own lateness is NOT_SENT and no fault of the provider", res, s.Requests("ref-1"))
	}
}

// cancelled: whenever a call is called off, it is either proven not to have reached the provider or in doubt.
func (r Rig) cancelled(t *testing.T) {
	t.Parallel()
	s := r.New(t)
	s.Adapter.Submit(t.Context(), s.Transfer("ref-warm")) // a token and a connection, so that the moments differ by the payment
	results := make([]provider.Result, 60)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*100*time.Microsecond)
			defer cancel()
			results[i] = s.Adapter.Submit(ctx, s.Transfer(fmt.Sprintf("ref-%d", i)))
		})
	}
	wg.Wait()
	unsent := 0
	for i, res := range results {
		judge(t, s, fmt.Sprintf("ref-%d", i), res)
		if res.Class == provider.NotSent {
			unsent++
			if n := s.Requests(fmt.Sprintf("ref-%d", i)); n != 0 {
				t.Errorf("call %d was reported as never sent, the provider has %d requests", i, n)
			}
		}
	}
	if unsent == 0 {
		t.Error("no call was called off before it was sent: the case tests nothing")
	}
}

func (r Rig) parallel(t *testing.T) {
	t.Parallel()
	s := r.New(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			reference := fmt.Sprintf("ref-%d", i)
			judge(t, s, reference, s.Adapter.Submit(t.Context(), s.Transfer(reference)))
		})
	}
	wg.Wait()
	for i := range 20 {
		if n := s.Requests(fmt.Sprintf("ref-%d", i)); n != 1 {
			t.Errorf("payment %d was asked for %d times", i, n)
		}
	}
}

func (r Rig) webhooks(t *testing.T) {
	t.Parallel()
	s := r.New(t)
	if s.Webhook == nil {
		return
	}
	h, body := s.Callback("ref-1")
	name := "ref-1"
	if s.Names != nil {
		name = s.Names(name)
	}
	refs, err := s.Webhook.Verify(h, body)
	if err != nil || len(refs) != 1 || refs[0] != name {
		t.Fatalf("an authentic webhook: %v, %v", refs, err)
	}
	for _, header := range forgeries(h) {
		if refs, err := s.Webhook.Verify(header, body); !errors.Is(err, provider.ErrForged) || len(refs) != 0 {
			t.Errorf("forged headers %v: %v, %v", header, refs, err)
		}
	}
	for _, garbage := range []string{"", "null", "[]", "{", "<html>", `{"transactionId":1}`} {
		refs, err := s.Webhook.Verify(h, []byte(garbage))
		if len(refs) != 0 || !errors.Is(err, provider.ErrUnreadable) && !errors.Is(err, provider.ErrForged) {
			t.Errorf("body %q: %v, %v", garbage, refs, err)
		}
	}
}

// names: of an id that its webhooks name, a provider tells the reference that was sent, and of any other one none.
func (r Rig) names(t *testing.T) {
	t.Parallel()
	s := r.New(t)
	n, ok := s.Adapter.(provider.Namer)
	if !ok {
		return
	}
	res := s.Adapter.Submit(t.Context(), s.Transfer("ref-1"))
	want := s.Transfer("ref-1").Reference
	for _, id := range []string{res.ProviderID, strings.ToUpper(res.ProviderID)} {
		if got, err := n.ReferenceOf(t.Context(), id); err != nil || got != want {
			t.Errorf("the id %q of %s: %q, %v", id, want, got, err)
		}
	}
	strange := strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' {
			return '0' + (c-'0'+1)%10
		}
		return c
	}, res.ProviderID)
	for _, id := range []string{strange, "", "../" + res.ProviderID, "nothing"} {
		if got, err := n.ReferenceOf(t.Context(), id); err == nil {
			t.Errorf("an id that it does not know, %q: %q", id, got)
		}
	}
	if n := s.Requests("ref-1"); n != 1 {
		t.Errorf("asking whose an id is asked for the payment: %d requests", n)
	}
}

// nameFault: an answer that fails says nothing of whose an id is.
func (r Rig) nameFault(t *testing.T, f Fault) {
	t.Parallel()
	s := r.New(t)
	n, ok := s.Adapter.(provider.Namer)
	if !ok {
		return
	}
	res := s.Adapter.Submit(t.Context(), s.Transfer("ref-1"))
	want := s.Transfer("ref-1").Reference
	s.Break(f)
	switch got, err := n.ReferenceOf(t.Context(), res.ProviderID); {
	case err == nil && got != want:
		t.Errorf("%s was read as %q", f, got)
	case err != nil && containsAny(err.Error(), s.Secrets):
		t.Errorf("a secret is in %q", err)
	}
	s.Mend()
	if got, err := n.ReferenceOf(t.Context(), res.ProviderID); err != nil || got != want {
		t.Errorf("after the fault: %q, %v", got, err)
	}
}

// forgeries are the headers with each credential left out, cut short, and replaced.
func forgeries(h http.Header) []http.Header {
	forged := []http.Header{{}, nil}
	for name, values := range h {
		if strings.EqualFold(name, "Content-Type") || len(values) == 0 {
			continue
		}
		v := values[0]
		for _, wrong := range []string{"", v[:len(v)-1], v + "x", strings.ToUpper(v) + "!", "Basic"} {
			other := h.Clone()
			other.Set(name, wrong)
			forged = append(forged, other)
		}
	}
	return forged
}
