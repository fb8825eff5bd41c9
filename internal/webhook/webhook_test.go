package webhook_test

import (
	"context"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
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
	if refs[0] == "of-nothing" { // an adapter that finds nothing to object to, and nothing else either
		return nil, nil
	}
	return refs, nil
}

// Read says of each reference that it went to a payee named like it.
func (plain) Read(body []byte) map[string]provider.Found {
	said := map[string]provider.Found{}
	for _, ref := range strings.Fields(string(body)) {
		said[ref] = provider.Found{Exists: true, Destination: "+" + ref}
	}
	return said
}

type bundle struct {
	receiver *webhook.Receiver
	pool     *pgxpool.Pool
	clock    *clock.Virtual
	registry *prometheus.Registry
	mux      *http.ServeMux
	known    map[string]webhook.Fate
	lost     []webhook.Lost
	asked    atomic.Int64
	matched  atomic.Int64
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{pool: pgtest.Pool(t, webhook.Migrations), clock: clock.NewVirtual(time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC)), registry: prometheus.NewRegistry(), known: map[string]webhook.Fate{}}
	b.receiver = webhook.New("payouts", []webhook.Source{{Tenant: "lebenis", Provider: "orange", Verifier: plain{}}}, webhook.Deps{
		Pool: b.pool, Clock: b.clock, Logger: slog.New(slog.DiscardHandler), Registry: b.registry,
		Match: func(_ context.Context, _ pgx.Tx, tenant, name string, notices []webhook.Notice) (map[string]webhook.Fate, error) {
			b.asked.Add(1)
			if tenant != "lebenis" || name != "orange" {
				t.Errorf("matched for %s/%s", tenant, name)
			}
			fates := map[string]webhook.Fate{}
			for _, n := range notices {
				if n.Says.Destination != "+"+n.Reference {
					t.Errorf("of %s was read %+v", n.Reference, n.Says)
				}
				fates[n.Reference] = b.known[n.Reference]
			}
			return fates, nil
		},
		Matched: func() { b.matched.Add(1) },
		GivenUp: func(_ context.Context, _ pgx.Tx, lost []webhook.Lost) error {
			b.lost = append(b.lost, lost...)
			return nil
		},
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
	rows, err := b.pool.Query(t.Context(), "SELECT state, count(*) FROM webhook_states GROUP BY state")
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
		"of nothing":       {"POST", here, "Basic right", "of-nothing", http.StatusBadRequest},
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

// Of the first scrape on, lest the first refusals begin a series and so be no increase.
func TestRefusalsAreCountedFromZero(t *testing.T) {
	t.Parallel()
	b := setup(t)
	families, err := b.registry.Gather()
	if err != nil || len(families) != 1 || len(families[0].GetMetric()) < 3 {
		t.Errorf("before the first webhook: %v, %v", families, err)
	}
}

func TestStoredBeforeThe200AndMatchedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.known["ref-1"] = webhook.Asked
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

// A webhook that carries neither id nor time says a second change in the words of the first.
func TestTheSameBytesMuchLaterAreNewsAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.known["ref-1"] = webhook.Asked
	post := func() {
		if got := b.post("POST", here, "Basic right", "ref-1"); got != http.StatusOK {
			t.Fatalf("answered %d", got)
		}
	}
	post()
	b.clock.Advance(2 * time.Minute)
	post() // the first one is not settled: it is the same news still
	b.step(t)
	if n := b.asked.Load(); n != 1 {
		t.Fatalf("asked %d times", n)
	}
	post() // settled, but a moment ago by the provider's word of two minutes ago
	b.step(t)
	if n, states := b.asked.Load(), b.states(t); n != 2 || states["matched"] != 1 {
		t.Errorf("asked %d times, states %v", n, states)
	}
	for range 3 {
		post()
	}
	b.step(t)
	if n := b.asked.Load(); n != 2 {
		t.Errorf("a repetition at once is asked about: %d times", n)
	}
	b.clock.Advance(time.Minute) // it may have been a second change all the same
	b.step(t)
	b.step(t)
	if n, states := b.asked.Load(), b.states(t); n != 3 || states["matched"] != 1 {
		t.Errorf("asked %d times a minute later, want 3; states %v", n, states)
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
	b.known["ref-early"] = webhook.Asked
	b.clock.Advance(2 * time.Second)
	b.step(t)
	if got := b.states(t); got["matched"] != 1 {
		t.Errorf("not matched after our commit: %v", got)
	}
}

// What is being recorded at this moment is neither known nor unknown: it is looked at again at once, however old the webhook.
func TestBusyIsTriedAgainAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.known["ref-1"], b.known["ref-2"] = webhook.Busy, webhook.Known
	b.post("POST", here, "Basic right", "ref-1 ref-2")
	b.clock.Advance(10 * time.Hour)
	for range 3 {
		b.step(t)
		if got := b.states(t); got["received"] != 1 || b.matched.Load() != 0 {
			t.Fatalf("states %v", got)
		}
		b.clock.Advance(200 * time.Millisecond)
	}
	b.known["ref-1"] = webhook.Known
	b.step(t)
	if got := b.states(t); got["matched"] != 1 || b.asked.Load() != 4 || b.matched.Load() != 0 {
		t.Errorf("states %v, asked %d times, %d readings for no news", got, b.asked.Load(), b.matched.Load())
	}
}

// What arrives at once is stored together, each with its own references and answer.
func TestStoredTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const webhooks = 300
	codes := make([]int, webhooks)
	var wg sync.WaitGroup
	for i := range webhooks {
		wg.Go(func() {
			n := strconv.Itoa(i / 2) // each one twice
			codes[i] = b.post("POST", here, "Basic right", "ref-"+n+" other-"+n)
		})
	}
	wg.Wait()
	for i, code := range codes {
		if code != http.StatusOK {
			t.Errorf("webhook %d was answered %d", i, code)
		}
	}
	var rows, right, commits int
	err := b.pool.QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE array_to_string(refs, ' ') = convert_from(body, 'UTF8')),
		count(DISTINCT xmin::text) FROM webhooks`).Scan(&rows, &right, &commits)
	if err != nil || rows != webhooks/2 || right != rows || commits > webhooks/4 {
		t.Errorf("%d rows, %d with their references, in %d commits: %v", rows, right, commits, err)
	}
}

// One that cannot be stored costs none of those that arrived with it.
func TestADefectiveOneCostsItself(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.pool.Exec(t.Context(), "ALTER TABLE webhooks ADD CHECK (NOT 'bad' = ANY(refs))"); err != nil {
		t.Fatal(err)
	}
	var refused atomic.Int64
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			ref := "ref-" + strconv.Itoa(i)
			if i == 7 {
				ref = "bad"
			}
			if b.post("POST", here, "Basic right", ref) != http.StatusOK {
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	if got := b.states(t); got["received"] != 19 || refused.Load() != 1 {
		t.Errorf("stored %v, refused %d", got, refused.Load())
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
	if len(b.lost) != 1 || b.lost[0].Tenant != "lebenis" || b.lost[0].Provider != "orange" {
		t.Errorf("people are told of %v", b.lost)
	}
	if n := b.asked.Load(); n < 20 || n > 30 {
		t.Errorf("asked %d times in a day", n)
	}
}

func TestRunMatchesWhatIsStored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.known["ref-1"] = webhook.Asked
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

// A body is written once; what is queued for it goes with it, however it ends.
func TestNothingIsLeftInTheQueue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.known["ref-1"] = webhook.Known
	b.post("POST", here, "Basic right", "ref-1")
	b.post("POST", here, "Basic right", "ref-of-nobody")
	b.step(t)
	queued := func() (n int) {
		if err := b.pool.QueryRow(t.Context(), "SELECT count(*) FROM webhook_queue").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	var written int
	if err := b.pool.QueryRow(t.Context(), "SELECT count(DISTINCT xmin::text) FROM webhooks").Scan(&written); err != nil || written != 2 || queued() != 1 {
		t.Errorf("%d commits wrote two webhooks, %d wait: %v", written, queued(), err)
	}
	b.clock.Advance(31 * 24 * time.Hour) // nobody has matched for a month
	if n, err := b.receiver.Retention().Delete(t.Context(), 10); err != nil || n != 2 || queued() != 0 {
		t.Errorf("forgot %d, %d wait: %v", n, queued(), err)
	}
	b.post("POST", here, "Basic right", "ref-of-nobody")
	for range 40 {
		b.step(t)
		b.clock.Advance(time.Hour)
	}
	if got := b.states(t); got["unmatched"] != 1 || queued() != 0 {
		t.Errorf("states %v, %d wait", got, queued())
	}
	b.post("POST", here, "Basic right", "ref-of-nobody") // the same bytes are news again
	if got := b.states(t); got["received"] != 1 || queued() != 1 {
		t.Errorf("states %v, %d wait", got, queued())
	}
}

// What comes in the words of one that is being matched at this moment is news: what is matched may be older than it.
func TestTheSameBytesWhileTheyAreMatched(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.post("POST", here, "Basic right", "ref-1")
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	exec := func(sql string) {
		t.Helper()
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("SELECT FROM webhook_queue FOR UPDATE")
	answered := make(chan int, 1)
	go func() { answered <- b.post("POST", here, "Basic right", "ref-1") }()
	for blocked := false; !blocked; {
		select {
		case code := <-answered:
			t.Fatalf("answered %d before it was known what becomes of the first", code)
		default:
		}
		err := b.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks l WHERE NOT l.granted
			AND l.pid IN (SELECT pid FROM pg_locks WHERE relation = 'webhook_queue'::regclass))`).Scan(&blocked)
		if err != nil {
			t.Fatal(err)
		}
	}
	exec("DELETE FROM webhook_queue")
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code := <-answered; code != http.StatusOK {
		t.Errorf("answered %d", code)
	}
	if got := b.states(t); got["received"] != 1 || len(got) != 1 {
		t.Errorf("states %v", got)
	}
}
