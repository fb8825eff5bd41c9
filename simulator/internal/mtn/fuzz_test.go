package mtn

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/fault"
)

// Whatever bytes arrive: an answer comes, its body is JSON or empty, and money moved exactly when the transfer was accepted.
func FuzzTransfer(f *testing.F) {
	const reference = "7d1f3a52-9c0b-4e5d-8a6f-0123456789ab"
	f.Add(reference, `{"amount":"24000","currency":"XOF","externalId":"e-1","payee":{"partyIdType":"MSISDN","partyId":"2250500000101"}}`)
	f.Add(reference, `{"amount":"24000.00","currency":"XOF","externalId":"e-1","payee":{"partyIdType":"MSISDN","partyId":"2250500000101"}}`)
	f.Add(reference, `{"amount":"99999999999999999999","currency":"XOF","externalId":"\ud800","payee":{"partyIdType":"MSISDN","partyId":"2250500000101"}}`)
	f.Add("7d1f3a52-9c0b-5e5d-8a6f-0123456789ab", `{"amount":24000}`)
	f.Add("", `[]`)
	f.Fuzz(func(t *testing.T, id, body string) {
		clock := still{}
		b := book.New(Provider)
		s := New(Config{Processing: -1}, Deps{
			Book: b, Faults: fault.NewSet(nil), Latencies: &fault.Latencies{}, Count: func(string, string) {}, Clock: clock,
		})
		defer s.Close()
		mux := http.NewServeMux()
		s.Register(mux)
		r := httptest.NewRequest(http.MethodPost, "/disbursement/v1_0/transfer", strings.NewReader(body))
		r.Header = http.Header{
			"Content-Type": {"application/json"}, "X-Reference-Id": {id}, "X-Target-Environment": {"mtnivorycoast"},
			"Ocp-Apim-Subscription-Key": {"k"}, "Authorization": {"Bearer " + s.mint.issue(clock.Now().Add(time.Hour))},
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if answer := w.Body.Bytes(); len(answer) > 0 && !json.Valid(answer) || w.Code == http.StatusAccepted && len(answer) > 0 {
			t.Fatalf("%d %q", w.Code, answer)
		}
		moved := 0
		if err := b.Each(clock.Now(), func(e book.Entry) bool {
			moved += e.Moved
			if e.Amount < 1 || !uuid4.MatchString(e.Reference) || !json.Valid(s.document(e, false)) || !json.Valid(s.document(e, true)) {
				t.Errorf("booked %+v", e)
			}
			if back, ok := minor(major(e.Amount, e.Currency), e.Currency); !ok || back != e.Amount {
				t.Errorf("%d is written as %s", e.Amount, major(e.Amount, e.Currency))
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		if published[strings.Clone(peer(body))] != "" || strings.Contains(body, "4673312345") {
			return
		}
		if accepted := w.Code == http.StatusAccepted; accepted != (moved == 1) {
			t.Errorf("%d, and money moved %d times", w.Code, moved)
		}
	})
}

func peer(body string) string {
	q, err := parseTransfer([]byte(body))
	if err != nil {
		return ""
	}
	return text(q.Payee.PartyID)
}
