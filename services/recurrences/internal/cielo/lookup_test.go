package cielo

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/simulator"
)

// The answer to the question by order, in every form it may come in.
func TestListings(t *testing.T) {
	t.Parallel()
	const other = "0a0b0c0d-0000-4000-8000-000000000002"
	for name, c := range map[string]struct {
		status int
		body   string
		want   string // there, absent, or error
	}{
		"as documented":      {200, `{"ReasonCode":0,"Payment":[{"PaymentId":"` + paymentID + `","ReceveidDate":"2022-07-29 17:16:21"}]}`, "there"},
		"as clients say":     {200, `{"Payments":[{"PaymentId":"` + paymentID + `"}]}`, "there"},
		"under both":         {200, `{"Payment":[{"PaymentId":"` + paymentID + `"}],"Payments":[{"PaymentId":"` + paymentID + `"}]}`, "there"},
		"none, 404":          {404, ``, "absent"},
		"none, 404 and JSON": {404, `[]`, "absent"},
		"none, empty list":   {200, `{"ReasonCode":0,"Payments":[]}`, "absent"},
		"no list":            {200, `{"ReasonCode":0}`, "error"},
		"null":               {200, `{"Payments":null}`, "error"},
		"a single one":       {200, `{"Payments":{"PaymentId":"` + paymentID + `"}}`, "error"},
		"no GUID":            {200, `{"Payments":[{"PaymentId":"1"}]}`, "error"},
		"a page with 404":    {404, `<html>no such host</html>`, "error"},
		"empty":              {200, ``, "error"},
		"another shape":      {200, `[]`, "error"},
		"one that is gone":   {200, `{"Payments":[{"PaymentId":"` + other + `"}]}`, "error"},
		"too many":           {200, `{"Payments":[` + strings.TrimSuffix(strings.Repeat(`{"PaymentId":"%s"},`, 21), ",") + `]}`, "error"},
		"401":                {401, ``, "error"},
		"400":                {400, `[{"Code":107}]`, "error"},
		"500":                {500, `{"Payments":[]}`, "error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := c.body
			for i := 0; strings.Contains(body, "%s"); i++ {
				body = strings.Replace(body, "%s", fmt.Sprintf("0a0b0c0d-0000-4000-8000-%012d", i), 1)
			}
			a := stub(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case strings.HasSuffix(r.URL.Path, "/1/sales"):
					w.WriteHeader(c.status)
					_, _ = w.Write([]byte(body))
				case strings.HasSuffix(r.URL.Path, paymentID):
					_, _ = w.Write([]byte(tells("2", "")))
				default:
					w.WriteHeader(http.StatusNotFound)
				}
			})
			f, err := a.Lookup(t.Context(), transfer("ref1", "visa", "tok_ok_1"))
			got := "error"
			if err == nil {
				got = map[bool]string{true: "there", false: "absent"}[f.Exists]
			}
			if got != c.want {
				t.Errorf("got %s (%+v, %v), want %s", got, f, err, c.want)
			}
		})
	}
}

// What an order's transactions say together.
func TestSeveralTransactionsOfOneOrder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		statuses []string
		class    provider.Class
		code     string
		minor    int64
		alarm    bool
	}{
		"charged":                        {[]string{"2"}, provider.Succeeded, "", 4990, false},
		"declined, then charged":         {[]string{"3", "2"}, provider.Succeeded, "", 4990, false},
		"charged, then declined":         {[]string{"2", "3"}, provider.Succeeded, "", 4990, false},
		"charged twice":                  {[]string{"2", "2"}, provider.Succeeded, "", 9980, true},
		"charged, and may be again":      {[]string{"2", "12"}, provider.Accepted, "pending", 9980, true},
		"declined, and may be charged":   {[]string{"3", "12"}, provider.Accepted, "pending", 4990, false},
		"declined twice":                 {[]string{"3", "3"}, provider.RejectedRetryable, "insufficient_funds", 4990, false},
		"declined, and then voided":      {[]string{"3", "10"}, provider.RejectedFinal, "voided", 4990, true},
		"charged, and the other voided":  {[]string{"10", "2"}, provider.Succeeded, "", 4990, false},
		"charged, refunded, and charged": {[]string{"2", "11", "2"}, provider.Succeeded, "", 9980, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := stub(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/1/sales") {
					var items []string
					for i := range c.statuses {
						items = append(items, fmt.Sprintf(`{"PaymentId":"0a0b0c0d-0000-4000-8000-%012d"}`, i))
					}
					_, _ = fmt.Fprintf(w, `{"Payments":[%s]}`, strings.Join(items, ","))
					return
				}
				for i, status := range c.statuses {
					id := fmt.Sprintf("0a0b0c0d-0000-4000-8000-%012d", i)
					if strings.HasSuffix(r.URL.Path, id) {
						_, _ = w.Write([]byte(strings.Replace(tells(status, `,"ReturnCode":"51"`), paymentID, id, 1)))
					}
				}
			})
			f, err := a.Lookup(t.Context(), transfer("ref1", "visa", "tok_ok_1"))
			if err != nil || !f.Exists || f.Result.Class != c.class || f.Result.Code != c.code || f.Amount.Minor != c.minor || (f.Result.Alarm != "") != c.alarm {
				t.Errorf("got %+v of %v, %v", f.Result, f.Amount, err)
			}
		})
	}
}

// The simulator does charge a repeated order twice, and the lookup says so.
func TestASecondChargeUnderOneReferenceIsSeen(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tr := transfer("ref1", "visa", "tok_ok_1")
	r.Submit(t.Context(), tr)
	r.Submit(t.Context(), tr)
	f, err := r.Lookup(t.Context(), tr)
	if err != nil || f.Amount.Minor != 2*tr.Amount.Minor || f.Result.Alarm == "" || r.entry(t, "ref1").Moved != 2 {
		t.Errorf("got %+v of %v, %v", f.Result, f.Amount, err)
	}
}

// What the gateway forgets after three months is not absent.
func TestAnOldOrderIsNeverAbsent(t *testing.T) {
	t.Parallel()
	a := stub(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	for age, absent := range map[time.Duration]bool{0: true, 80 * 24 * time.Hour: true, 84 * 24 * time.Hour: false, 400 * 24 * time.Hour: false} {
		tr := transfer("ref1", "visa", "tok_ok_1")
		tr.SubmittedAt = clock.Real().Now().Add(-age)
		if f, err := a.Lookup(t.Context(), tr); (err == nil) != absent || f.Exists {
			t.Errorf("%s: %+v, %v", age, f, err)
		}
	}
}

// A pending charge is followed until it settles, one way or the other.
func TestPendingSettles(t *testing.T) {
	t.Parallel()
	for fault, want := range map[simulator.Fault]provider.Class{simulator.PendingSuccess: provider.Succeeded, simulator.PendingFailed: provider.RejectedRetryable} {
		r := newRig(t, simulator.Rule{Fault: fault}) // settles as soon as it is asked about
		tr := transfer("ref1", "visa", "tok_ok_1")
		if res := r.Submit(t.Context(), tr); res.Class != provider.Accepted {
			t.Errorf("%s: %+v", fault, res)
		}
		if f, err := r.Lookup(t.Context(), tr); err != nil || f.Result.Class != want {
			t.Errorf("%s: %+v, %v", fault, f, err)
		}
	}
}

func TestADisputeIsToldByALookup(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tr := transfer("ref1", "visa", "tok_ok_1")
	r.Submit(t.Context(), tr)
	if err := r.sim.Dispute("ref1"); err != nil {
		t.Fatal(err)
	}
	f, err := r.Lookup(t.Context(), tr)
	if err != nil || f.Result.Class != provider.Succeeded || f.Result.Code != "chargeback" || f.Result.Alarm == "" {
		t.Errorf("got %+v, %v", f, err)
	}
}
