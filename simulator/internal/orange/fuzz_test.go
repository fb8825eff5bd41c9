package orange

import (
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

// Whatever bytes arrive: an answer comes, it is JSON, and money moved exactly when it says so.
func FuzzCashin(f *testing.F) {
	f.Add(`{"peerId":"0700000101","peerIdType":"msisdn","amount":24000,"currency":"XOF","posId":"p","transactionId":"ref-1"}`)
	f.Add(`{"peerId":"0700000101","peerIdType":"msisdn","amount":9223372036854775808,"currency":"XOF","posId":"p","transactionId":"\ud800\"<é"}`)
	f.Add(`{"amount":`)
	f.Add(`[]`)
	f.Add(`{"peerId":1}`)
	f.Fuzz(func(t *testing.T, body string) {
		clock := still{}
		b := book.New(Provider)
		s := New(Config{SkipForms: true}, Deps{
			Book: b, Faults: fault.NewSet(nil), Latencies: &fault.Latencies{}, Count: func(string, string) {}, Clock: clock,
		})
		defer s.Close()
		mux := http.NewServeMux()
		s.Register(mux)
		r := httptest.NewRequest(http.MethodPost, "/orange-money-b2b/v1/ci/transactions/cashin", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+s.mint.issue(kindAccess, clock.Now().Add(time.Hour)))
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		answer, err := io.ReadAll(w.Result().Body)
		if err != nil || !json.Valid(answer) {
			t.Fatalf("%d %q (%v)", w.Code, answer, err)
		}
		moved := 0
		if err := b.Each(clock.Now(), func(e book.Entry) bool {
			moved += e.Moved
			if e.Amount < 1 || e.Amount > 2_000_000 || len(e.Reference) > 36 || e.Reference == "" {
				t.Errorf("booked %+v", e)
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		if ok := w.Code/100 == 2; ok != (moved == 1) {
			t.Errorf("%d, and money moved %d times", w.Code, moved)
		}
	})
}
