package simulator_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/agogopay/agogo/simulator"
)

// receiver stands where Agogo's webhook would.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	got      []received
	answered func() bool // has the payment's own answer arrived?
}

type received struct {
	authorization, status string
	beforeAnswer          bool
}

const agreed = "Basic YWdyZWVk"

func receive(t *testing.T) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		var c struct{ Status string }
		if err := json.Unmarshal(body, &c); err != nil {
			t.Errorf("callback %s: %v", body, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, received{q.Header.Get("Authorization"), c.Status, r.answered != nil && !r.answered()})
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) all() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]received(nil), r.got...)
}

func TestCallbackModes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mode  string
		fault simulator.Fault
		wait  time.Duration // after which they have all come
		want  []received
	}{
		"normal":           {"normal", "", 0, []received{{agreed, "SUCCESS", false}}},
		"usual":            {"", "", 0, []received{{agreed, "SUCCESS", false}}},
		"duplicated":       {"duplicated", "", 0, []received{{agreed, "SUCCESS", false}, {agreed, "SUCCESS", false}}},
		"late":             {"late", "", time.Minute, []received{{agreed, "SUCCESS", false}}},
		"early":            {"early", "", 0, []received{{agreed, "SUCCESS", true}}},
		"never":            {"never", "", time.Hour, nil},
		"lost answer":      {"", simulator.LostAnswer, 0, []received{{agreed, "SUCCESS", false}}},
		"failed":           {"", simulator.Failed, 0, []received{{agreed, "FAILED", false}}},
		"pending success":  {"", simulator.PendingSuccess, 30 * time.Second, []received{{agreed, "SUCCESS", false}}},
		"pending failed":   {"", simulator.PendingFailed, 30 * time.Second, []received{{agreed, "FAILED", false}}},
		"pending forever":  {"", simulator.PendingForever, time.Hour, nil},
		"nothing happened": {"", simulator.ResetBefore, time.Hour, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := receive(t)
			w := ready(t, simulator.Config{Orange: simulator.OrangeConfig{Callback: simulator.Callback{URL: r.URL, Authorization: agreed, Mode: c.mode, Delay: time.Minute}}})
			if c.fault != "" {
				if err := w.sim.AddRule(simulator.Rule{Provider: simulator.Orange, Operation: "cashin", Fault: c.fault, Duration: 30 * time.Second}); err != nil {
					t.Fatal(err)
				}
			}
			answered := false
			r.answered = func() bool { return answered }
			w.cashin("ref-1", peer, amount)
			r.mu.Lock()
			answered = true
			r.mu.Unlock()
			if c.wait > 0 {
				if n := len(r.all()); n != 0 {
					t.Fatalf("%d came at once", n)
				}
			}
			w.until("the callbacks have come", func() bool {
				w.clock.advance(c.wait) // again and again: the callback may begin to wait after the first time
				return len(r.all()) >= len(c.want)
			})
			if err := w.sim.Close(); err != nil { // ends what is still under way
				t.Fatal(err)
			}
			got := r.all()
			if len(got) != len(c.want) {
				t.Fatalf("got %+v, want %+v", got, c.want)
			}
			for i, g := range got {
				if g.authorization != c.want[i].authorization || g.status != c.want[i].status || c.mode == "early" && !g.beforeAnswer {
					t.Errorf("got %+v, want %+v", g, c.want[i])
				}
			}
		})
	}
}

func TestForgedCallbackLiesAndLacksTheAgreedHeader(t *testing.T) {
	t.Parallel()
	r := receive(t)
	w := ready(t, simulator.Config{Orange: simulator.OrangeConfig{Callback: simulator.Callback{URL: r.URL, Authorization: agreed}}},
		simulator.Rule{Provider: simulator.Orange, Operation: "cashin", Fault: simulator.PendingForever, Callback: "forged"})
	w.cashin("ref-1", peer, amount)
	w.until("the forgery has come", func() bool { return len(r.all()) == 1 })
	if got := r.all()[0]; got.status != "SUCCESS" || got.authorization == agreed {
		t.Errorf("got %+v", got)
	}
	if times, _ := w.moved("ref-1"); times != 0 {
		t.Errorf("moved %d times", times)
	}
}

func TestCallbackIsNotRepeatedWhenRefused(t *testing.T) {
	t.Parallel()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	t.Cleanup(refusing.Close)
	w := ready(t, simulator.Config{})
	body := map[string]any{"provider": simulator.Orange, "url": refusing.URL, "authorization": agreed, "mode": "normal", "delay": "1s"}
	w.want(w.control("PUT", "/_control/callback", body), http.StatusNoContent, nil)
	w.cashin("ref-1", peer, amount)
	w.until("the callback was refused", func() bool { return w.calls("callback", "delivered_refused") == 1 })
	w.clock.advance(24 * time.Hour)
	if n := w.calls("callback", "delivered_refused"); n != 1 {
		t.Errorf("%d tries", n)
	}
}
