package simulator_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/simulator"
)

const (
	merchantID  = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
	merchantKey = "0123456789012345678901234567890123456789"
)

func merchant() map[string]string {
	return map[string]string{"MerchantId": merchantID, "MerchantKey": merchantKey}
}

func saleBody(order, token, brand string, amount int64) string {
	indicator := ""
	if brand == "Master" {
		indicator = `,"InitiatedTransactionIndicator":{"Category":"M1","Subcategory":"Subscription"}`
	}
	return fmt.Sprintf(`{"MerchantOrderId":%q,"Payment":{"Type":"CreditCard","Amount":%d,"Installments":1,"Capture":true,"Recurrent":true,`+
		`"CreditCard":{"CardToken":%q,"Brand":%q}%s}}`, order, amount, token, brand, indicator)
}

func (w *world) sale(order, token string) reply {
	w.t.Helper()
	return w.call("POST", "/cielo/1/sales/", saleBody(order, token, "Visa", 4990), merchant())
}

// card is what the gateway says of a transaction.
type card struct {
	MerchantOrderID string `json:"MerchantOrderId"`
	Payment         struct {
		PaymentID          string `json:"PaymentId"`
		Status             json.RawMessage
		Amount             json.RawMessage
		CapturedAmount     json.RawMessage
		ReturnCode         string
		MerchantAdviceCode string
		VoidedAmount       int64
		Chargebacks        []struct {
			Amount             int64
			CaseNumber, Status string
		}
	}
}

func cardOf(t *testing.T, r reply) card {
	t.Helper()
	var c card
	if r.err != nil || r.status/100 != 2 {
		t.Fatalf("no transaction: %d %s (%v)", r.status, r.body, r.err)
	}
	if err := json.Unmarshal(r.body, &c); err != nil {
		t.Fatalf("%s: %v", r.body, err)
	}
	return c
}

// sawCard puts a reply about a card into one word.
func sawCard(r reply) string {
	if r.err != nil || r.status/100 != 2 || !json.Valid(r.body) {
		return saw(r)
	}
	var c card
	_ = json.Unmarshal(r.body, &c)
	return strings.TrimRight(strings.Join([]string{string(c.Payment.Status), c.Payment.ReturnCode, c.Payment.MerchantAdviceCode}, " "), " ")
}

// transactions asks the query host which an order has.
func (w *world) transactions(order string) []string {
	w.t.Helper()
	r := w.call("GET", "/cielo-query/1/sales?merchantOrderId="+url.QueryEscape(order), "", merchant())
	if r.status == http.StatusNotFound {
		return nil
	}
	var list struct {
		Payment, Payments []struct {
			PaymentID string `json:"PaymentId"`
			Date      string `json:"ReceveidDate"`
		}
	}
	w.want(r, http.StatusOK, &list)
	var ids []string
	for _, p := range append(list.Payment, list.Payments...) {
		if _, err := time.Parse(time.DateTime, p.Date); err != nil {
			w.t.Errorf("date of %s: %v", p.PaymentID, err)
		}
		ids = append(ids, p.PaymentID)
	}
	return ids
}

func (w *world) transaction(paymentID string) reply {
	w.t.Helper()
	return w.call("GET", "/cielo-query/1/sales/"+paymentID, "", merchant())
}

// charged is what the gateway's book knows of an order.
func (w *world) charged(order string) simulator.Entry {
	w.t.Helper()
	b, err := w.sim.Book(simulator.Cielo)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range b.Entries {
		if e.Reference == order {
			return e
		}
	}
	return simulator.Entry{}
}

func cieloRule(operation string, fault simulator.Fault) simulator.Rule {
	return simulator.Rule{Provider: simulator.Cielo, Operation: operation, Fault: fault}
}

func TestCardsBehaveByTheirToken(t *testing.T) {
	t.Parallel()
	for token, c := range map[string]struct {
		answer, later string
		moved         int
	}{
		"tok_ok_001":              {"2 00", "2 00", 1},
		merchantID:                {"2 00", "2 00", 1}, // real tokens are GUIDs
		"tok_soft_51_024":         {"3 51", "3 51", 0},
		"tok_hard_54_028":         {"3 54", "3 54", 0},
		"tok_hard_79-03_1":        {"3 79 03", "3 79 03", 0},
		"tok_action_1A_1":         {"3 1A", "3 1A", 0},
		"tok_soft":                {"3 05", "3 05", 0},
		"tok_pending_1":           {"12", "2 00", 1},
		"tok_pending_denied_1":    {"12", "3 51", 0},
		"tok_pending_forever_1":   {"12", "12", 0},
		"tok_timeout_paid_030":    {"none", "2 00", 1},
		"tok_timeout_unpaid_0301": {"none", "", 0},
	} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			w := start(t, simulator.Config{Cielo: simulator.CieloConfig{PendingFor: time.Minute}})
			if strings.HasPrefix(token, "tok_timeout") {
				w.client.Timeout = 50 * time.Millisecond // it is the client that gives up
			}
			r := w.sale("order1", token)
			if got := sawCard(r); got != c.answer && (c.answer != "none" || r.err == nil) {
				t.Errorf("answered %q, want %q", got, c.answer)
			}
			if w.client.Timeout > 0 {
				w.client.Timeout = 0
				w.until("the gateway notices", func() bool {
					return w.calls("sale", "timeout_after_payment")+w.calls("sale", "timeout_before_payment") == 1
				})
			}
			w.clock.advance(time.Minute)
			got := ""
			if ids := w.transactions("order1"); len(ids) == 1 {
				got = sawCard(w.transaction(ids[0]))
			}
			if got != c.later {
				t.Errorf("later it is %q, want %q", got, c.later)
			}
			if n := w.charged("order1").Moved; n != c.moved {
				t.Errorf("moved %d times, want %d", n, c.moved)
			}
		})
	}
}

// Nothing at the gateway keeps an order from being charged twice: the book tells.
func TestARepeatedOrderIsChargedAgain(t *testing.T) {
	t.Parallel()
	w := start(t, simulator.Config{})
	w.sale("order1", "tok_ok_1")
	w.sale("order1", "tok_soft_51_1")
	w.sale("order1", "tok_ok_1")
	w.sale("order2", "tok_ok_1")
	if ids := w.transactions("order1"); len(ids) != 3 || ids[0] == ids[1] {
		t.Errorf("transactions %v", ids)
	}
	e := w.charged("order1")
	if e.Moved != 2 || e.MovedMinor != 9980 || e.Requests != 3 || e.Status != "SUCCESS" {
		t.Errorf("the book has %+v", e)
	}
	if b, err := w.sim.Book(simulator.Cielo); err != nil || b.Totals != (simulator.Totals{Entries: 2, MovedCount: 3, MovedMinor: 14970}) {
		t.Errorf("totals %+v, %v", b.Totals, err)
	}
}

func TestWhatTheCallerSeesOfACharge(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rule  simulator.Rule
		want  string
		moved int
		found int
	}{
		"plain":           {simulator.Rule{}, "2 00", 1, 1},
		"lost":            {simulator.Rule{Fault: simulator.LostAnswer}, "eof", 1, 1},
		"502":             {simulator.Rule{Fault: simulator.ServerErrorAfter}, "502/0", 1, 1},
		"503":             {simulator.Rule{Fault: simulator.ServerErrorBefore}, "503/0", 0, 0},
		"reset after":     {simulator.Rule{Fault: simulator.ResetAfter}, "reset", 1, 1},
		"reset before":    {simulator.Rule{Fault: simulator.ResetBefore}, "reset", 0, 0},
		"garbage":         {simulator.Rule{Fault: simulator.Garbage}, "garbage", 1, 1},
		"pending":         {simulator.Rule{Fault: simulator.PendingForever}, "12", 0, 1},
		"authorised only": {simulator.Rule{Fault: simulator.AuthorizedOnly}, "1 00", 0, 1},
		"denied":          {simulator.Rule{Fault: simulator.Failed, Message: "51-26"}, "3 51 26", 0, 1},
		"unknown status":  {simulator.Rule{Fault: simulator.UnknownStatus, Duration: time.Hour}, "77", 0, 1},
		"wrong shape":     {simulator.Rule{Fault: simulator.WrongShape}, `"2" 00`, 1, 1},
		"blind":           {simulator.Rule{Fault: simulator.LookupBlind, Duration: time.Hour}, "eof", 1, 0},
		"blind besides":   {simulator.Rule{Blind: time.Hour}, "2 00", 1, 0},
		"401":             {simulator.Rule{Fault: simulator.Unauthorized}, "401/0", 0, 0},
		"403":             {simulator.Rule{Fault: simulator.NotSubscribed}, "403/0", 0, 0},
		"429":             {simulator.Rule{Fault: simulator.TooMany, RetryAfter: time.Second}, "429/0", 0, 0},
		"other cards":     {simulator.Rule{Fault: simulator.Failed, Match: simulator.Match{Token: "tok_else*"}}, "2 00", 1, 1},
		"this card":       {simulator.Rule{Fault: simulator.Failed, Match: simulator.Match{Peer: "tok_ok*"}, Message: "91"}, "3 91", 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rule := c.rule
			rule.Provider, rule.Operation = simulator.Cielo, "sale"
			w := start(t, simulator.Config{}, rule)
			if got := sawCard(w.sale("order1", "tok_ok_1")); got != c.want {
				t.Errorf("saw %q, want %q", got, c.want)
			}
			if n := w.charged("order1").Moved; n != c.moved {
				t.Errorf("moved %d times, want %d", n, c.moved)
			}
			if ids := w.transactions("order1"); len(ids) != c.found {
				t.Errorf("the query host has %v, want %d", ids, c.found)
			}
		})
	}
}

func TestSalesAreHeldToTheDocumentation(t *testing.T) {
	t.Parallel()
	good := saleBody("order1", "tok_ok_1", "Master", 4990)
	for name, c := range map[string]struct {
		body   string
		header map[string]string
		want   string
	}{
		"good":              {good, nil, ""},
		"with a dash":       {strings.Replace(good, "order1", "order-1", 1), nil, "107"},
		"too long":          {strings.Replace(good, "order1", strings.Repeat("1", 51), 1), nil, "107"},
		"no amount":         {strings.Replace(good, "4990", "0", 1), nil, "108"},
		"amount in main":    {strings.Replace(good, "4990", "49.90", 1), nil, "108"},
		"amount in quotes":  {strings.Replace(good, "4990", `"4990"`, 1), nil, "108"},
		"a debit card":      {strings.Replace(good, "CreditCard\"", "DebitCard\"", 1), nil, "109"},
		"no token":          {strings.Replace(good, "tok_ok_1", "", 1), nil, "184"},
		"an open card":      {strings.Replace(good, `"CardToken":"tok_ok_1"`, `"CardNumber":"x"`, 1), nil, "184"},
		"another's brand":   {strings.Replace(good, "Master", "mastercard", 1), nil, "185"},
		"no indicator":      {strings.Replace(good, "InitiatedTransactionIndicator", "Other", 1), nil, "186"},
		"no JSON":           {"{", nil, "100"},
		"merchant no GUID":  {good, map[string]string{"MerchantId": "shop"}, "114"},
		"request no GUID":   {good, map[string]string{"RequestId": "1"}, "115"},
		"another's key":     {good, map[string]string{"MerchantKey": strings.Repeat("9", 40)}, "401"},
		"a key cut short":   {good, map[string]string{"MerchantKey": "1"}, "401"},
		"another merchant":  {good, map[string]string{"MerchantId": "00000000-8b86-d011-b42d-00cf4fc964ff"}, "401"},
		"a form":            {good, map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, "415"},
		"several at a time": {strings.NewReplacer("order1", "", "4990", "-1").Replace(good), nil, "107 108"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, simulator.Config{Cielo: simulator.CieloConfig{MerchantID: merchantID, MerchantKey: merchantKey}})
			header := merchant()
			for k, v := range c.header {
				header[k] = v
			}
			r := w.call("POST", "/cielo/1/sales/", c.body, header)
			got, problems := "", []struct{ Code int }{}
			switch {
			case r.status == http.StatusBadRequest:
				if err := json.Unmarshal(r.body, &problems); err != nil {
					t.Fatalf("%s: %v", r.body, err)
				}
				for _, p := range problems {
					got = strings.TrimSpace(fmt.Sprintf("%s %d", got, p.Code))
				}
			case r.status != http.StatusCreated:
				got = fmt.Sprint(r.status)
			}
			if got != c.want {
				t.Errorf("got %q, want %q: %s", got, c.want, r.body)
			}
			if n := w.charged("order1").Moved; (n == 1) != (c.want == "") {
				t.Errorf("moved %d times", n)
			}
		})
	}
}

func TestTheQueryHostForgets(t *testing.T) {
	t.Parallel()
	w := start(t, simulator.Config{})
	paid := cardOf(t, w.sale("order1", "tok_ok_1")).Payment.PaymentID
	if got := w.transactions("order1"); !cmp.Equal(got, []string{paid}) {
		t.Errorf("transactions %v", got)
	}
	for _, order := range []string{"none1", "none2", "none3", "none4"} { // 404, and an empty list
		if got := w.transactions(order); got != nil {
			t.Errorf("%s has %v", order, got)
		}
	}
	w.clock.advance(91 * 24 * time.Hour)
	if got := w.transactions("order1"); got != nil {
		t.Errorf("after three months: %v", got)
	}
	if r := w.transaction(paid); r.status != http.StatusNotFound {
		t.Errorf("after three months: %d", r.status)
	}
}

func TestFaultsOfTheQueryHost(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"orders", "payment"} {
		for fault, want := range map[simulator.Fault]string{
			simulator.ServerErrorBefore: "503/0", simulator.ResetBefore: "reset", simulator.Garbage: "garbage",
			simulator.TooMany: "429/0", simulator.NotSubscribed: "403/0", simulator.Unauthorized: "401/0",
		} {
			t.Run(operation+" "+string(fault), func(t *testing.T) {
				t.Parallel()
				w := start(t, simulator.Config{}, cieloRule(operation, fault))
				w.client.Transport.(*http.Transport).DisableKeepAlives = true // net/http repeats a GET that was cut
				id := cardOf(t, w.sale("order1", "tok_ok_1")).Payment.PaymentID
				path := map[string]string{"orders": "?merchantOrderId=order1", "payment": "/" + id}[operation]
				if got := saw(w.call("GET", "/cielo-query/1/sales"+path, "", merchant())); got != want {
					t.Errorf("saw %q, want %q", got, want)
				}
			})
		}
	}
	w := start(t, simulator.Config{}, cieloRule("payment", simulator.UnknownStatus))
	id := cardOf(t, w.sale("order1", "tok_ok_1")).Payment.PaymentID
	if got := sawCard(w.transaction(id)); got != "77" {
		t.Errorf("an unknown status reads %q", got)
	}
}

func TestOrdersSurviveTheProcess(t *testing.T) {
	t.Parallel()
	cfg := simulator.Config{BookPath: filepath.Join(t.TempDir(), "book.jsonl")}
	w := start(t, cfg, simulator.Rule{Provider: simulator.Cielo, Operation: "sale", Match: simulator.Match{Reference: "lost"}, Fault: simulator.LostAnswer})
	w.sale("order1", "tok_soft_51_1")
	w.clock.advance(time.Second)
	w.sale("order1", "tok_ok_1")
	w.sale("lost", "tok_ok_1")
	before := w.transactions("order1")

	again := start(t, cfg)
	if got := again.transactions("order1"); !cmp.Equal(got, before) {
		t.Errorf("after a restart %v, before %v", got, before)
	}
	if got := sawCard(again.transaction(again.transactions("lost")[0])); got != "2 00" {
		t.Errorf("the lost answer reads %q", got)
	}
	again.sale("order1", "tok_ok_1")
	if n := again.charged("order1").Moved; n != 2 {
		t.Errorf("moved %d times", n)
	}
	if err := again.sim.Reset(); err != nil || again.transactions("order1") != nil {
		t.Errorf("after a reset: %v, %v", err, again.transactions("order1"))
	}
}

// Like BenchmarkCashin: the simulated gateway has to be faster than what is measured against it.
func BenchmarkSale(b *testing.B) {
	for name, path := range map[string]string{"memory": "", "file": filepath.Join(b.TempDir(), "book.jsonl")} {
		b.Run(name, func(b *testing.B) {
			sim, err := simulator.New(simulator.Config{BookPath: path})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = sim.Close() }()
			var n atomic.Int64
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r := httptest.NewRequest(http.MethodPost, "/cielo/1/sales/", strings.NewReader(saleBody(fmt.Sprintf("order%d", n.Add(1)), "tok_ok_1", "Visa", 4990)))
					r.Header = http.Header{"Content-Type": {"application/json"}, "Merchantid": {merchantID}, "Merchantkey": {merchantKey}}
					w := httptest.NewRecorder()
					sim.ServeHTTP(w, r)
					if w.Code/100 != 2 {
						b.Fatal(w.Code)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "charges/s")
		})
	}
}
