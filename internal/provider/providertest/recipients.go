package providertest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
)

// Wallets are what a subject's provider says of some wallets before anything is paid into them.
type Wallets struct {
	Verifier provider.RecipientVerifier
	Amount   money.Amount
	// Good takes the amount and belongs to Name; nobody is called Other.
	Good, Name, Other string
	// Bad are wallets that take nothing, by the code that says why.
	Bad map[string]string
	// Break makes the question go wrong from now on.
	Break func(Fault)
}

// recipients: what a provider says of a wallet is passed on, its name for the wallet is not, and silence is no refusal.
func (r Rig) recipients(t *testing.T) {
	t.Parallel()
	s := r.New(t)
	if s.Wallets == nil {
		return
	}
	w := *s.Wallets
	for name, want := range map[string]provider.NameMatch{w.Name: provider.NameMatches, w.Other: provider.NameDiffers, "": provider.NameUnknown} {
		got, err := w.Verifier.VerifyRecipient(t.Context(), w.Good, name, w.Amount)
		if err != nil || !got.Receives || got.Code != "" || got.Name != want {
			t.Errorf("a good wallet, with a name that is %s: %+v, %v", want, got, err)
		}
	}
	for code, wallet := range w.Bad {
		got, err := w.Verifier.VerifyRecipient(t.Context(), wallet, w.Name, w.Amount)
		if err != nil || got.Receives || got.Code != code {
			t.Errorf("a wallet that takes nothing: %+v, %v, want %s", got, err, code)
		}
		if strings.Contains(fmt.Sprintf("%+v", got), w.Name) {
			t.Errorf("the holder's name is in %+v", got)
		}
	}
	for _, f := range []Fault{ResetBefore, UnavailableBefore, Garbage, TooMany, AccessRefused} {
		w.Break(f)
		got, err := w.Verifier.VerifyRecipient(t.Context(), w.Good, w.Name, w.Amount)
		if err == nil {
			t.Errorf("%s was read as %+v", f, got)
			continue
		}
		if containsAny(err.Error(), s.Secrets) || strings.Contains(err.Error(), strings.TrimPrefix(w.Good, "+")) {
			t.Errorf("a secret or a number is in %q", err)
		}
	}
}

// repeats: a reference that is sent again after its answer was lost pays nothing more, and the repetition is never read as a
// refusal of the payment.
func (r Rig) repeats(t *testing.T) {
	t.Parallel()
	s := r.New(t)
	tr := s.Transfer("ref-1")
	s.Adapter.Submit(t.Context(), tr)
	for _, tr.Resend = range []bool{false, true, true} {
		switch res := s.Adapter.Submit(t.Context(), tr); res.Class {
		case provider.Succeeded, provider.Accepted, provider.Ambiguous:
			discreet(t, s, res)
		default:
			t.Errorf("resend %v: a payment that exists became %+v", tr.Resend, res)
		}
	}
	if n := s.Moved("ref-1"); n != 1 {
		t.Errorf("money moved %d times", n)
	}
	if n := s.Requests("ref-1"); n != 4 {
		t.Errorf("the provider was asked %d times: the case tests nothing", n)
	}
}
