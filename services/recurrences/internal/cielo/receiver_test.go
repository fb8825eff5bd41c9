package cielo

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/webhook"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// What Cielo posts is stored once, as it came, before it is answered; what nobody vouches for, or names no payment, is refused by a
// reason that is counted, and nothing of it is kept.
func TestNotificationsAreStoredOnceOrRefused(t *testing.T) {
	t.Parallel()
	const (
		here = "/webhooks/recurrences/club/cielo"
		good = `{"PaymentId":"24bc8366-fc31-4d6c-8555-17049a836a07","ChangeType":1}`
	)
	pool, registry := pgtest.Pool(t, webhook.Migrations), prometheus.NewRegistry()
	a := New(config.Provider{Name: "cielo", WebhookHeader: "Club-Secret", WebhookSecret: "secret-of-test"}, clock.Real())
	r := webhook.New("recurrences", []webhook.Source{{Tenant: "club", Provider: "cielo", Verifier: a}}, webhook.Deps{
		Pool: pool, Clock: clock.Real(), Logger: slog.New(slog.DiscardHandler), Registry: registry,
		Match: func(context.Context, pgx.Tx, string, string, []webhook.Notice) (map[string]webhook.Fate, error) {
			return nil, nil
		},
	})
	mux := http.NewServeMux()
	mux.Handle(r.Pattern(), r)
	post := func(method, path, secret, body string) int {
		req := httptest.NewRequest(method, path, strings.NewReader(body))
		req.Header.Set("Club-Secret", secret)
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, req)
		return rec.Code
	}
	rows := func(sql string, args ...any) (n int) {
		t.Helper()
		if err := pool.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	want := map[string]float64{}
	for _, c := range []struct {
		outcome, method, path, secret, body string
		code                                int
	}{
		{"forged", "POST", here, "", good, http.StatusUnauthorized},
		{"forged", "POST", here, "secret-of-test ", good, http.StatusUnauthorized},
		{"unreadable", "POST", here, "secret-of-test", `{"PaymentId":"7"}`, http.StatusBadRequest},
		{"unreadable", "POST", here, "secret-of-test", good + good, http.StatusBadRequest},
		{"oversized", "POST", here, "secret-of-test", good + strings.Repeat(" ", webhook.MaxBody), http.StatusRequestEntityTooLarge},
		{"wrong_method", "GET", here, "secret-of-test", "", http.StatusMethodNotAllowed},
		{"unknown_source", "POST", "/webhooks/recurrences/nobody/cielo", "secret-of-test", good, http.StatusNotFound},
		{"unknown_source", "POST", "/webhooks/recurrences/club/nobody", "secret-of-test", good, http.StatusNotFound},
	} {
		want[c.outcome]++
		if code := post(c.method, c.path, c.secret, c.body); code != c.code {
			t.Errorf("%s: answered with %d, want %d", c.outcome, code, c.code)
		}
	}
	if n := rows("SELECT count(*) FROM webhooks"); n != 0 {
		t.Errorf("%d of what was refused are stored", n)
	}
	for range 3 {
		if code := post("POST", here, "secret-of-test", good); code != http.StatusOK {
			t.Errorf("answered with %d", code)
		}
	}
	want["stored"], want["duplicate"] = 1, 2
	if all, same := rows("SELECT count(*) FROM webhooks"), rows("SELECT count(*) FROM webhooks WHERE body = $1", []byte(good)); all != 1 || same != 1 {
		t.Errorf("%d rows, %d with the bytes that came", all, same)
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "agogo_webhooks_total" {
		t.Fatalf("counted are %v, %v", families, err)
	}
	for _, m := range families[0].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "outcome" && m.GetCounter().GetValue() != want[l.GetValue()] {
				t.Errorf("%v counted as %s, want %v", m.GetCounter().GetValue(), l.GetValue(), want[l.GetValue()])
			}
		}
	}
}
