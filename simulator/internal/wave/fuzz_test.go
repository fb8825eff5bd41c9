package wave

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/fault"
)

// still is a clock that never moves.
type still struct{}

func (still) Now() time.Time { return time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC) }

func (still) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// Whatever bytes arrive, with whatever key: an answer comes, it is JSON, and money moved exactly when it says so, once.
func FuzzPayout(f *testing.F) {
	f.Add("key", `{"currency":"XOF","receive_amount":"24000","mobile":"+2250700000101","client_reference":"ref-1"}`)
	f.Add("", `{"currency":"XOF","receive_amount":"24000","mobile":"+2250700000101"}`)
	f.Add("key", `{"currency":"XOF","receive_amount":24000,"mobile":"+2250700000101"}`)
	f.Add("key", `{"receive_amount":`)
	f.Add("key", `[]`)
	f.Fuzz(func(t *testing.T, key, body string) {
		b := book.New(Provider)
		s, err := New(Config{}, Deps{
			Book: b, Faults: fault.NewSet(nil), Latencies: &fault.Latencies{}, Count: func(string, string) {}, Clock: still{}, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		s.Register(mux)
		paid := 0
		for range 2 {
			r := httptest.NewRequest(http.MethodPost, "/wave/v1/payout", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer wave_ci_test_0123456789")
			r.Header.Set("Idempotency-Key", key)
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, r)
			answer, err := io.ReadAll(w.Result().Body)
			if err != nil || !json.Valid(answer) {
				t.Fatalf("%d %q (%v)", w.Code, answer, err)
			}
			if w.Code == http.StatusOK {
				paid = 1
			}
		}
		moved := 0
		if err := b.Each(still{}.Now(), func(e book.Entry) bool {
			moved += e.Moved
			if e.Amount < 1 || e.Reference != key {
				t.Errorf("booked %+v", e)
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		if moved != paid {
			t.Errorf("money moved %d times, told were %d", moved, paid)
		}
	})
}

// A signature is good only when its parts are right, whatever bytes stand in the header.
func FuzzSignature(f *testing.F) {
	f.Add("t=1737763140,v1=00", []byte("body"))
	f.Add(",,,=,t=,v1=", []byte(nil))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		if signed(header, "secret", body, still{}.Now()) {
			t.Errorf("%q was taken for a signature", header)
		}
	})
}
