package cielo

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/simulator"
)

// What every kind of card does, in Agogo's words and in the gateway's book.
func TestCards(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		brand, token string
		class        provider.Class
		scope        provider.Scope
		code, theirs string
		after        time.Duration
		stop         bool
		never        bool
	}{
		"paid":                  {brand: "visa", token: "tok_ok_1", class: provider.Succeeded},
		"paid by mastercard":    {brand: "mastercard", token: "tok_ok_1", class: provider.Succeeded},
		"paid by elo":           {brand: "elo", token: "tok_ok_1", class: provider.Succeeded},
		"no funds":              {brand: "mastercard", token: "tok_soft_51_1", class: provider.RejectedRetryable, scope: provider.ScopePayment, code: "insufficient_funds", theirs: "51"},
		"no funds for two days": {brand: "mastercard", token: "tok_soft_51-26_1", class: provider.RejectedRetryable, scope: provider.ScopePayment, code: "insufficient_funds", theirs: "51", after: 48 * time.Hour},
		"never again":           {brand: "mastercard", token: "tok_soft_51-03_1", class: provider.RejectedFinal, scope: provider.ScopePayment, code: "insufficient_funds", theirs: "51", never: true},
		"hard, and a wait":      {brand: "mastercard", token: "tok_hard_58-02_1", class: provider.RejectedFinal, scope: provider.ScopePayment, code: "not_permitted", theirs: "58", after: 72 * time.Hour},
		"expired":               {brand: "elo", token: "tok_hard_54_1", class: provider.RejectedFinal, scope: provider.ScopeCard, code: "expired_card", theirs: "54"},
		"stopped by its holder": {brand: "visa", token: "tok_hard_R1_1", class: provider.RejectedFinal, scope: provider.ScopePayment, code: "stopped_by_holder", theirs: "R1", never: true},
		"by brand: soft":        {brand: "elo", token: "tok_soft_62_1", class: provider.RejectedRetryable, scope: provider.ScopePayment, code: "temporary_block", theirs: "62"},
		"by brand: closed":      {brand: "mastercard", token: "tok_soft_62_1", class: provider.RejectedFinal, scope: provider.ScopeCard, code: "closed_account", theirs: "62"},
		"the customer must act": {brand: "visa", token: "tok_action_1A_1", class: provider.RejectedFinal, scope: provider.ScopePayment, code: provider.CodeRequiresAction, theirs: "1A"},
		"a code of nobody":      {brand: "visa", token: "tok_soft_Q7_1", class: provider.RejectedRetryable, scope: provider.ScopePayment, code: "unknown_decline", theirs: "Q7"},
		"the merchant":          {brand: "visa", token: "tok_hard_GK_1", class: provider.RejectedRetryable, scope: provider.ScopeProvider, code: "merchant_refused", theirs: "GK", stop: true},
		"the issuer is silent":  {brand: "visa", token: "tok_soft_98_1", class: provider.Ambiguous, scope: provider.ScopePayment, code: "issuer_timeout", theirs: "98"},
		"pending":               {brand: "visa", token: "tok_pending_1", class: provider.Accepted, code: "pending"},
		"lost":                  {brand: "visa", token: "tok_timeout_paid_1", class: provider.Ambiguous, scope: provider.ScopeProvider, code: provider.CodeTimeout},
		"lost before":           {brand: "visa", token: "tok_timeout_unpaid_1", class: provider.Ambiguous, scope: provider.ScopeProvider, code: provider.CodeTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			got := r.Submit(t.Context(), transfer("ref1", c.brand, c.token))
			want := provider.Result{Class: c.class, Scope: c.scope, Code: c.code, ProviderCode: c.theirs, RetryAfter: c.after, Stop: c.stop, Forbidden: c.never}
			got.ProviderID, got.Alarm = "", ""
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			paid := 0
			if c.class == provider.Succeeded || c.token == "tok_timeout_paid_1" {
				paid = 1
			}
			if n := r.entry(t, "ref1").Moved; n != paid {
				t.Errorf("charged %d times, want %d", n, paid)
			}
		})
	}
}

// The two stages of the lost answer: unknown, then found, and charged once.
func TestALostAnswerIsFoundByItsOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tr := transfer("ref1", "elo", "tok_timeout_paid_030")
	if res := r.Submit(t.Context(), tr); res.Class != provider.Ambiguous {
		t.Fatalf("got %+v", res)
	}
	f, err := r.Lookup(t.Context(), tr)
	if err != nil || !f.Exists || f.Result.Class != provider.Succeeded || *f.Amount != tr.Amount || f.Result.ProviderID == "" {
		t.Errorf("got %+v, %v", f, err)
	}
	if e := r.entry(t, "ref1"); e.Moved != 1 || e.Requests != 1 {
		t.Errorf("the book has %+v", e)
	}
}

func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	for brand, c := range map[string]struct{ name, initiated string }{
		"visa":       {"Visa", ""},
		"elo":        {"Elo", ""},
		"mastercard": {"Master", `,"InitiatedTransactionIndicator":{"Category":"M1","Subcategory":"Subscription"}`},
	} {
		t.Run(brand, func(t *testing.T) {
			t.Parallel()
			var body []byte
			var header http.Header
			a := stub(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost || r.URL.Path != "/1/sales/" {
					t.Errorf("%s %s", r.Method, r.URL)
				}
				body, _ = io.ReadAll(r.Body)
				header = r.Header
				w.WriteHeader(http.StatusCreated)
				_, _ = w.Write([]byte(tells("2", "")))
			})
			if res := a.Submit(t.Context(), transfer("ref1", brand, "token/with/slashes")); res.Class != provider.Succeeded {
				t.Fatalf("got %+v", res)
			}
			want := `{"MerchantOrderId":"ref1","Payment":{"Type":"CreditCard","Amount":4990,"Installments":1,"SoftDescriptor":"WALLCLUB",` +
				`"Capture":true,"Recurrent":true,"CreditCard":{"CardToken":"token/with/slashes","Brand":"` + c.name + `"}` + c.initiated + `}}`
			if d := cmp.Diff(want, string(body)); d != "" {
				t.Error(d)
			}
			if header.Get("MerchantId") != merchantID || header.Get("MerchantKey") != merchantKey || len(header.Get("RequestId")) != 36 || header.Get("Content-Type") != "application/json" {
				t.Errorf("headers %v", header)
			}
		})
	}
}

// What cannot be charged is refused before anything is sent.
func TestNotSentAtAll(t *testing.T) {
	t.Parallel()
	a := stub(t, func(http.ResponseWriter, *http.Request) { t.Error("something was sent") })
	for code, c := range map[string]struct {
		scope  provider.Scope
		change func(*provider.Transfer)
	}{
		"reference_invalid":  {provider.ScopeProvider, func(t *provider.Transfer) { t.Reference = "ref-1" }},
		"amount_invalid":     {provider.ScopeProvider, func(t *provider.Transfer) { t.Amount = money.Amount{Minor: 4990, Currency: "USD"} }},
		"card_missing":       {provider.ScopePayment, func(t *provider.Transfer) { t.Destination = "tok_ok_1" }},
		"card_brand_unknown": {provider.ScopePayment, func(t *provider.Transfer) { t.Destination = "cabal/tok_ok_1" }},
	} {
		tr := transfer("ref1", "visa", "tok_ok_1")
		c.change(&tr)
		if res := a.Submit(t.Context(), tr); res.Class != provider.RejectedFinal || res.Scope != c.scope || res.Code != code || res.Alarm == "" || res.Stop {
			t.Errorf("%s: got %+v", code, res)
		}
	}
}

// Answers of every kind, to a sale and to a lookup.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		// want is class, scope, code and "!" for an alarm, "stop" for a stop; found the same of a lookup, "" for none.
		want, found string
	}{
		"charged":             {201, tells("2", `,"CapturedAmount":4990`), "SUCCEEDED", "SUCCEEDED"},
		"charged, 200":        {200, tells("2", ""), "SUCCEEDED", "SUCCEEDED"},
		"numbers as texts":    {201, tells(`"2"`, `,"CapturedAmount":"4990.0"`), "SUCCEEDED", "SUCCEEDED"},
		"not finished":        {201, tells("0", ""), "ACCEPTED pending", "ACCEPTED pending"},
		"authorised":          {201, tells("1", ""), "ACCEPTED authorized_only !", "ACCEPTED authorized_only !"},
		"denied":              {201, tells("3", `,"ReturnCode":"51"`), "REJECTED_RETRYABLE payment insufficient_funds", "REJECTED_RETRYABLE payment insufficient_funds"},
		"denied with 5":       {201, tells("3", `,"ReturnCode":5`), "REJECTED_RETRYABLE payment declined", "REJECTED_RETRYABLE payment declined"},
		"denied without":      {201, tells("3", `,"ReturnCode":null`), "REJECTED_RETRYABLE payment unknown_decline !", "REJECTED_RETRYABLE payment unknown_decline !"},
		"invalid merchant":    {201, tells("3", `,"ReturnCode":"03"`), "REJECTED_FINAL payment invalid_merchant !", "REJECTED_FINAL payment invalid_merchant !"},
		"issuer silent":       {201, tells("3", `,"ReturnCode":"98"`), "AMBIGUOUS payment issuer_timeout", "REJECTED_RETRYABLE payment issuer_unavailable"},
		"sandbox's time-out":  {201, tells("3", `,"ReturnCode":"99"`), "AMBIGUOUS payment issuer_timeout", "REJECTED_RETRYABLE payment issuer_unavailable"},
		"voided":              {201, tells("10", ""), "REJECTED_FINAL payment voided !", "REJECTED_FINAL payment voided !"},
		"refunded":            {201, tells("11", ""), "REJECTED_FINAL payment refunded !", "REJECTED_FINAL payment refunded !"},
		"pending":             {201, tells("12", ""), "ACCEPTED pending", "ACCEPTED pending"},
		"aborted":             {201, tells("13", ""), "REJECTED_RETRYABLE payment aborted", "REJECTED_RETRYABLE payment aborted"},
		"scheduled":           {201, tells("20", ""), "ACCEPTED scheduled !", "ACCEPTED scheduled !"},
		"unknown status":      {201, tells("77", ""), "ACCEPTED unknown_status !", "ACCEPTED unknown_status !"},
		"disputed":            {201, tells("2", `,"Chargebacks":[{"Amount":4990}]`), "SUCCEEDED chargeback !", "SUCCEEDED chargeback !"},
		"another order":       {201, strings.Replace(tells("2", ""), "ref1", "ref2", 1), "AMBIGUOUS provider answer_of_another !", ""},
		"another amount":      {201, tells("2", `,"CapturedAmount":10`), "AMBIGUOUS provider amount_differs !", "SUCCEEDED"},
		"no status":           {201, strings.Replace(tells("2", ""), `"Status":2,`, "", 1), "AMBIGUOUS provider unreadable_answer", ""},
		"no id":               {201, strings.Replace(tells("2", ""), paymentID, "", 1), "AMBIGUOUS provider unreadable_answer", ""},
		"no payment":          {201, `{"MerchantOrderId":"ref1"}`, "AMBIGUOUS provider unreadable_answer", ""},
		"an empty body":       {201, ``, "AMBIGUOUS provider unreadable_answer", ""},
		"a page":              {201, `<html>`, "AMBIGUOUS provider unreadable_answer", ""},
		"two of them":         {201, tells("2", "") + tells("3", ""), "AMBIGUOUS provider unreadable_answer", ""},
		"half a cent":         {201, strings.Replace(tells("2", ""), "4990", "49.90", 1), "AMBIGUOUS provider unreadable_answer", ""},
		"order id refused":    {400, `[{"Code":107,"Message":"…"}]`, "REJECTED_FINAL provider invalid_request !", ""},
		"token unknown":       {400, `[{"Code":"130","Message":"…"}]`, "REJECTED_FINAL payment card_refused", ""},
		"token and order":     {400, `[{"Code":130},{"Code":107}]`, "REJECTED_FINAL provider invalid_request !", ""},
		"merchant key wrong":  {400, `[{"Code":132,"Message":"…"}]`, "REJECTED_RETRYABLE provider merchant_refused stop", ""},
		"merchant unknown":    {400, `[{"Code":"115","Message":"…"}]`, "REJECTED_RETRYABLE provider merchant_refused stop", ""},
		"merchant no GUID":    {400, `[{"Code":107},{"Code":114}]`, "REJECTED_RETRYABLE provider merchant_refused stop", ""},
		"merchant blocked":    {400, `[{"Code":116}]`, "REJECTED_RETRYABLE provider merchant_refused stop", ""},
		"address not allowed": {400, `[{"Code":120}]`, "REJECTED_RETRYABLE provider merchant_refused stop", ""},
		"400 of somebody":     {400, `<html>`, "AMBIGUOUS payment unrecognised_answer", ""},
		"400 with nothing":    {400, `[]`, "AMBIGUOUS payment unrecognised_answer", ""},
		"wrong key":           {401, ``, "REJECTED_RETRYABLE provider credentials_refused stop", ""},
		"forbidden":           {403, ``, "REJECTED_RETRYABLE provider address_refused stop", ""},
		"not there":           {404, ``, "AMBIGUOUS payment unrecognised_answer", ""},
		"too many":            {429, ``, "NOT_SENT rate_limited", ""},
		"moved":               {302, ``, "AMBIGUOUS payment unrecognised_answer", ""},
		"500":                 {500, tells("3", `,"ReturnCode":"51"`), "AMBIGUOUS provider server_error", ""},
		"504":                 {504, ``, "AMBIGUOUS provider server_error", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := stub(t, says(c.status, c.body))
			tr := transfer("ref1", "visa", "tok_ok_1")
			if got := words(a.Submit(t.Context(), tr)); got != c.want {
				t.Errorf("a sale: %q, want %q", got, c.want)
			}
			got := ""
			if f, err := a.Lookup(t.Context(), tr); err == nil {
				got = words(f.Result)
				if f.Exists == (f.Result.Class == "") {
					t.Errorf("a lookup says neither that it is there nor that it is not: %+v", f)
				}
			}
			if got != c.found {
				t.Errorf("a lookup: %q, want %q", got, c.found)
			}
		})
	}
}

func words(r provider.Result) string {
	parts := []string{string(r.Class), string(r.Scope), r.Code}
	if r.Stop {
		parts = append(parts, "stop")
	}
	if r.Alarm != "" {
		parts = append(parts, "!")
	}
	return strings.Join(strings.Fields(strings.Join(parts, " ")), " ")
}

// A rate limit is an answer too, so the reference may have arrived. It goes again only when the gateway does not know it.
func TestAReferenceThatMayHaveArrivedIsLookedUpFirst(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first *simulator.Rule // of a first sale; nil: there was none
		rule  []simulator.Rule
		class provider.Class
		moved int
		sales int
	}{
		"never arrived":     {nil, nil, provider.Succeeded, 1, 1},
		"arrived":           {&simulator.Rule{Fault: simulator.LostAnswer}, nil, provider.Succeeded, 1, 1},
		"arrived, declined": {&simulator.Rule{Fault: simulator.Failed, Message: "51"}, nil, provider.RejectedRetryable, 0, 1},
		"cannot be asked":   {nil, []simulator.Rule{{Operation: "orders", Fault: simulator.ServerErrorBefore}}, provider.NotSent, 0, 0},
		"asked garbage":     {nil, []simulator.Rule{{Operation: "orders", Fault: simulator.Garbage}}, provider.NotSent, 0, 0},
		"not let in":        {nil, []simulator.Rule{{Operation: "orders", Fault: simulator.Unauthorized, Times: 9}}, provider.NotSent, 0, 0},
		"charging refused":  {nil, []simulator.Rule{{Fault: simulator.Unauthorized, Times: 9}}, provider.NotSent, 0, 0},
		"declined now":      {nil, []simulator.Rule{{Fault: simulator.Failed, Message: "GK"}}, provider.RejectedRetryable, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			tr := transfer("ref1", "visa", "tok_ok_1")
			if c.first != nil {
				r.plan(t, *c.first)
				r.Submit(t.Context(), tr)
			}
			r.plan(t, c.rule...)
			tr.Resend = true
			if res := r.Submit(t.Context(), tr); res.Class != c.class {
				t.Errorf("got %+v, want %s", res, c.class)
			}
			if e := r.entry(t, "ref1"); e.Moved != c.moved || e.Requests != c.sales {
				t.Errorf("charged %d times by %d sales, want %d by %d", e.Moved, e.Requests, c.moved, c.sales)
			}
		})
	}
}

// Nothing that results or errors carry tells the card or the merchant's key.
func TestNothingSecretInResultsAndErrors(t *testing.T) {
	t.Parallel()
	const token = "4f5e6d7c-token-of-the-card"
	leak := merchantKey + " " + token + " " + merchantID
	for _, body := range []string{
		tells("3", `,"ReturnCode":"`+leak+`"`), `[{"Code":"` + leak + `"}]`, leak, strings.Replace(tells("2", ""), "ref1", leak, 1),
	} {
		for _, status := range []int{200, 201, 400, 401, 404, 500} {
			a := stub(t, says(status, body))
			tr := transfer("ref1", "visa", token)
			found, err := a.Lookup(t.Context(), tr)
			text, _ := json.Marshal([]any{a.Submit(t.Context(), tr), found})
			if err != nil {
				text = append(text, err.Error()...)
			}
			for _, secret := range []string{merchantKey, token, merchantID} {
				if strings.Contains(strings.ToLower(string(text)), strings.ToLower(secret)) {
					t.Errorf("%d %s: %s is in %s", status, body, secret, text)
				}
			}
		}
	}
}

func TestNotificationsNeedTheStaticHeader(t *testing.T) {
	t.Parallel()
	a := New(settings("http://h", "http://h"), nil)
	body := []byte(`{"PaymentId":"` + paymentID + `","ChangeType":7}`)
	for value, ok := range map[string]bool{webhookSecret: true, "": false, webhookSecret + " ": false, "Bearer " + webhookSecret: false} {
		names, err := a.Verify(http.Header{"X-Shop": {value}}, body)
		if (err == nil) != ok || ok && (len(names) != 1 || names[0] != paymentID) {
			t.Errorf("%q: %v, %v", value, names, err)
		}
	}
	for _, c := range []func(*Adapter){
		func(a *Adapter) { a.cfg.WebhookHeader, a.cfg.WebhookSecret = "", "" },
		func(a *Adapter) { a.cfg.WebhookSecret = "" },
		func(a *Adapter) { a.cfg.WebhookHeader = "" },
	} {
		open := New(settings("http://h", "http://h"), nil)
		c(open)
		if names, err := open.Verify(http.Header{"X-Shop": {""}, "": {webhookSecret}}, body); err == nil {
			t.Errorf("nothing is agreed, and %v was let in", names)
		}
	}
}
