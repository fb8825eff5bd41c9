package simulator_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/agogopay/agogo/simulator"
)

// listener notes every call as it is.
type listener struct {
	*httptest.Server
	mu    sync.Mutex
	calls []heard
}

type heard struct{ method, path, body string }

func listen(t *testing.T) *listener {
	l := &listener{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.calls = append(l.calls, heard{r.Method, r.URL.Path, string(body)})
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *listener) all() []heard {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]heard(nil), l.calls...)
}

// Callbacks go where the transfer said, behind the proxy that stands there, with either verb, once or as a rule has it.
func TestMTNCallbacks(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]struct {
		paths string
		verb  string
	}{
		"normal":     {"/hook/secret", "PUT"},
		"duplicated": {"/hook/secret /hook/secret", "POST"},
		"forged":     {"/hook/secret /hook/secretx", "PUT"},
		"never":      {"", ""},
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			to := listen(t)
			w := mtnReady(t, simulator.Config{MTN: simulator.MTNConfig{Processing: -1, Callback: simulator.MTNCallback{Via: to.URL, Mode: mode, Verb: want.verb}}})
			header := map[string]string{"X-Reference-Id": mtnID(1), "X-Callback-Url": "https://pay.example.com/hook/secret"}
			if got := mtnSaw(w.mtn("POST", "/transfer", mtnBody(mtnPayee, "24000"), header)); got != "202" {
				t.Fatal(got)
			}
			calls := strings.Fields(want.paths)
			w.until("the callbacks came", func() bool { return len(to.all()) == len(calls) })
			paths := map[string]int{}
			for _, c := range to.all() {
				paths[c.path]++
				if c.method != want.verb || !strings.Contains(c.body, `"externalId":"e-1"`) ||
					strings.Contains(c.body, "SUCCESSFUL") != (c.path == "/hook/secret") {
					t.Errorf("%s %s %s", c.method, c.path, c.body)
				}
			}
			for _, p := range calls {
				paths[p]--
			}
			for p, n := range paths {
				if n != 0 {
					t.Errorf("%s: %d too many", p, n)
				}
			}
		})
	}
}
