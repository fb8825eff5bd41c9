package sonatel

import (
	"context"
	"encoding/json"
	"io"
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

// Whatever bytes arrive: an answer comes, it is JSON, and money moved exactly when it says so.
func FuzzCashin(f *testing.F) {
	f.Add(`{"partner":{"idType":"MSISDN","id":"770000000","encryptedPinCode":"AAAA"},"customer":{"idType":"MSISDN","id":"770000101"},"amount":{"value":24000,"unit":"XOF"},"reference":"ref-1"}`)
	f.Add(`{"amount":{"value":9223372036854775808},"reference":"\ud800\"<é"}`)
	f.Add(`[]`)
	f.Add(`{"metadata":[]}`)
	clock := still{}
	f.Fuzz(func(t *testing.T, body string) {
		b := book.New(Provider)
		s := New(Config{}, Deps{Book: b, Faults: fault.NewSet(nil), Latencies: &fault.Latencies{}, Count: func(string, string) {}, Clock: clock})
		defer s.Close()
		mux := http.NewServeMux()
		s.Register(mux)
		r := httptest.NewRequest(http.MethodPost, "/sonatel/api/eWallet/v1/cashins", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+s.mint.issue(clock.Now().Add(time.Hour)))
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		answer, err := io.ReadAll(w.Result().Body)
		if err != nil || !json.Valid(answer) {
			t.Fatalf("%d %q (%v)", w.Code, answer, err)
		}
		moved := 0
		if err := b.Each(clock.Now(), func(e book.Entry) bool { moved += e.Moved; return true }); err != nil {
			t.Fatal(err)
		}
		if ok := w.Code/100 == 2; ok != (moved == 1) {
			t.Errorf("%d, and money moved %d times", w.Code, moved)
		}
	})
}
