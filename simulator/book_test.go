package simulator_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/simulator"
)

// direct calls the simulator without a socket.
func (w *world) direct(method, path, body string) int {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+w.bearer)
	r.Header.Set("X-Omr-Forms-Token", w.forms)
	r.Header.Set("X-Omr-Forms-Version", "1.2")
	answer := httptest.NewRecorder()
	w.sim.ServeHTTP(answer, r)
	return answer.Code
}

func TestTheBookSurvivesTheProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "book.jsonl")
	rules := []simulator.Rule{
		{Provider: simulator.Orange, Operation: "cashin", Match: simulator.Match{Reference: "lost"}, Fault: simulator.LostAnswer, Blind: time.Minute},
		{Provider: simulator.Orange, Operation: "cashin", Match: simulator.Match{Reference: "later"}, Fault: simulator.PendingSuccess, Duration: time.Minute},
		{Provider: simulator.Orange, Operation: "cashin", Match: simulator.Match{Reference: "never"}, Fault: simulator.Failed, Message: "Compte \"fermé\"."},
	}
	float := int64(1_000_000)
	cfg := simulator.Config{BookPath: path, Orange: simulator.OrangeConfig{Float: &float}}
	w := ready(t, cfg, rules...)
	for i, reference := range []string{"lost", "later", "never", "plain", "plain"} {
		w.cashin(reference, peer, int64(1000+i))
	}
	before := w.book()

	// The process dies while it writes a line: whoever waited for that payment heard nothing.
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"provider":"orange_omr","reference":"torn","pe`); err != nil {
		t.Fatal(err)
	}
	_ = file.Close()

	again := ready(t, cfg)
	if diff := cmp.Diff(before, again.book()); diff != "" {
		t.Errorf("after a restart: %s", diff)
	}
	if got := saw(again.lookup("lost")); got != "404/60" {
		t.Errorf("the blind payment: %s", got)
	}
	if got := again.read(again.lookup("never")).Message; got != "Compte \"fermé\"." {
		t.Errorf("the failure's message: %q", got)
	}
	again.clock.advance(time.Minute)
	if got := saw(again.lookup("later")); got != "SUCCESS" {
		t.Errorf("the pending payment: %s", got)
	}
	third := ready(t, cfg)
	third.clock.advance(time.Minute)
	if times, _ := third.moved("later"); times != 1 {
		t.Errorf("after another restart it had moved %d times", times)
	}
}

func TestAFileThatIsNoBookIsRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"words":            "hello\n",
		"another provider": `{"provider":"paypal","reference":"x","status":2}` + "\n",
		"another status":   `{"provider":"orange_omr","reference":"x","status":9}` + "\n",
	} {
		path := filepath.Join(t.TempDir(), "book.jsonl")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := simulator.New(simulator.Config{BookPath: path}); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadFile(path); string(left) != text {
			t.Errorf("%s: the file was changed to %q", name, left)
		}
	}
}

func TestAFileOfOldLinesIsRewritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "book.jsonl")
	w := ready(t, simulator.Config{BookPath: path})
	for range 1500 {
		w.direct("POST", base+"/transactions/cashin", cashinBody("ref-1", peer, amount))
	}
	again := ready(t, simulator.Config{BookPath: path})
	if times, _ := again.moved("ref-1"); times != 1500 {
		t.Errorf("moved %d times", times)
	}
	again.cashin("ref-2", peer, amount) // goes to the new file
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), "\n") != 2 {
		t.Errorf("%d lines (%v)", strings.Count(string(text), "\n"), err)
	}
	if err := again.sim.Reset(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 0 {
		t.Errorf("after a reset: %d bytes (%v)", info.Size(), err)
	}
}

func TestABookThatCannotBeWrittenRefusesPayments(t *testing.T) {
	t.Parallel()
	w := ready(t, simulator.Config{BookPath: filepath.Join(t.TempDir(), "book.jsonl")})
	if err := w.sim.Close(); err != nil {
		t.Fatal(err)
	}
	if got := saw(w.cashin("ref-1", peer, amount)); got != "500/1" {
		t.Errorf("got %s", got)
	}
	if n := w.book().Totals.Entries; n != 0 {
		t.Errorf("%d entries that the file does not have", n)
	}
}

// A million entries have to fit beside everything else on a laptop: what one costs is measured here.
func TestAnEntryCostsLittleMemory(t *testing.T) {
	w := ready(t, simulator.Config{})
	before := heap()
	const n = 100_000
	for i := range n {
		reference := fmt.Sprintf("%08x-0000-5000-8000-%012x", i, i)
		if code := w.direct("POST", base+"/transactions/cashin", cashinBody(reference, fmt.Sprintf("07%08d", i), int64(1000+i%5000))); code/100 != 2 {
			t.Fatal(code)
		}
	}
	each := (heap() - before) / n
	t.Logf("%d bytes an entry", each)
	if each > 320 {
		t.Errorf("an entry costs %d bytes, a million of them %d MB", each, each)
	}
	if got := w.book().Totals.MovedCount; got != n {
		t.Errorf("moved %d", got)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestConcurrentPaymentsAreAllBooked(t *testing.T) {
	t.Parallel()
	w := ready(t, simulator.Config{BookPath: filepath.Join(t.TempDir(), "book.jsonl")})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				w.direct("POST", base+"/transactions/cashin", cashinBody(fmt.Sprintf("ref-%d", i), peer, int64(100+g)))
			}
		})
	}
	wg.Wait()
	if got, want := w.book().Totals, (simulator.Totals{Entries: 200, MovedCount: 1600, MovedMinor: 200 * (8*100 + 28)}); !cmp.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// The simulator is the other side of a benchmark: it has to be faster than what is measured against it.
func BenchmarkCashin(b *testing.B) {
	for name, path := range map[string]string{"memory": "", "file": filepath.Join(b.TempDir(), "book.jsonl")} {
		b.Run(name, func(b *testing.B) {
			sim, err := simulator.New(simulator.Config{BookPath: path, Orange: simulator.OrangeConfig{SkipForms: true}})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = sim.Close() }()
			token := tokenOf(b, sim)
			var n atomic.Int64
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					body := cashinBody(fmt.Sprintf("ref-%d", n.Add(1)), peer, amount)
					r := httptest.NewRequest(http.MethodPost, base+"/transactions/cashin", strings.NewReader(body))
					r.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + token}}
					w := httptest.NewRecorder()
					sim.ServeHTTP(w, r)
					if w.Code/100 != 2 {
						b.Fatal(w.Code)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "payments/s")
		})
	}
}

func tokenOf(tb testing.TB, sim *simulator.Simulator) string {
	tb.Helper()
	r := httptest.NewRequest(http.MethodPost, "/oauth/v3/token", strings.NewReader("grant_type=client_credentials"))
	r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	r.SetBasicAuth("client", "secret")
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, r)
	_, after, _ := strings.Cut(w.Body.String(), `"access_token":"`)
	token, _, ok := strings.Cut(after, `"`)
	if !ok {
		tb.Fatal(w.Body.String())
	}
	return token
}
