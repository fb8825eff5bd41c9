package simulator_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/simulator"
)

// mailbox stands where Agogo's webhook would, and keeps what came with which header.
type mailbox struct {
	*httptest.Server
	mu  sync.Mutex
	got []string
}

func openMailbox(t *testing.T) *mailbox {
	m := &mailbox{}
	m.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.got = append(m.got, r.Header.Get("X-Shop")+" "+string(body))
	}))
	t.Cleanup(m.Close)
	return m
}

func (m *mailbox) all() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.Clone(m.got)
	slices.Sort(all)
	return all
}

func TestNotificationsCarryTheStaticHeader(t *testing.T) {
	t.Parallel()
	status := `{"PaymentId":"ID","ChangeType":1}`
	for name, c := range map[string]struct {
		mode, token string
		fault       simulator.Fault
		wait        time.Duration
		want        []string
	}{
		"normal":          {"", "tok_ok_1", "", 0, []string{"shared " + status}},
		"duplicated":      {"duplicated", "tok_ok_1", "", 0, []string{"shared " + status, "shared " + status}},
		"late":            {"late", "tok_ok_1", "", time.Minute, []string{"shared " + status}},
		"early":           {"early", "tok_ok_1", "", 0, []string{"shared " + status}},
		"forged":          {"forged", "tok_ok_1", "", 0, []string{"forged " + status, "shared " + status}},
		"never":           {"never", "tok_ok_1", "", time.Hour, nil},
		"declined":        {"", "tok_soft_51_1", "", time.Hour, nil},
		"pending":         {"", "tok_pending_1", "", 5 * time.Second, []string{"shared " + status}},
		"pending for now": {"", "tok_pending_1", "", time.Second, nil},
		"lost answer":     {"", "tok_ok_1", simulator.LostAnswer, 0, []string{"shared " + status}},
		"chargeback":      {"", "tok_ok_1", simulator.Chargeback, time.Hour, []string{"shared " + status, `shared {"PaymentId":"ID","ChangeType":7}`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := openMailbox(t)
			w := start(t, simulator.Config{Cielo: simulator.CieloConfig{Webhook: simulator.Webhook{
				URL: m.URL, Header: "X-Shop", Value: "shared", Mode: c.mode, Delay: time.Minute,
			}}})
			if c.fault != "" {
				rule := cieloRule("sale", c.fault)
				rule.Duration = time.Hour
				if err := w.sim.AddRule(rule); err != nil {
					t.Fatal(err)
				}
			}
			w.sale("order1", c.token)
			w.clock.advance(c.wait)
			var want []string
			for _, text := range c.want {
				want = append(want, replaceID(text, w.transactions("order1")[0]))
			}
			w.until("all have come", func() bool {
				if len(m.all()) >= len(want) {
					return true
				}
				w.clock.advance(c.wait) // a busy machine may have set a timer only after the first time was over
				return false
			})
			if d := cmp.Diff(want, m.all()); d != "" {
				t.Error(d)
			}
		})
	}
}

func replaceID(text, id string) string {
	const mark = `"ID"`
	for i := range len(text) - len(mark) {
		if text[i:i+len(mark)] == mark {
			return text[:i] + `"` + id + `"` + text[i+len(mark):]
		}
	}
	return text
}

func TestADisputeShowsInQueries(t *testing.T) {
	t.Parallel()
	m := openMailbox(t)
	w := start(t, simulator.Config{})
	w.want(w.control("PUT", "/_control/callback", `{"provider":"cielo","url":"`+m.URL+`","header":"X-Shop","value":"shared"}`), http.StatusNoContent, nil)
	id := cardOf(t, w.sale("order1", "tok_ok_1")).Payment.PaymentID
	w.sale("order2", "tok_soft_51_1")
	if r := w.control("POST", "/_control/chargeback", `{"provider":"cielo","reference":"order2"}`); r.status != http.StatusBadRequest {
		t.Errorf("a declined charge was disputed: %d", r.status)
	}
	w.want(w.control("POST", "/_control/chargeback", `{"provider":"cielo","reference":"order1"}`), http.StatusNoContent, nil)
	if c := cardOf(t, w.transaction(id)); len(c.Payment.Chargebacks) != 1 || c.Payment.Chargebacks[0].Amount != 4990 {
		t.Errorf("chargebacks %+v", c.Payment.Chargebacks)
	}
	w.until("both notifications", func() bool { return len(m.all()) == 2 })
	if e := w.charged("order1"); e.Moved != 1 {
		t.Errorf("a dispute is not the charge's undoing: %+v", e)
	}
}

// What is given back shows in queries and in the book, and is notified; what is not there cannot be given back.
func TestARefundShowsInQueries(t *testing.T) {
	t.Parallel()
	m := openMailbox(t)
	w := start(t, simulator.Config{})
	w.want(w.control("PUT", "/_control/callback", `{"provider":"cielo","url":"`+m.URL+`","header":"X-Shop","value":"shared"}`), http.StatusNoContent, nil)
	id := cardOf(t, w.sale("order1", "tok_ok_1")).Payment.PaymentID
	w.sale("order2", "tok_soft_51_1")
	for _, wrong := range []string{
		`{"provider":"cielo","reference":"order2"}`, `{"provider":"cielo","reference":"nobody"}`, `{"provider":"cielo","reference":"order1","minor":4991}`,
		`{"provider":"cielo","reference":"order1","minor":-1}`, `{"provider":"orange_omr","reference":"order1"}`, `{"reference":"order1"}`,
	} {
		if r := w.control("POST", "/_control/refund", wrong); r.status != http.StatusBadRequest {
			t.Errorf("%s: %d", wrong, r.status)
		}
	}
	if c := cardOf(t, w.transaction(id)); string(c.Payment.Status) != "2" || c.Payment.VoidedAmount != 0 {
		t.Errorf("nothing was given back, yet: %+v", c)
	}
	for _, step := range []struct {
		minor  string
		voided int64
		status string
	}{{"1000", 1000, "2"}, {"500", 1500, "2"}, {"0", 4990, "10"}} {
		w.want(w.control("POST", "/_control/refund", `{"provider":"cielo","reference":"order1","minor":`+step.minor+`}`), http.StatusNoContent, nil)
		if c := cardOf(t, w.transaction(id)); c.Payment.VoidedAmount != step.voided || string(c.Payment.Status) != step.status || string(c.Payment.CapturedAmount) != "4990" {
			t.Errorf("after %s: %+v", step.minor, c)
		}
		if e := w.charged("order1"); e.Moved != 1 || e.MovedMinor != 4990 || e.Refunded != step.voided {
			t.Errorf("after %s: %+v", step.minor, e)
		}
	}
	if r := w.control("POST", "/_control/refund", `{"provider":"cielo","reference":"order1"}`); r.status != http.StatusBadRequest {
		t.Errorf("more than all: %d", r.status)
	}
	w.until("a notification of the charge and one of each refund", func() bool { return len(m.all()) == 4 })
}

// Disputes have numbers of their own, and the shop may accept them.
func TestDisputesAreCases(t *testing.T) {
	t.Parallel()
	w := start(t, simulator.Config{})
	id := cardOf(t, w.sale("order1", "tok_ok_1")).Payment.PaymentID
	for body, want := range map[string]int{
		`{"provider":"cielo","reference":"order1","accepted":true}`:           http.StatusBadRequest, // there is none
		`{"provider":"cielo","reference":"order1","minor":4991}`:              http.StatusBadRequest,
		`{"provider":"cielo","reference":"order1","minor":-1}`:                http.StatusBadRequest,
		`{"provider":"cielo","reference":"order1","minor":1,"accepted":true}`: http.StatusBadRequest,
		`{"provider":"orange_omr","reference":"order1","minor":1}`:            http.StatusBadRequest,
		`{"provider":"cielo","reference":"order1","amount":1}`:                http.StatusBadRequest,
	} {
		if r := w.control("POST", "/_control/chargeback", body); r.status != want {
			t.Errorf("%s: %d", body, r.status)
		}
	}
	for _, minor := range []int64{1000, 500} {
		if err := w.sim.Dispute("order1", minor); err != nil {
			t.Fatal(err)
		}
	}
	got := cardOf(t, w.transaction(id)).Payment.Chargebacks
	if len(got) != 2 || got[0].Amount != 1000 || got[1].Amount != 500 || got[0].CaseNumber == got[1].CaseNumber || got[0].Status != "Received" {
		t.Fatalf("chargebacks %+v", got)
	}
	w.want(w.control("POST", "/_control/chargeback", `{"provider":"cielo","reference":"order1","accepted":true}`), http.StatusNoContent, nil)
	for i, c := range cardOf(t, w.transaction(id)).Payment.Chargebacks {
		if c.Status != "AcceptedByMerchant" || c.CaseNumber != got[i].CaseNumber {
			t.Errorf("accepted: %+v, before %+v", c, got[i])
		}
	}
}

func TestControlOfTheGateway(t *testing.T) {
	t.Parallel()
	w := start(t, simulator.Config{})
	for body, want := range map[string]int{
		`{"provider":"cielo","url":"http://h","header":"X-A","value":"v","mode":"late","delay":"3s"}`: http.StatusNoContent,
		`{"provider":"cielo","url":"nowhere"}`:                                                        http.StatusBadRequest,
		`{"provider":"cielo","url":"http://h","authorization":"x"}`:                                   http.StatusBadRequest,
		`{"provider":"orange_omr","url":"http://h","header":"X-A"}`:                                   http.StatusBadRequest,
		`{"provider":"cielo","url":"http://h","mode":"never"}`:                                        http.StatusNoContent,
		`{"provider":"cielo","url":"http://h","mode":"sometimes"}`:                                    http.StatusBadRequest,
		`{"provider":"cielo","url":"http://h","delay":"a while"}`:                                     http.StatusBadRequest,
		`{"provider":"elsewhere","url":"http://h","header":"Header"}`:                                 http.StatusBadRequest,
	} {
		if r := w.control("PUT", "/_control/callback", body); r.status != want {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
	w.want(w.control("PUT", "/_control/latency", `{"provider":"cielo","operation":"sale","fixed":"1ms"}`), http.StatusNoContent, nil)
	w.want(w.control("PUT", "/_control/plan", `{"rules":[{"provider":"cielo","operation":"sale","match":{"token":"tok_ok*"},"fault":"chargeback","duration":"1h"}]}`), http.StatusNoContent, nil)
	if r := w.control("PUT", "/_control/plan", `{"rules":[{"provider":"cielo","operation":"sale","fault":"identical"}]}`); r.status != http.StatusBadRequest {
		t.Errorf("a fault that cards do not have: %d", r.status)
	}
	if _, err := simulator.New(simulator.Config{Cielo: simulator.CieloConfig{Webhook: simulator.Webhook{URL: "nowhere"}}}); err == nil {
		t.Error("a webhook without an address was accepted")
	}
}
