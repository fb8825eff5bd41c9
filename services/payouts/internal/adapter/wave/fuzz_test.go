package wave

import (
	"net/http"
	"strings"
	"testing"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
)

// Only an answer that says succeeded, of our reference and our amount, is a success, whatever bytes come with whatever status.
func FuzzPayout(f *testing.F) {
	f.Add(200, []byte(`{"id":"pt-1","currency":"XOF","receive_amount":"10","fee":"1","client_reference":"a","status":"succeeded"}`))
	f.Add(200, []byte(`{"id":"pt-1","status":"failed","payout_error":{"error_code":"insufficient-funds"}}`))
	f.Add(422, []byte(`{"code":"recipient-minor","message":"m"}`))
	f.Add(503, []byte(`{"code":"api-key-revoked"}`))
	f.Add(200, []byte(`{"id":"pt-1","status":"succeeded"}{"status":"failed"}`))
	f.Add(200, []byte(`{"id":"pt-1","status":"succeeded","receive_amount":1e1}`))
	a := New(config.Provider{APIKey: testKey}, clock.Real())
	tr := provider.Transfer{Reference: "a", Amount: money.Amount{Minor: 10, Currency: "XOF"}}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		reply := provider.Reply{Status: status, Body: body, Sent: true, Header: http.Header{}}
		res := a.classify(reply, tr)
		p, err := parsePayout(body)
		ok := status >= 200 && status < 300
		if res.Class == provider.Succeeded && (!ok || err != nil || p.Status != "succeeded" || !p.is(tr)) {
			t.Errorf("%d %q became a success", status, body)
		}
		rejected := res.Class == provider.RejectedFinal || res.Class == provider.RejectedRetryable
		if rejected && (status >= 500 || status == http.StatusRequestTimeout || !ok && status < 400) {
			t.Errorf("%d %q became %s", status, body, res.Class)
		}
		if ok && err != nil && res.Class != provider.Ambiguous {
			t.Errorf("an unreadable answer became %s", res.Class)
		}
		if res.Class == provider.RejectedFinal && ok && p.Status != "failed" && p.Status != "reversed" {
			t.Errorf("%q became a rejection", body)
		}
		if res.Fee != nil && (res.Fee.Minor < 0 || res.Fee.Currency == "") {
			t.Errorf("%q has the fee %+v", body, res.Fee)
		}
	})
}

// A list is read whole, and every payout in it is of the reference that was asked for.
func FuzzSearch(f *testing.F) {
	f.Add([]byte(`{"result":[]}`))
	f.Add([]byte(`{"result":[{"id":"pt-1","currency":"XOF","receive_amount":"10","client_reference":"a","status":"succeeded"}]}`))
	f.Add([]byte(`{"result":[{"id":"pt-1","client_reference":"a","status":"failed"},{"id":"pt-2","client_reference":"a","status":"processing"}]}`))
	f.Add([]byte(`{"result":null}`))
	a := New(config.Provider{}, clock.Real())
	tr := provider.Transfer{Reference: "a", Amount: money.Amount{Minor: 10, Currency: "XOF"}}
	f.Fuzz(func(t *testing.T, body []byte) {
		payouts, err := parseSearch(body, "a")
		if err != nil {
			return
		}
		if !strings.Contains(string(body), "[") {
			t.Errorf("%q is no list", body)
		}
		if len(payouts) == 0 {
			return
		}
		found := a.found(payouts, tr)
		succeeded := false
		for _, p := range payouts {
			if p.ClientReference != "a" || p.ID == "" {
				t.Errorf("%q gave %+v", body, p)
			}
			succeeded = succeeded || p.Status == "succeeded" && p.Error.code() == ""
			if weight(a.result(p)) >= weightLive && weight(found.Result) < weightLive {
				t.Errorf("%q: one may be paid and the answer is %+v", body, found)
			}
		}
		if !found.Exists || (found.Result.Class == provider.Succeeded) != succeeded {
			t.Errorf("%q is read as %+v", body, found)
		}
	})
}

// A page gives all of its lines or none.
func FuzzStatement(f *testing.F) {
	f.Add([]byte(`{"page_info":{"end_cursor":"a","has_next_page":false},"date":"2025-01-24","items":[{"timestamp":"2025-01-24T10:00:00Z",` +
		`"transaction_id":"T_1","transaction_type":"api_payout","amount":"-101","fee":"1","currency":"XOF"}]}`))
	f.Add([]byte(`{"page_info":{},"items":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var p page
		if decode(body, &p) != nil {
			return
		}
		lines, err := p.lines("2025-01-24")
		if err == nil && len(lines) != len(*p.Items) {
			t.Errorf("%d lines of %d", len(lines), len(*p.Items))
		}
		for _, l := range lines {
			if l.ProviderID == "" || l.At.IsZero() || l.Amount.Currency == "" || l.Kind == "" {
				t.Errorf("line %+v", l)
			}
		}
	})
}

// An amount is what money.Parse says of it, but for zeros after the point; nothing else is an amount.
func FuzzDecimal(f *testing.F) {
	for _, s := range []string{"24000", "24000.00", "-5", "1e3", "0x10", "", "1.", ".5", "24 000", "--1", "+1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := decimal(s).signed("XOF")
		if err != nil {
			return
		}
		digits := strings.TrimPrefix(s, "-")
		whole, fraction, _ := strings.Cut(digits, ".")
		if strings.Trim(fraction, "0") != "" || strings.Trim(whole, "0123456789") != "" || whole == "" {
			t.Errorf("%q was read as %d", s, got.Minor)
		}
	})
}
