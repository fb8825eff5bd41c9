package histories

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

func TestMain(m *testing.M) {
	// rapid draws histories, the seeker shortens them: it knows what may be left out, and each try is dear.
	if err := flag.Set("rapid.shrinktime", "0s"); err != nil {
		panic(err)
	}
	pgtest.Main(m)
}

// budget bounds TestAnyHistory, which finds as many histories as it can within it; -rapid.seed makes it the same ones again.
var budget = flag.Duration("histories", 20*time.Second, "how long TestAnyHistory looks for a history that breaks a promise; -timeout has to allow for it")

// step is one line of a history.
type step struct {
	verb string
	args []int
	word string
}

func (s step) String() string {
	parts := []string{s.verb}
	for _, a := range s.args {
		parts = append(parts, strconv.Itoa(a))
	}
	if s.word != "" {
		parts = append(parts, s.word)
	}
	return strings.Join(parts, " ")
}

// history is rules and what happens under them.
type history struct {
	rules rules
	steps []step
}

func (h history) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "rules deduplicates=%t approvals=%t split=%t wide=%t\n", h.rules.deduplicates, h.rules.approvals, h.rules.split, h.rules.wide)
	for _, s := range h.steps {
		fmt.Fprintln(&b, s)
	}
	return b.String()
}

// parse reads what String writes; lines that begin with # say what it is about.
func parse(text string) (h history, err error) {
	known := verbs()
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		if fields[0] == "rules" {
			r := &h.rules
			if _, err := fmt.Sscanf(line, "rules deduplicates=%t approvals=%t split=%t wide=%t", &r.deduplicates, &r.approvals, &r.split, &r.wide); err != nil {
				return h, fmt.Errorf("%q: %w", line, err)
			}
			continue
		}
		v, ok := known[fields[0]]
		s := step{verb: fields[0]}
		rest := fields[1:]
		if len(v.words) > 0 && len(rest) > 0 {
			s.word, rest = rest[len(rest)-1], rest[:len(rest)-1]
		}
		for _, f := range rest {
			n, err := strconv.Atoi(f)
			if err != nil {
				return h, fmt.Errorf("%q: %w", line, err)
			}
			s.args = append(s.args, n)
		}
		if !ok || len(s.args) != len(v.args) || len(v.words) > 0 && !slices.Contains(slices.Concat(v.words, v.named), s.word) {
			return h, fmt.Errorf("%q is no step", line)
		}
		h.steps = append(h.steps, s)
	}
	return h, nil
}

// steps draws a step, likelier ones more often.
func steps() *rapid.Generator[step] {
	known := verbs()
	var urn []string
	for _, name := range slices.Sorted(maps.Keys(known)) {
		urn = append(urn, slices.Repeat([]string{name}, known[name].weight)...)
	}
	return rapid.Custom(func(t *rapid.T) step {
		s := step{verb: rapid.SampledFrom(urn).Draw(t, "verb")}
		for _, n := range known[s.verb].args {
			s.args = append(s.args, rapid.IntRange(0, n-1).Draw(t, "argument"))
		}
		if words := known[s.verb].words; len(words) > 0 {
			s.word = rapid.SampledFrom(words).Draw(t, "word")
		}
		return s
	})
}

// live runs a history. The judge looks after each step, so that what breaks is found where it broke.
func live(t testing.TB, pool *pgxpool.Pool, h history) {
	t.Helper()
	w := newWorld(t, pool, h.rules)
	known := verbs()
	failed := func(after string) bool {
		if t.Failed() {
			t.Logf("after %s:\n%s", after, w.judge.tell())
		}
		return t.Failed()
	}
	for i, s := range h.steps {
		known[s.verb].do(w, s.args, s.word)
		w.judge.look()
		if failed(fmt.Sprintf("step %d, %s", i+1, s)) {
			return
		}
	}
	w.judge.settle()
	failed("all of it")
}

// TestHistories lives through those that broke a promise once, or show one, each with a name.
func TestHistories(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no histories: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			h, err := parse(string(text))
			if err != nil {
				t.Fatal(err)
			}
			live(t, payoutstest.Pool(t), h)
		})
	}
}

// Whatever the provider, replicas and people do, and in whatever order: no payment is paid twice, none is lost, the books
// balance, and events tell all of it (promises 1, 2, 3, 5).
func TestAnyHistory(t *testing.T) {
	t.Parallel()
	pool := payoutstest.Pool(t)
	s := &seeker{t: t, pool: pool, empty: pgtest.Backup(t, pool), found: map[string]string{}}
	next := seeds(t)
	until := time.Now().Add(*budget)
	for s.lived == 0 || time.Now().Before(until) && !t.Failed() {
		next()
		rapid.Check(t, func(rt *rapid.T) { // a hundred at a time
			if h := histories().Draw(rt, "history"); time.Now().Before(until) || len(s.found) > 0 || s.lived == 0 {
				s.try(rt, h)
			}
		})
	}
	t.Logf("%d histories of %d steps in all", s.lived, s.steps)
}

// seeds says the seed that a search begins with, and returns what gives each hundred one of its own, which follows from it: rapid begins
// every hundred with -rapid.seed, and half an hour would live through the first one again and again.
func seeds(t testing.TB) (next func()) {
	t.Helper()
	seed, err := strconv.ParseUint(flag.Lookup("rapid.seed").Value.String(), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("the same again: -rapid.seed %d", seed)
	return func() {
		if err := flag.Set("rapid.seed", strconv.FormatUint(seed, 10)); err != nil {
			t.Fatal(err)
		}
		seed += 1 << 32 // far from where a hundred goes, which adds to its seed
	}
}

// A search with a seed draws other histories in its second hundred, and the same ones when it is begun again.
func TestEachHundredIsAnother(t *testing.T) {
	set := func(seed string) {
		if err := flag.Set("rapid.seed", seed); err != nil {
			t.Fatal(err)
		}
	}
	defer set(flag.Lookup("rapid.seed").Value.String())
	var drawn []string
	seen := map[string]bool{}
	for range 2 {
		set("7")
		next := seeds(t)
		for range 2 {
			next()
			rapid.Check(t, func(rt *rapid.T) {
				h := histories().Draw(rt, "history").String()
				drawn, seen[h] = append(drawn, h), true
			})
		}
	}
	once := len(drawn) / 2
	if !slices.Equal(drawn[:once], drawn[once:]) {
		t.Error("the same seed draws other histories")
	}
	if len(seen) <= once*3/4 {
		t.Errorf("%d of %d histories differ", len(seen), once)
	}
}

// histories draws rules, and scenes among steps.
func histories() *rapid.Generator[history] {
	few := rapid.SliceOfN(steps(), 0, 20) // several in a row, for one alone is short most of the time
	return rapid.Custom(func(t *rapid.T) history {
		h := history{rules: rules{
			deduplicates: rapid.Bool().Draw(t, "deduplicates"), approvals: rapid.IntRange(0, 3).Draw(t, "approvals") == 3, split: rapid.Bool().Draw(t, "split"),
			wide: rapid.Bool().Draw(t, "wide"),
		}}
		for range 4 {
			h.steps = append(h.steps, few.Draw(t, "steps")...)
			h.steps = append(h.steps, scene().Draw(t, "scene")...)
		}
		return h
	})
}

// seeker looks for histories that break a promise.
type seeker struct {
	t            *testing.T
	pool         *pgxpool.Pool
	empty        func()
	lived, steps int
	found        map[string]string // histories that broke something, and the shortest of their kind
}

func (s *seeker) try(rt *rapid.T, h history) {
	small, known := s.found[h.String()]
	if !known {
		s.lived, s.steps = s.lived+1, s.steps+len(h.steps)
		broken := s.live(h)
		if broken == "" {
			return
		}
		s.t.Logf("history %d breaks a promise, and is made shorter:\n%s\n%s", s.lived, h, broken) // at once: what ends meanwhile loses it
		rest := s.shrink(h)
		small = fmt.Sprintf("%s\n%s", rest, s.live(rest))
		s.found[h.String()] = small
	}
	rt.Fatalf("a history breaks a promise; put it into testdata with a name:\n%s", small)
}

// live tells what breaks.
func (s *seeker) live(h history) string {
	s.empty()
	r := &recorder{TB: s.t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.clean()
		live(r, s.pool, h)
	}()
	<-done
	if !r.Failed() {
		return ""
	}
	return r.String()
}

// shrink leaves steps out for as long as what is left still breaks something: halves, quarters, single ones. It knows better than
// rapid what may be left out, and a history is too dear to try thousands.
func (s *seeker) shrink(h history) history {
	for size := len(h.steps) / 2; size > 0; {
		shorter := false
		for from := 0; from+size <= len(h.steps); {
			rest := history{h.rules, slices.Concat(h.steps[:from], h.steps[from+size:])}
			if s.live(rest) != "" {
				h, shorter = rest, true
				continue
			}
			from += size
		}
		if !shorter || size > 1 {
			size /= 2
		}
	}
	return h
}

// recorder is a test that notes its failures instead of having them.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failed   bool
	said     strings.Builder
	cleanups []func()
}

func (r *recorder) Helper() {}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
	fmt.Fprintf(&r.said, format+"\n", args...)
}

func (r *recorder) Logf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(&r.said, format+"\n", args...)
}

func (r *recorder) Error(args ...any) { r.Errorf("%s", fmt.Sprint(args...)) }
func (r *recorder) Log(args ...any)   { r.Logf("%s", fmt.Sprint(args...)) }

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }

func (r *recorder) Cleanup(fn func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, fn)
}

func (r *recorder) clean() {
	for _, fn := range slices.Backward(r.cleanups) {
		fn()
	}
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said.String()
}
