package simulator_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agogopay/agogo/simulator"
)

const (
	mtnBase  = "/disbursement/v1_0"
	mtnPayee = "2250500000101"
)

// mtnID is an X-Reference-Id.
func mtnID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// mtnReady is a simulator with a token for MTN.
func mtnReady(t *testing.T, cfg simulator.Config, rules ...simulator.Rule) *world {
	t.Helper()
	w := start(t, cfg, rules...)
	w.mtnLogin()
	return w
}

func (w *world) mtnLogin() {
	w.t.Helper()
	var token struct {
		AccessToken string `json:"access_token"`
	}
	w.want(w.mtnToken(nil, ""), http.StatusOK, &token)
	w.bearer = token.AccessToken
}

func (w *world) mtnToken(change func(*http.Request), body string) reply {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodPost, w.server.URL+"/disbursement/token/", strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.SetBasicAuth("user", "key")
	r.Header.Set("Ocp-Apim-Subscription-Key", "subscription")
	if change != nil {
		change(r)
	}
	return w.do(r)
}

func mtnBody(peer, amount string) string {
	return fmt.Sprintf(`{"amount":%q,"currency":"XOF","externalId":"e-1","payee":{"partyIdType":"MSISDN","partyId":%q},"payerMessage":"","payeeNote":""}`, amount, peer)
}

// mtn calls with the usual headers; more overrides them, "" removes one.
func (w *world) mtn(method, path, body string, more map[string]string) reply {
	w.t.Helper()
	h := map[string]string{"Ocp-Apim-Subscription-Key": "subscription", "X-Target-Environment": "mtnivorycoast"}
	for k, v := range more {
		h[k] = v
	}
	return w.call(method, mtnBase+path, body, h)
}

func (w *world) mtnTransfer(id, peer, amount string) reply {
	w.t.Helper()
	return w.mtn("POST", "/transfer", mtnBody(peer, amount), map[string]string{"X-Reference-Id": id})
}

func (w *world) mtnStatus(id string) reply {
	w.t.Helper()
	return w.mtn("GET", "/transfer/"+id, "", nil)
}

// mtnSaw puts a reply into one word: the status and its reason, or the HTTP status and the code.
func mtnSaw(r reply) string {
	if r.err != nil || r.status == http.StatusOK && !json.Valid(r.body) {
		return saw(r)
	}
	var b struct {
		Status, Code string
		Reason       json.RawMessage
	}
	_ = json.Unmarshal(r.body, &b)
	if b.Status != "" {
		var why struct{ Code string }
		if len(b.Reason) > 0 && json.Unmarshal(b.Reason, &why) != nil {
			_ = json.Unmarshal(b.Reason, &why.Code)
		}
		return strings.Trim(b.Status+" "+why.Code, " ")
	}
	return strings.Trim(fmt.Sprintf("%d %s", r.status, b.Code), " ")
}

func (w *world) mtnMoved(id string) int {
	w.t.Helper()
	b, err := w.sim.Book(simulator.MTN)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range b.Entries {
		if e.Reference == id {
			return e.Moved
		}
	}
	return 0
}

// Every fault as a raw client sees it: the answer to the transfer, its status at once and an hour later, and how often the
// money really moved by then.
func TestFaultsOfMTNTransfers(t *testing.T) {
	for name, c := range map[string]struct {
		rule                  simulator.Rule
		answer, status, later string
		moved                 int
	}{
		"none":               {simulator.Rule{}, "202", "PENDING", "SUCCESSFUL", 1},
		"lost answer":        {simulator.Rule{Fault: simulator.LostAnswer}, "eof", "PENDING", "SUCCESSFUL", 1},
		"lost answer, blind": {simulator.Rule{Fault: simulator.LostAnswer, Blind: time.Minute}, "eof", "404 RESOURCE_NOT_FOUND", "SUCCESSFUL", 1},
		"lookup blind":       {simulator.Rule{Fault: simulator.LookupBlind, Duration: time.Minute}, "eof", "404 RESOURCE_NOT_FOUND", "SUCCESSFUL", 1},
		"reset after":        {simulator.Rule{Fault: simulator.ResetAfter}, "reset", "PENDING", "SUCCESSFUL", 1},
		"reset before":       {simulator.Rule{Fault: simulator.ResetBefore}, "reset", "404 RESOURCE_NOT_FOUND", "404 RESOURCE_NOT_FOUND", 0},
		"502 after":          {simulator.Rule{Fault: simulator.ServerErrorAfter}, "502", "PENDING", "SUCCESSFUL", 1},
		"408 after":          {simulator.Rule{Fault: simulator.ServerErrorAfter, Status: 408}, "408", "PENDING", "SUCCESSFUL", 1},
		"500 after":          {simulator.Rule{Fault: simulator.ServerErrorAfter, Status: 500}, "500 INTERNAL_PROCESSING_ERROR", "PENDING", "SUCCESSFUL", 1},
		"503 before":         {simulator.Rule{Fault: simulator.ServerErrorBefore}, "503 SERVICE_UNAVAILABLE", "404 RESOURCE_NOT_FOUND", "404 RESOURCE_NOT_FOUND", 0},
		"garbage":            {simulator.Rule{Fault: simulator.Garbage}, "garbage", "PENDING", "SUCCESSFUL", 1},
		"pending failed":     {simulator.Rule{Fault: simulator.PendingFailed, Duration: time.Minute}, "202", "PENDING", "FAILED APPROVAL_REJECTED", 0},
		"pending forever":    {simulator.Rule{Fault: simulator.PendingForever}, "202", "PENDING", "PENDING", 0},
		"failed":             {simulator.Rule{Fault: simulator.Failed, Message: "EXPIRED"}, "202", "PENDING", "FAILED EXPIRED", 0},
		"refused":            {simulator.Rule{Fault: simulator.Failed, Status: 500, Message: "PAYEE_NOT_FOUND"}, "500 PAYEE_NOT_FOUND", "404 RESOURCE_NOT_FOUND", "404 RESOURCE_NOT_FOUND", 0},
		"401":                {simulator.Rule{Fault: simulator.Unauthorized}, "401", "404 RESOURCE_NOT_FOUND", "404 RESOURCE_NOT_FOUND", 0},
		"429":                {simulator.Rule{Fault: simulator.TooMany}, "429", "404 RESOURCE_NOT_FOUND", "404 RESOURCE_NOT_FOUND", 0},
		"403":                {simulator.Rule{Fault: simulator.NotSubscribed}, "403 FORBIDDEN_IP", "404 RESOURCE_NOT_FOUND", "404 RESOURCE_NOT_FOUND", 0},
		"no such path":       {simulator.Rule{Fault: simulator.NotActivated}, "404", "404 RESOURCE_NOT_FOUND", "404 RESOURCE_NOT_FOUND", 0},
		"unknown status":     {simulator.Rule{Fault: simulator.UnknownStatus, Duration: time.Minute}, "202", "ONGOING", "SUCCESSFUL", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := mtnReady(t, simulator.Config{})
			c.rule.Provider, c.rule.Operation, c.rule.Match.Peer, c.rule.Times = simulator.MTN, "transfer", mtnPayee, 1
			if c.rule.Fault != "" {
				if err := w.sim.AddRule(c.rule); err != nil {
					t.Fatal(err)
				}
			}
			if got := mtnSaw(w.mtnTransfer(mtnID(1), mtnPayee, "24000")); got != c.answer {
				t.Errorf("answer: got %s, want %s", got, c.answer)
			}
			if c.rule.Fault == simulator.Unauthorized {
				w.mtnLogin() // the token is gone, as the fault says
			}
			if got := mtnSaw(w.mtnStatus(mtnID(1))); got != c.status {
				t.Errorf("status: got %s, want %s", got, c.status)
			}
			w.clock.advance(59 * time.Minute)
			if got := mtnSaw(w.mtnStatus(mtnID(1))); got != c.later {
				t.Errorf("later: got %s, want %s", got, c.later)
			}
			if n := w.mtnMoved(mtnID(1)); n != c.moved {
				t.Errorf("moved %d times, want %d", n, c.moved)
			}
			if got := mtnSaw(w.mtnTransfer(mtnID(2), "2250500000102", "1")); got != "202" {
				t.Errorf("another payee: got %s", got)
			}
		})
	}
}

// The payees that MTN publishes for its sandbox do what is published of them.
func TestPublishedPayeesOfMTN(t *testing.T) {
	t.Parallel()
	w := mtnReady(t, simulator.Config{})
	for n, want := range map[int]string{
		450: "FAILED", 451: "FAILED APPROVAL_REJECTED", 452: "FAILED EXPIRED", 453: "PENDING", 454: "PENDING", 455: "FAILED NOT_ENOUGH_FUNDS",
		456: "FAILED PAYER_LIMIT_REACHED", 457: "FAILED PAYEE_NOT_FOUND", 458: "FAILED NOT_ALLOWED", 459: "FAILED NOT_ALLOWED_TARGET_ENVIRONMENT",
		460: "FAILED INVALID_CALLBACK_URL_HOST", 461: "FAILED INVALID_CURRENCY", 462: "FAILED INTERNAL_PROCESSING_ERROR",
		463: "FAILED SERVICE_UNAVAILABLE", 464: "SUCCESSFUL",
	} {
		id := mtnID(n)
		body := strings.Replace(mtnBody(fmt.Sprintf("46733123%d", n), "10.00"), "XOF", "EUR", 1)
		sandbox := map[string]string{"X-Reference-Id": id, "X-Target-Environment": "sandbox"}
		if got := mtnSaw(w.mtn("POST", "/transfer", body, sandbox)); got != "202" {
			t.Errorf("%d: answered %s", n, got)
		}
		w.clock.advance(2 * time.Second)
		if got := mtnSaw(w.mtn("GET", "/transfer/"+id, "", sandbox)); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
	w.clock.advance(time.Minute)
	if got := mtnSaw(w.mtnStatus(mtnID(454))); got != "SUCCESSFUL" {
		t.Errorf("delayed: %s after a minute", got)
	}
	for n, want := range map[int]string{450: "404 RESOURCE_NOT_FOUND", 451: `{"result":false}`, 452: "500 NOT_ALLOWED", 453: `{"result":true}`} {
		r := w.mtn("GET", fmt.Sprintf("/accountholder/msisdn/46733123%d/active", n), "", nil)
		if got := mtnSaw(r); got != want && string(r.body) != want {
			t.Errorf("active %d: got %s %s, want %s", n, got, r.body, want)
		}
	}
}

// A reference is good for one transfer, whatever the second one says.
func TestMTNReferenceIsGoodOnce(t *testing.T) {
	t.Parallel()
	w := mtnReady(t, simulator.Config{})
	for i, want := range []string{"202", "409 RESOURCE_ALREADY_EXIST", "409 RESOURCE_ALREADY_EXIST"} {
		if got := mtnSaw(w.mtnTransfer(mtnID(1), mtnPayee, fmt.Sprint(24000+i))); got != want {
			t.Errorf("transfer %d: got %s, want %s", i, got, want)
		}
	}
	w.clock.advance(time.Minute)
	b, err := w.sim.Book(simulator.MTN)
	if err != nil || len(b.Entries) != 1 || b.Entries[0].Moved != 1 || b.Entries[0].MovedMinor != 24000 || b.Entries[0].Requests != 3 {
		t.Errorf("got %+v, %v", b, err)
	}
}

// What does not follow the specification is refused, and moves nothing.
func TestMTNRefusesWhatItsSpecificationForbids(t *testing.T) {
	t.Parallel()
	w := mtnReady(t, simulator.Config{MTN: simulator.MTNConfig{
		APIUser: "user", APIKey: "key", SubscriptionKey: "subscription", Target: "mtnivorycoast", CallbackHost: "pay.example.com",
	}})
	good := mtnBody(mtnPayee, "24000")
	replace := func(from, to string) string { return strings.Replace(good, from, to, 1) }
	for name, c := range map[string]struct {
		body   string
		header map[string]string
		want   string
	}{
		"a reference of version 5":   {good, map[string]string{"X-Reference-Id": "00000000-0000-5000-8000-000000000001"}, "400"},
		"no reference":               {good, map[string]string{"X-Reference-Id": ""}, "400"},
		"an amount that is a number": {replace(`"24000"`, `24000`), nil, "400"},
		"an amount with decimals":    {replace(`24000`, `24000.00`), nil, "400"},
		"no amount":                  {replace(`24000`, ``), nil, "400"},
		"nothing":                    {replace(`24000`, `0`), nil, "400"},
		"another currency":           {replace(`XOF`, `EUR`), nil, "500 INVALID_CURRENCY"},
		"a payee with +":             {replace(mtnPayee, "+"+mtnPayee), nil, "400"},
		"a payee of another kind":    {replace("MSISDN", "ALIAS"), nil, "400"},
		"an apostrophe":              {replace(`"payeeNote":""`, `"payeeNote":"l'argent"`), nil, "400"},
		"a long note":                {replace(`"payerMessage":""`, `"payerMessage":"`+strings.Repeat("n", 161)+`"`), nil, "400"},
		"text":                       {good, map[string]string{"Content-Type": "text/plain"}, "400"},
		"another country":            {good, map[string]string{"X-Target-Environment": "mtnbenin"}, "500 NOT_ALLOWED_TARGET_ENVIRONMENT"},
		"another subscription":       {good, map[string]string{"Ocp-Apim-Subscription-Key": "other"}, "401"},
		"another token":              {good, map[string]string{"Authorization": "Bearer other"}, "401"},
		"another host to call":       {good, map[string]string{"X-Callback-Url": "https://evil.example.com/x"}, "500 INVALID_CALLBACK_URL_HOST"},
		"the host to call":           {good, map[string]string{"X-Callback-Url": "https://pay.example.com/x", "X-Reference-Id": mtnID(9)}, "202"},
	} {
		h := map[string]string{"X-Reference-Id": mtnID(1)}
		for k, v := range c.header {
			h[k] = v
		}
		if got := mtnSaw(w.mtn("POST", "/transfer", c.body, h)); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	if n := w.mtnMoved(mtnID(1)); n != 0 {
		t.Errorf("moved %d times", n)
	}
	for name, c := range map[string]struct {
		change func(*http.Request)
		body   string
		want   string
	}{
		"a body":       {nil, "grant_type=client_credentials", "400"},
		"another key":  {func(r *http.Request) { r.SetBasicAuth("user", "other") }, "", "401"},
		"another user": {func(r *http.Request) { r.SetBasicAuth("other", "key") }, "", "401"},
		"nobody":       {func(r *http.Request) { r.Header.Del("Authorization") }, "", "401"},
	} {
		if got := mtnSaw(w.mtnToken(c.change, c.body)); got != c.want {
			t.Errorf("token, %s: got %s, want %s", name, got, c.want)
		}
	}
	w.clock.advance(time.Hour)
	if got := mtnSaw(w.mtnTransfer(mtnID(1), mtnPayee, "24000")); got != "401" {
		t.Errorf("an hour-old token: %s", got)
	}
}

// An account that runs dry fails what it cannot cover: later, or at once where that was agreed.
func TestMTNFloat(t *testing.T) {
	t.Parallel()
	for refuse, want := range map[bool][2]string{false: {"202", "FAILED NOT_ENOUGH_FUNDS"}, true: {"500 NOT_ENOUGH_FUNDS", "404 RESOURCE_NOT_FOUND"}} {
		float := int64(30_000)
		w := mtnReady(t, simulator.Config{MTN: simulator.MTNConfig{Float: &float, RefuseWithoutFloat: refuse}})
		for n, expect := range [][2]string{{"202", "SUCCESSFUL"}, want} {
			answer := mtnSaw(w.mtnTransfer(mtnID(n), mtnPayee, "24000"))
			w.clock.advance(time.Minute)
			if got := [2]string{answer, mtnSaw(w.mtnStatus(mtnID(n)))}; got != expect {
				t.Errorf("refuse %v, transfer %d: got %v, want %v", refuse, n, got, expect)
			}
		}
		var b struct{ AvailableBalance, Currency string }
		w.want(w.mtn("GET", "/account/balance", "", nil), http.StatusOK, &b)
		if b.AvailableBalance != "6000" || b.Currency != "XOF" {
			t.Errorf("balance %+v", b)
		}
	}
}
