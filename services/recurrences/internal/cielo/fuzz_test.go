package cielo

import (
	"net/http"
	"testing"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/provider"
)

// Whatever a sale is answered with, a charge is believed only when the answer says so about this order and this amount.
func FuzzSale(f *testing.F) {
	for _, body := range []string{
		tells("2", `,"CapturedAmount":4990`), tells("3", `,"ReturnCode":"51","MerchantAdviceCode":"03"`), tells(`"12"`, ""), tells("1", ""),
		tells("2", "") + tells("3", ""), tells("2", `,"Chargebacks":[{}]`), `[{"Code":107}]`, `<html>`, ``, tells("-2", ""), tells("2e0", ""),
	} {
		f.Add(201, []byte(body))
		f.Add(400, []byte(body))
	}
	a := New(settings("http://h", "http://h"), clock.Real())
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		res := a.classify(provider.Reply{Status: status, Body: body, Sent: true}, transfer("ref1", "visa", "tok_ok_1"), "visa")
		tx, err := parseTransaction(body)
		charged := status/100 == 2 && err == nil && tx.Order == "ref1" && tx.Amount == 4990 && tx.Status == confirmed
		if (res.Class == provider.Succeeded) != charged {
			t.Errorf("%d %q became %+v", status, body, res)
		}
		if res.Class == provider.RejectedFinal || res.Class == provider.RejectedRetryable {
			told := err == nil && tx.Order == "ref1" && tx.Status != confirmed
			if !told && status != 400 && status != 401 && status != 403 {
				t.Errorf("%d %q became %+v", status, body, res)
			}
		}
		if len(res.ProviderCode) > 40 || len(res.Alarm) > 120 {
			t.Errorf("%q is carried on in %+v", body, res)
		}
	})
}

// A listing says "none" only by an empty list of its own.
func FuzzListing(f *testing.F) {
	for _, body := range []string{
		`{"Payments":[]}`, `{"Payment":[{"PaymentId":"` + paymentID + `"}]}`, `{"Payments":null}`, `{}`, `[]`, `{"Payments":[]}{"Payments":[]}`, `<html>`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		ids, err := parseListing(body)
		seen := map[string]bool{}
		for _, id := range ids {
			if len(id) != len(paymentID) || seen[id] {
				t.Errorf("%q has the id %q", body, id)
			}
			seen[id] = true
		}
		if err != nil && ids != nil {
			t.Errorf("%q has ids %v and error %v", body, ids, err)
		}
	})
}

// A notification names one transaction or none, and nobody is let in without the header.
func FuzzNotification(f *testing.F) {
	for _, body := range []string{
		`{"PaymentId":"` + paymentID + `","ChangeType":1}`, `{"RecurrentPaymentId":"` + paymentID + `","ChangeType":"2"}`, `{"PaymentId":1}`, `null`, `[]`, `{`,
		`{"PaymentId":"urn:uuid:` + paymentID + `"}`, `{"PaymentId":"{` + paymentID + `}"}`,
	} {
		f.Add(webhookSecret, []byte(body))
		f.Add("", []byte(body))
	}
	a := New(settings("http://h", "http://h"), clock.Real())
	f.Fuzz(func(t *testing.T, secret string, body []byte) {
		names, err := a.Verify(http.Header{"X-Shop": {secret}}, body)
		if secret != webhookSecret && err == nil {
			t.Errorf("%q was let in", secret)
		}
		if (err == nil) != (len(names) == 1 && len(names[0]) == len(paymentID)) {
			t.Errorf("%q names %v, %v", body, names, err)
		}
	})
}
