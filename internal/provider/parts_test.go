package provider

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/clock"
)

func TestOneCallerFetchesTheTokenForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fetches atomic.Int64
		release := make(chan struct{})
		tokens := NewTokens(clock.NewVirtual(time.Unix(0, 0)), func(context.Context) (Token, error) {
			fetches.Add(1)
			<-release
			return Token{Value: "t1", Life: time.Hour}, nil
		})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if v, err := tokens.Get(t.Context()); v != "t1" || err != nil {
					t.Errorf("got %q, %v", v, err)
				}
			})
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		if n := fetches.Load(); n != 1 {
			t.Errorf("%d fetches for 20 callers", n)
		}
	})
}

func TestTokenIsRenewedBeforeItExpiresAndWhenRefused(t *testing.T) {
	t.Parallel()
	vc := clock.NewVirtual(time.Unix(0, 0))
	n := 0
	tokens := NewTokens(vc, func(context.Context) (Token, error) {
		n++
		return Token{Value: strings.Repeat("t", n), Life: 100 * time.Second}, nil
	})
	get := func() string {
		t.Helper()
		v, err := tokens.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if first, second := get(), get(); first != "t" || second != "t" {
		t.Fatalf("got %q, then %q: the first token was not kept", first, second)
	}
	vc.Advance(91 * time.Second) // a tenth of its life is left
	if get() != "tt" {
		t.Error("a token about to expire was handed out")
	}
	tokens.Forget("t") // an answer to a call made with the old one
	if get() != "tt" {
		t.Error("refusing the old token dropped the new one")
	}
	tokens.Forget("tt")
	if get() != "ttt" {
		t.Error("a refused token was handed out again")
	}
}

func TestTokenWaiterOutlivesItsImpatientLeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		tokens := NewTokens(clock.NewVirtual(time.Unix(0, 0)), func(ctx context.Context) (Token, error) {
			if n.Add(1) == 1 {
				<-ctx.Done()
				return Token{}, &Failure{Result{Class: NotSent, Code: CodeExpired}}
			}
			return Token{Value: "ok", Life: time.Hour}, nil
		})
		leader, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := tokens.Get(leader); err == nil {
				t.Error("the cancelled leader got a token")
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if v, err := tokens.Get(t.Context()); v != "ok" || err != nil {
				t.Errorf("the waiter got %q, %v", v, err)
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
	})
}

func TestTokenFailureReachesAllWaiters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		release := make(chan struct{})
		tokens := NewTokens(clock.NewVirtual(time.Unix(0, 0)), func(context.Context) (Token, error) {
			n.Add(1)
			<-release
			return Token{}, &Failure{Result{Class: NotSent, Code: CodeRateLimited}}
		})
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				var f *Failure
				if _, err := tokens.Get(t.Context()); !errors.As(err, &f) {
					t.Errorf("got %v", err)
				}
			})
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		if n.Load() != 1 {
			t.Errorf("a refusing token endpoint was asked %d times at once", n.Load())
		}
	})
}

func TestSlotsAreNeverOverbooked(t *testing.T) {
	t.Parallel()
	th := NewThrottle(0, 4)
	var open, most atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			part := th.Part("run")
			n, err := part.Slots(t.Context(), 3)
			if err != nil || n < 1 || n > 3 {
				t.Errorf("got %d slots, %v", n, err)
				return
			}
			now := open.Add(int64(n))
			for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
			}
			open.Add(int64(-n))
			part.Free(n)
		})
	}
	wg.Wait()
	if most.Load() > 4 || th.InUse() != 0 {
		t.Errorf("%d of 4 slots were open at once, %d are left", most.Load(), th.InUse())
	}
}

func TestSlotsWaitForAFreeOneAndFollowTheShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := NewThrottle(0, 8)
		th.Share(4)
		n, err := th.Part("run").Slots(t.Context(), 100)
		if err != nil || n != 2 {
			t.Fatalf("a quarter of 8 slots is %d (%v)", n, err)
		}
		got := make(chan int, 1)
		go func() { n, _ := th.Part("run").Slots(t.Context(), 100); got <- n }()
		synctest.Wait()
		select {
		case n := <-got:
			t.Fatalf("got %d slots while none was free", n)
		default:
		}
		th.Share(2)
		if n := <-got; n != 2 {
			t.Errorf("the larger share gave %d more", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := th.Part("run").Slots(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestRateIsSharedAmongReplicas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := NewThrottle(100, 16)
		th.Share(2)
		start := time.Now()
		for n := 0; n < 200; {
			k, err := th.Take(t.Context(), min(5, 200-n))
			if err != nil || k < 1 || k > 5 {
				t.Fatalf("took %d, %v", k, err)
			}
			n += k
		}
		// 200 calls at 50 a second, less the burst of 12.
		if took := time.Since(start); took < 3700*time.Millisecond || took > 4*time.Second {
			t.Errorf("200 calls took %s", took)
		}
	})
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		r    Result
		want bool
	}{
		{Result{Class: Ambiguous, Scope: ScopeProvider}, true},
		{Result{Class: NotSent, Scope: ScopeProvider}, true},
		{Result{Class: NotSent, Code: CodeRateLimited}, false},
		{Result{Class: RejectedRetryable, Scope: ScopeProvider}, true},
		{Result{Class: RejectedFinal, Scope: ScopePayee}, false},
		{Result{Class: RejectedRetryable, Scope: ScopeFloat}, false},
		{Result{Class: Succeeded}, false},
		{Result{Class: Accepted}, false},
	} {
		if got := c.r.Fault(); got != c.want {
			t.Errorf("%s %s: fault=%v", c.r.Class, c.r.Scope, got)
		}
	}
}

func TestBeforeSendTurnsDoubtIntoNotSent(t *testing.T) {
	t.Parallel()
	r := Result{Class: Ambiguous, Scope: ScopeProvider, Code: CodeTimeout}.BeforeSend("token")
	if r.Class != NotSent || r.Code != "token_timeout" || !r.Fault() {
		t.Errorf("got %+v", r)
	}
	if r := (Result{Class: RejectedRetryable, Stop: true}).BeforeSend("token"); r.Class != RejectedRetryable || !r.Stop {
		t.Errorf("a refused credential became %+v", r)
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Transaction identique.":            "Transaction identique.",
		"Payee 0700000101 unknown":          "Payee … unknown",
		"Payee +225 07 00 00 01 01 unknown": "Payee +… unknown",
		"Payee 07.00-00(01)01":              "Payee …",
		"code 60, limit 2000":               "code 60, limit 2000",
		"mail to ada@example.com please":    "mail to … please",
		"bearer s3cr3t here":                "bearer … here",
		"two\nlines\tand\x00more":           "two lines and more",
		"\xff\xfe broken":                   "broken",
		strings.Repeat("é", 130):            strings.Repeat("é", 120) + "…",
		"١٢٣٤٥٦٧ in other digits":           "… in other digits",
	} {
		if got := Redact(in, "s3cr3t"); got != want {
			t.Errorf("Redact(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestRedactLeavesNoNumberWhateverTheText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before, after := rapid.String().Draw(t, "before"), rapid.String().Draw(t, "after")
		phone := rapid.StringMatching(`0[1-9]([ .-]?[0-9]{2}){4}`).Draw(t, "phone")
		got := Redact(before+phone+after, "s3cr3t")
		if strings.Contains(got, phone) || !utf8.ValidString(got) || strings.ContainsAny(got, "\n\r") {
			t.Fatalf("%q is left of %q", got, before+phone+after)
		}
	})
}
