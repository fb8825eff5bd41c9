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

// What was taken back of a charge, in every form that it may be told in.
func TestWhatWasTakenBack(t *testing.T) {
	t.Parallel()
	const chargeback = `{"Amount":4990,"CaseNumber":"123456","Date":"2025-11-30","ReasonCode":"1040","ReasonMessage":"…","Status":"Received"}`
	for name, c := range map[string]struct {
		status, more string
		want         string // "" is nothing
		class        provider.Class
		alarm        bool
	}{
		"nothing":                      {"2", ``, "", provider.Succeeded, false},
		"nothing, in figures":          {"2", `,"VoidedAmount":0`, "", provider.Succeeded, false},
		"null":                         {"2", `,"VoidedAmount":null,"Chargebacks":null`, "", provider.Succeeded, false},
		"no chargebacks":               {"2", `,"Chargebacks":[]`, "", provider.Succeeded, false},
		"a part":                       {"2", `,"CapturedAmount":4990,"VoidedAmount":1000`, "1000", provider.Succeeded, false},
		"a part, in quotes":            {"2", `,"VoidedAmount":"1000"`, "1000", provider.Succeeded, false},
		"all, and still confirmed":     {"2", `,"VoidedAmount":4990`, "4990", provider.Succeeded, false},
		"voided":                       {"10", ``, "4990", provider.RejectedFinal, true},
		"voided, with its amount":      {"10", `,"VoidedAmount":4990`, "4990", provider.RejectedFinal, true},
		"refunded":                     {"11", `,"VoidedAmount":4990`, "4990", provider.RejectedFinal, true},
		"refunded, by the last part":   {"11", `,"VoidedAmount":990`, "4990", provider.RejectedFinal, true},
		"refunded with more":           {"11", `,"VoidedAmount":5990`, "5990", provider.RejectedFinal, true},
		"disputed":                     {"2", `,"Chargebacks":[` + chargeback + `]`, "0 123456:4990", provider.Succeeded, false},
		"disputed by number":           {"2", `,"Chargebacks":[` + strings.Replace(chargeback, `"123456"`, `123456`, 1) + `]`, "0 123456:4990", provider.Succeeded, false},
		"accepted by the shop":         {"2", `,"Chargebacks":[` + strings.Replace(chargeback, "Received", "AcceptedByMerchant", 1) + `]`, "0 123456:4990 lost", provider.Succeeded, false},
		"accepted, as a number":        {"2", `,"Chargebacks":[` + strings.Replace(chargeback, `"Received"`, "2", 1) + `]`, "0 123456:4990 lost", provider.Succeeded, false},
		"contested":                    {"2", `,"Chargebacks":[` + strings.Replace(chargeback, "Received", "ContestedByMerchant", 1) + `]`, "0 123456:4990", provider.Succeeded, false},
		"twice disputed":               {"2", `,"Chargebacks":[` + chargeback + `,{"Amount":"10","CaseNumber":"B2"}]`, "0 123456:4990 B2:10", provider.Succeeded, false},
		"refunded and disputed":        {"11", `,"Chargebacks":[` + chargeback + `]`, "4990 123456:4990", provider.RejectedFinal, true},
		"one case twice":               {"2", `,"Chargebacks":[` + chargeback + `,` + chargeback + `]`, "", provider.Succeeded, true},
		"no case":                      {"2", `,"Chargebacks":[{"Amount":4990}]`, "", provider.Succeeded, true},
		"no amount":                    {"2", `,"Chargebacks":[{"CaseNumber":"1"}]`, "", provider.Succeeded, true},
		"over nothing":                 {"2", `,"Chargebacks":[{"CaseNumber":"1","Amount":0}]`, "", provider.Succeeded, true},
		"a case that is no number":     {"2", `,"Chargebacks":[{"CaseNumber":"a b","Amount":1}]`, "", provider.Succeeded, true},
		"a chargeback that is a word":  {"2", `,"Chargebacks":["yes"]`, "", provider.Succeeded, true},
		"an odd one beside a refund":   {"2", `,"VoidedAmount":10,"Chargebacks":[{}]`, "10", provider.Succeeded, true},
		"declined":                     {"3", `,"ReturnCode":"51","VoidedAmount":4990`, "", provider.RejectedRetryable, false},
		"authorised, and then a part?": {"1", `,"VoidedAmount":10`, "", provider.Accepted, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := stub(t, says(200, tells(c.status, c.more))).Lookup(t.Context(), transfer("ref1", "visa", "tok_ok_1"))
			if err != nil || f.Result.Class != c.class || (f.Result.Alarm != "") != c.alarm || told(f.Reversed) != c.want {
				t.Errorf("%q of %+v, %v", told(f.Reversed), f.Result, err)
			}
		})
	}
	a := stub(t, says(200, tells("2", `,"VoidedAmount":-1`)))
	if f, err := a.Lookup(t.Context(), transfer("ref1", "visa", "tok_ok_1")); err == nil {
		t.Errorf("less than nothing was refunded: %+v", f)
	}
}

func told(r *provider.Reversed) string {
	if r == nil {
		return ""
	}
	words := []string{fmt.Sprint(r.Refunded.Minor)}
	for _, d := range r.Disputes {
		words = append(words, fmt.Sprintf("%s:%d", d.Case, d.Amount.Minor))
		if d.Lost {
			words = append(words, "lost")
		}
	}
	return strings.Join(words, " ")
}

// Of several transactions, what was taken back of those that are charged counts; a second charge that people undid is none.
func TestASecondChargeThatWasUndoneIsNoRefund(t *testing.T) {
	t.Parallel()
	charged := transaction{Status: confirmed, Amount: 4990}
	part, undone := charged, transaction{Status: refunded, Amount: 4990}
	part.Voided = 1000
	for name, c := range map[string]struct {
		all  []transaction
		want string
	}{
		"undone":            {[]transaction{charged, undone}, ""},
		"and a part":        {[]transaction{undone, part}, "1000"},
		"both":              {[]transaction{undone, undone}, "4990"},
		"refunded, refused": {[]transaction{undone, {Status: denied, Amount: 4990, Code: "51"}}, "4990"},
		"and may be again":  {[]transaction{part, {Status: pending, Amount: 4990}}, ""},
	} {
		if f := found(c.all, transfer("ref1", "visa", "tok_ok_1")); told(f.Reversed) != c.want {
			t.Errorf("%s: %q of %+v", name, told(f.Reversed), f.Result)
		}
	}
}

// The simulator gives back and disputes as Cielo tells it, and the lookup reads it.
func TestALookupReadsWhatTheGatewayTookBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tr := transfer("ref1", "visa", "tok_ok_1")
	r.Submit(t.Context(), tr)
	number := ""
	for _, step := range []struct {
		do    func() error
		class provider.Class
		want  string
	}{
		{func() error { return nil }, provider.Succeeded, ""},
		{func() error { return r.sim.Refund("ref1", 1000) }, provider.Succeeded, "1000"},
		{func() error { return r.sim.Dispute("ref1", 500) }, provider.Succeeded, "1000 #:500"},
		{func() error { return r.sim.AcceptDispute("ref1") }, provider.Succeeded, "1000 #:500 lost"},
		{func() error { return r.sim.Refund("ref1", 0) }, provider.RejectedFinal, "4990 #:500 lost"},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		f, err := r.Lookup(t.Context(), tr)
		if f.Reversed != nil && len(f.Reversed.Disputes) > 0 {
			number = f.Reversed.Disputes[0].Case
		}
		if got := strings.Replace(told(f.Reversed), number, "#", 1); err != nil || f.Result.Class != step.class || number != "" && got != step.want || number == "" && told(f.Reversed) != step.want {
			t.Errorf("%q of %+v, %v, want %q", got, f.Result, err, step.want)
		}
	}
}
