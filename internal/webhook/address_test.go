package webhook_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/webhook"
)

// keyed lets in who knows the address.
type keyed struct{}

func (keyed) Verify(h http.Header, body []byte) ([]string, error) {
	if !provider.SameSecret(h.Get(provider.AddressKey), "secret-of-the-address") {
		return nil, provider.ErrForged
	}
	return strings.Fields(string(body)), nil
}

// Where only the address is secret, it has to be the address: nobody gets in with a header of that name, and both verbs that
// providers use are taken.
func TestTheSecretOfAnAddress(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, webhook.Migrations)
	r := webhook.New("payouts", []webhook.Source{{Tenant: "lebenis", Provider: "mtn", Verifier: keyed{}}}, webhook.Deps{
		Pool: pool, Clock: clock.NewVirtual(time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC)), Logger: slog.New(slog.DiscardHandler),
		Registry: prometheus.NewRegistry(),
	})
	mux := http.NewServeMux()
	mux.Handle(r.Pattern(), r)
	mux.Handle(r.KeyedPattern(), r)
	const mtn = "/webhooks/payouts/lebenis/mtn"
	for name, c := range map[string]struct {
		method, path, header string
		want                 int
	}{
		"posted":                     {http.MethodPost, mtn + "/secret-of-the-address", "", http.StatusOK},
		"put":                        {http.MethodPut, mtn + "/secret-of-the-address", "", http.StatusOK},
		"right, whatever was sent":   {http.MethodPut, mtn + "/secret-of-the-address", "forged", http.StatusOK},
		"got":                        {http.MethodGet, mtn + "/secret-of-the-address", "", http.StatusMethodNotAllowed},
		"another secret":             {http.MethodPost, mtn + "/secret-of-the-addresses", "", http.StatusUnauthorized},
		"none":                       {http.MethodPost, mtn, "", http.StatusUnauthorized},
		"none, and the header":       {http.MethodPost, mtn, "secret-of-the-address", http.StatusUnauthorized},
		"another, and the header":    {http.MethodPost, mtn + "/x", "secret-of-the-address", http.StatusUnauthorized},
		"the secret, and more of it": {http.MethodPost, mtn + "/secret-of-the-address/x", "", http.StatusNotFound},
	} {
		req := httptest.NewRequest(c.method, c.path, strings.NewReader("ref-"+strings.ReplaceAll(name, " ", "-")))
		if c.header != "" {
			req.Header.Set(provider.AddressKey, c.header)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, req)
		if w.Code != c.want {
			t.Errorf("%s: answered %d, want %d", name, w.Code, c.want)
		}
	}
	var stored int
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM webhooks").Scan(&stored); err != nil || stored != 3 {
		t.Errorf("%d are stored (%v), want the three with the secret", stored, err)
	}
}
