package simulator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agogopay/agogo/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hands is a clock that stands still until it is moved; sleepers wait for that, or for their context.
type hands struct {
	mu    sync.Mutex
	now   time.Time
	moved chan struct{}

	sleepers atomic.Int64
}

func newHands() *hands {
	return &hands{now: time.Date(2025, 1, 24, 23, 59, 5, 0, time.UTC), moved: make(chan struct{})}
}

func (h *hands) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// asleep is how many wait for a time.
func (h *hands) asleep() int64 { return h.sleepers.Load() }

func (h *hands) Sleep(ctx context.Context, d time.Duration) error {
	h.sleepers.Add(1)
	defer h.sleepers.Add(-1)
	until := h.Now().Add(d)
	for d > 0 {
		h.mu.Lock()
		now, moved := h.now, h.moved
		h.mu.Unlock()
		if !now.Before(until) {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

func (h *hands) advance(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
	close(h.moved)
	h.moved = make(chan struct{})
}

// world is a simulator behind a real socket, and somebody who calls it with nothing but net/http.
type world struct {
	t      *testing.T
	sim    *simulator.Simulator
	clock  *hands
	server *httptest.Server
	client *http.Client
	bearer string
	forms  string
}

func start(t *testing.T, cfg simulator.Config, rules ...simulator.Rule) *world {
	t.Helper()
	w := &world{t: t, clock: newHands(), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	cfg.Clock = w.clock
	sim, err := simulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.sim, w.server = sim, httptest.NewServer(sim)
	t.Cleanup(func() {
		w.client.CloseIdleConnections()
		w.server.CloseClientConnections()
		w.server.Close()
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := sim.Plan(simulator.Plan{Seed: 1, Rules: rules}); err != nil {
		t.Fatal(err)
	}
	return w
}

// ready fetches token, services and forms as the documentation wants it.
func ready(t *testing.T, cfg simulator.Config, rules ...simulator.Rule) *world {
	t.Helper()
	w := start(t, cfg, rules...)
	w.login()
	return w
}

const base = "/orange-money-b2b/v1/ci"

func (w *world) login() {
	w.t.Helper()
	var token struct {
		AccessToken string `json:"access_token"`
	}
	w.want(w.token(nil), http.StatusOK, &token)
	w.bearer = token.AccessToken
	var services, forms struct {
		Token struct{ Value string }
	}
	w.want(w.call("GET", base+"/services", "", nil), http.StatusOK, &services)
	w.want(w.call("GET", base+"/forms/cashin", "", map[string]string{"x-omr-services-token": services.Token.Value}), http.StatusOK, &forms)
	w.forms = forms.Token.Value
}

// token asks for a token; change breaks the request.
func (w *world) token(change func(*http.Request)) reply {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodPost, w.server.URL+"/oauth/v3/token", strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		w.t.Fatal(err)
	}
	r.SetBasicAuth("client", "secret")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if change != nil {
		change(r)
	}
	return w.do(r)
}

// reply is what a caller sees: an error of the connection, or an answer.
type reply struct {
	err    error
	status int
	header http.Header
	body   []byte
}

func (w *world) call(method, path, body string, header map[string]string) reply {
	w.t.Helper()
	r, err := http.NewRequest(method, w.server.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if w.bearer != "" {
		r.Header.Set("Authorization", "Bearer "+w.bearer)
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	return w.do(r)
}

func (w *world) do(r *http.Request) reply {
	answer, err := w.client.Do(r)
	if err != nil {
		return reply{err: err}
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	return reply{err, answer.StatusCode, answer.Header, body}
}

func (w *world) want(r reply, status int, into any) {
	w.t.Helper()
	if r.err != nil || r.status != status {
		w.t.Fatalf("got %d %s (%v), want %d", r.status, r.body, r.err, status)
	}
	if into != nil {
		if err := json.Unmarshal(r.body, into); err != nil {
			w.t.Fatalf("%s: %v", r.body, err)
		}
	}
}

func cashinBody(reference, peer string, amount int64) string {
	return fmt.Sprintf(`{"peerId":%q,"peerIdType":"msisdn","amount":%d,"currency":"XOF","posId":"pos1","transactionId":%q}`, peer, amount, reference)
}

func (w *world) cashin(reference, peer string, amount int64) reply {
	w.t.Helper()
	return w.post(cashinBody(reference, peer, amount))
}

func (w *world) post(body string) reply {
	w.t.Helper()
	return w.call("POST", base+"/transactions/cashin", body, map[string]string{"x-omr-forms-token": w.forms, "x-omr-forms-version": "1.2"})
}

func (w *world) lookup(reference string) reply {
	w.t.Helper()
	return w.call("GET", base+"/transactions/"+reference, "", nil)
}

// transaction reads either shape.
type transaction struct {
	Status, Message string
	TransactionID   string
	PeerID          string
	Amount          json.RawMessage
	Currency        string
	Reference       string
	TxnID           string
	Data            *transaction `json:"transactionData"`
}

func (w *world) read(r reply) transaction {
	w.t.Helper()
	if r.err != nil || r.status/100 != 2 {
		w.t.Fatalf("no transaction: %d %s (%v)", r.status, r.body, r.err)
	}
	var t transaction
	if err := json.Unmarshal(r.body, &t); err != nil {
		w.t.Fatalf("%s: %v", r.body, err)
	}
	if t.Data != nil {
		status, message := t.Status, t.Message
		t = *t.Data
		t.Status, t.Message = status, message
	}
	return t
}

// saw puts a reply into one word, as a careful client has to.
func saw(r reply) string {
	switch {
	case errors.Is(r.err, syscall.ECONNRESET):
		return "reset"
	case errors.Is(r.err, io.EOF):
		return "eof"
	case r.err != nil:
		return r.err.Error()
	case r.status/100 == 2 && !json.Valid(r.body):
		return "garbage"
	case r.status/100 == 2:
		var t struct{ Status string }
		_ = json.Unmarshal(r.body, &t)
		return t.Status
	default:
		var p struct{ Code int }
		_ = json.Unmarshal(r.body, &p)
		return fmt.Sprintf("%d/%d", r.status, p.Code)
	}
}

// moved is how often and how much money moved for a reference.
func (w *world) moved(reference string) (times int, minor int64) {
	w.t.Helper()
	b := w.book()
	for _, e := range b.Entries {
		if e.Reference == reference {
			return e.Moved, e.MovedMinor
		}
	}
	return 0, 0
}

func (w *world) book() simulator.Book {
	w.t.Helper()
	b, err := w.sim.Book(simulator.Orange)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// calls counts one outcome.
func (w *world) calls(operation, outcome string) int64 {
	for _, c := range w.sim.Calls() {
		if c.Operation == operation && c.Outcome == outcome {
			return c.Calls
		}
	}
	return 0
}

// until waits for what happens in the background, bounded.
func (w *world) until(what string, happened func() bool) {
	w.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !happened() {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("waited in vain until %s; calls: %v", what, w.sim.Calls())
		}
	}
}

func (w *world) control(method, path string, body any) reply {
	w.t.Helper()
	var b bytes.Buffer
	if body != nil {
		if text, ok := body.(string); ok {
			b.WriteString(text)
		} else if err := json.NewEncoder(&b).Encode(body); err != nil {
			w.t.Fatal(err)
		}
	}
	return w.call(method, path, b.String(), nil)
}
