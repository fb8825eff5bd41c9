package webhook_test

import (
	"context"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/webhook"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// plain authenticates by a header; its bodies are references separated by spaces.
type plain struct{}

func (plain) Verify(h http.Header, body []byte) ([]string, error) {
	if subtle.ConstantTimeCompare([]byte(h.Get("Authorization")), []byte("Basic right")) != 1 {
		return nil, provider.ErrForged
	}
	refs := strings.Fields(string(body))
	if len(refs) == 0 {
		return nil, provider.ErrUnreadable
	}
	return refs, nil
}

type bundle struct {
	receiver *webhook.Receiver
	pool     *pgxpool.Pool
	clock    *clock.Virtual
	registry *prometheus.Registry
	mux      *http.ServeMux
	known    map[string]bool
	asked    atomic.Int64
	matched  atomic.Int64
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{pool: pgtest.Pool(t, webhook.Migrations), clock: clock.NewVirtual(time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC)), registry: prometheus.NewRegistry(), known: map[string]bool{}}
	b.receiver = webhook.New("payouts", []webhook.Source{{Tenant: "lebenis", Provider: "orange", Verifier: plain{}}}, webhook.Deps{
		Pool: b.pool, Clock: b.clock, Logger: slog.New(slog.DiscardHandler), Registry: b.registry,
		Match: func(_ context.Context, _ pgx.Tx, tenant, name string, refs []string) ([]string, error) {
			b.asked.Add(1)
			if tenant != "lebenis" || name != "orange" {
				t.Errorf("matched for %s/%s", tenant, name)
			}
			var found []string
			for _, r := range refs {
				if b.known[r] {
					found = append(found, r)
				}
			}
			return found, nil
		},
		Matched: func() { b.matched.Add(1) },
	})
	b.mux = http.NewServeMux()
	b.mux.Handle(b.receiver.Pattern(), b.receiver)
	return b
}

func (b *bundle) post(method, path, authorization, body string) int {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.Header.Set("Authorization", authorization)
	w := httptest.NewRecorder()
	b.mux.ServeHTTP(w, req)
	return w.Code
}

func (b *bundle) states(t *testing.T) map[string]int {
	t.Helper()
	rows, err := b.pool.Query(t.Context(), "SELECT state, count(*) FROM webhooks GROUP BY state")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	m := map[string]int{}
	for rows.Next() {
		var s string
		var n int
		if err := rows.Scan(&s, &n); err != nil {
			t.Fatal(err)
		}
		m[s] = n
	}
	return m
}

func (b *bundle) step(t *testing.T) {
	t.Helper()
	if _, err := b.receiver.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
}

const here = "/webhooks/payouts/lebenis/orange"

func TestRefusedAndNothingStored(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method, path, auth, body string
		want                     int
	}{
		"forged":           {"POST", here, "Basic wrong", "ref-1", http.StatusUnauthorized},
		"unsigned":         {"POST", here, "", "ref-1", http.StatusUnauthorized},
		"unreadable":       {"POST", here, "Basic right", "", http.StatusBadRequest},
		"unknown tenant":   {"POST", "/webhooks/payouts/nobody/orange", "Basic right", "ref-1", http.StatusNotFound},
		"unknown provider": {"POST", "/webhooks/payouts/lebenis/wave", "Basic right", "ref-1", http.StatusNotFound},
		"wrong method":     {"GET", here, "Basic right", "ref-1", http.StatusMethodNotAllowed},
		"oversized":        {"POST", here, "Basic right", strings.Repeat("r", webhook.MaxBody+1), http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if got := b.post(c.method, c.path, c.auth, c.body); got != c.want {
				t.Errorf("answered %d, want %d", got, c.want)
			}
			if states := b.states(t); len(states) != 0 {
				t.Errorf("stored %v", states)
			}
			counted, err := b.registry.Gather()
			if err != nil || len(counted) != 1 {
				t.Errorf("a refusal must be counted: %v, %v", counted, err)
			}
		})
	}
}

func TestStoredBeforeThe200AndMatchedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.known["ref-1"] = true
	for range 3 {
		if got := b.post("POST", here, "Basic right", "ref-1"); got != http.StatusOK {
			t.Fatalf("answered %d", got)
		}
	}
	if got := b.states(t); got["received"] != 1 {
		t.Fatalf("the same bytes three times are stored as %v", got)
	}
	b.step(t)
	b.step(t)
	if got := b.states(t); got["matched"] != 1 || b.asked.Load() != 1 || b.matched.Load() != 1 {
		t.Errorf("states %v, asked %d times, told %d times", got, b.asked.Load(), b.matched.Load())
	}
}

// 200 must not be given for what a crash could lose.
func TestNotStoredIsNot200(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.pool.Close()
	if got := b.post("POST", here, "Basic right", "ref-1"); got != http.StatusServiceUnavailable {
		t.Errorf("answered %d with the database away", got)
	}
}

func TestArrivesBeforeOurCommit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.post("POST", here, "Basic right", "ref-early")
	b.step(t)
	if got := b.states(t); got["received"] != 1 {
		t.Fatalf("given up at once: %v", got)
	}
	b.known["ref-early"] = true
	b.clock.Advance(2 * time.Second)
	b.step(t)
	if got := b.states(t); got["matched"] != 1 {
		t.Errorf("not matched after our commit: %v", got)
	}
}

func TestNeverMatchedIsGivenUpAfterADay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.post("POST", here, "Basic right", "ref-of-nobody")
	for range 40 {
		b.step(t)
		b.clock.Advance(time.Hour)
	}
	if got := b.states(t); got["unmatched"] != 1 {
		t.Errorf("states %v", got)
	}
	if n := b.asked.Load(); n < 20 || n > 30 {
		t.Errorf("asked %d times in a day", n)
	}
}

func TestRunMatchesWhatIsStored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.known["ref-1"] = true
	b.post("POST", here, "Basic right", "ref-1")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.receiver.Run(ctx) }()
	if err := b.clock.BlockUntil(ctx, 1); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("Run ended without its context's error")
	}
	if got := b.states(t); got["matched"] != 1 {
		t.Errorf("states %v", got)
	}
}

func TestRetentionForgetsOldBodiesAndNothingElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, ref := range []string{"old-1", "old-2", "old-3"} {
		b.post("POST", here, "Basic right", ref)
	}
	b.clock.Advance(24 * time.Hour)
	b.post("POST", here, "Basic right", "young")
	rule := b.receiver.Retention()
	forget := func(want int64) {
		t.Helper()
		if n, err := rule.Delete(t.Context(), 2); err != nil || n != want {
			t.Errorf("forgot %d, %v; want %d of at most 2", n, err, want)
		}
	}
	b.clock.Advance(29 * 24 * time.Hour)
	forget(0) // the old ones are 30 days old, not older
	b.clock.Advance(time.Minute)
	for _, want := range []int64{2, 1, 0} {
		forget(want)
	}
	if got := b.states(t); len(got) != 1 || got["received"] != 1 {
		t.Errorf("states %v", got)
	}
}
