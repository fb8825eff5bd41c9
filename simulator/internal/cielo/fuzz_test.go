package cielo

import (
	"context"
	"encoding/json"
	"errors"
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

func (still) Now() time.Time { return time.Date(2025, 10, 30, 11, 0, 0, 0, time.UTC) }

func (still) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// Whatever bytes arrive: an answer comes, it is JSON, and the card was charged exactly when it says so.
func FuzzSale(f *testing.F) {
	f.Add(`{"MerchantOrderId":"order1","Payment":{"Type":"CreditCard","Amount":4990,"Installments":1,"Capture":true,"CreditCard":{"CardToken":"tok_ok_1","Brand":"Visa"}}}`)
	f.Add(`{"MerchantOrderId":"order1","Payment":{"Type":"CreditCard","Amount":1,"Installments":1,"Capture":true,"CreditCard":{"CardToken":"tok_soft_51-03_","Brand":"Elo"}}}`)
	f.Add(`{"MerchantOrderId":"order1","Payment":{"Type":"CreditCard","Amount":1,"Installments":1,"CreditCard":{"CardToken":"tok_pending_denied","Brand":"Elo"}}}`)
	f.Add(`{"Payment":{"Amount":9223372036854775808}}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, body string) {
		b := book.New(Provider)
		s, err := New(Config{}, Deps{
			Book: b, Faults: fault.NewSet(nil), Latencies: &fault.Latencies{}, Count: func(string, string) {}, Clock: still{},
			Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		mux := http.NewServeMux()
		s.Register(mux)
		r := httptest.NewRequest(http.MethodPost, "/cielo/1/sales/", strings.NewReader(body))
		r.Header = http.Header{
			"Content-Type": {"application/json"}, "Merchantid": {"6f9619ff-8b86-d011-b42d-00cf4fc964ff"}, "Merchantkey": {strings.Repeat("1", 40)},
		}
		w := httptest.NewRecorder()
		defer func() {
			p := recover()
			if err, ok := p.(error); p != nil && (!ok || !errors.Is(err, http.ErrAbortHandler)) { // that one is a card whose answers are lost
				panic(p)
			}
		}()
		mux.ServeHTTP(w, r)
		var answer struct {
			Payment struct {
				PaymentID string `json:"PaymentId"`
				Status    int
			}
		}
		if w.Code == http.StatusCreated {
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Fatalf("%q: %v", w.Body, err)
			}
		} else if w.Code != http.StatusBadRequest || !json.Valid(w.Body.Bytes()) {
			t.Errorf("answered %d %q", w.Code, w.Body)
		}
		moved := 0
		if err := b.Each(still{}.Now(), func(e book.Entry) bool {
			moved += e.Moved
			return true
		}); err != nil {
			t.Fatal(err)
		}
		if (moved == 1) != (answer.Payment.Status == statusConfirmed) || moved > 1 {
			t.Errorf("moved %d times, and answered %d %q", moved, w.Code, w.Body)
		}
	})
}
