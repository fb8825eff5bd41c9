package simulator_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agogopay/agogo/simulator"
)

// teller calls the simulated Sonatel with nothing but net/http and what is documented.
type teller struct {
	*world
	token, key string
}

const sonatelPIN = "2468"

func sonatel(t *testing.T, cfg simulator.SonatelConfig, rules ...simulator.Rule) *teller {
	t.Helper()
	cfg.PIN, cfg.Retailer = sonatelPIN, "770000000"
	s := &teller{world: start(t, simulator.Config{Sonatel: cfg}, rules...)}
	s.login()
	return s
}

func (s *teller) login() {
	s.t.Helper()
	form := url.Values{"client_id": {"c"}, "client_secret": {"s"}, "grant_type": {"client_credentials"}}
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.server.URL+"/sonatel/oauth/v1/token", strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var token struct {
		Value   string `json:"access_token"`
		Expires int    `json:"expires_in"`
	}
	if status := s.answer(req, &token); status != http.StatusOK || token.Expires != 299 {
		s.t.Fatalf("token: %d, %d s", status, token.Expires)
	}
	s.token = token.Value
	var key struct {
		Type string `json:"keyType"`
		Size int    `json:"keySize"`
		Key  string `json:"key"`
	}
	if status := s.get("/api/account/v1/publicKeys", &key); status != http.StatusOK || key.Type != "RSA" || key.Size != 2048 {
		s.t.Fatalf("key: %d %+v", status, key)
	}
	s.key = key.Key
}

func (s *teller) answer(req *http.Request, into any) int {
	s.t.Helper()
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if into != nil && json.Unmarshal(body, into) != nil {
		s.t.Fatalf("%s: %d %s", req.URL.Path, resp.StatusCode, body)
	}
	return resp.StatusCode
}

func (s *teller) request(method, path string, body []byte) *http.Request {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.server.URL+"/sonatel"+path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", "application/json")
	return req
}

func (s *teller) get(path string, into any) int {
	s.t.Helper()
	return s.answer(s.request(http.MethodGet, path, nil), into)
}

func (s *teller) encrypted(pin string) string {
	s.t.Helper()
	der, err := base64.StdEncoding.DecodeString(s.key)
	if err != nil {
		s.t.Fatal(err)
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		s.t.Fatal(err)
	}
	b, err := rsa.EncryptPKCS1v15(rand.Reader, key.(*rsa.PublicKey), []byte(pin)) //nolint:staticcheck // the platform's padding
	if err != nil {
		s.t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b)
}

// pay makes a cash-in of 24000 and returns the status of HTTP and what stands in the answer as code or status.
func (s *teller) pay(reference, pin string, change ...string) (status int, word string) {
	s.t.Helper()
	body := fmt.Sprintf(`{"partner":{"idType":"MSISDN","id":"770000000","encryptedPinCode":%q},"customer":{"idType":"MSISDN","id":"770000101"},"amount":{"value":24000,"unit":"XOF"},"reference":%q,"receiveNotification":true}`,
		s.encrypted(pin), reference)
	var a struct{ Code, Status, Reference string }
	status = s.answer(s.request(http.MethodPost, "/api/eWallet/v1/cashins", []byte(strings.NewReplacer(change...).Replace(body))), &a)
	if status == http.StatusOK {
		return status, a.Status
	}
	return status, a.Code
}

func (s *teller) moved(reference string) int {
	s.t.Helper()
	b, err := s.sim.Book(simulator.Sonatel)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range b.Entries {
		if e.Reference == reference {
			return e.Moved
		}
	}
	return 0
}

func TestSonatelPays(t *testing.T) {
	t.Parallel()
	s := sonatel(t, simulator.SonatelConfig{})
	for range 2 { // a repetition pays again
		if status, word := s.pay("ref-1", sonatelPIN); status != http.StatusOK || word != "SUCCESS" {
			t.Fatalf("got %d %s", status, word)
		}
	}
	if n := s.moved("ref-1"); n != 2 {
		t.Errorf("a repetition moved money %d times in all", n)
	}
	var list []struct {
		ID        string `json:"transactionId"`
		Reference string
		Status    string
		Amount    struct {
			Value int
			Unit  string
		}
		Customer struct{ ID string }
	}
	if s.get("/api/eWallet/v1/transactions?reference=ref-1", &list); len(list) != 1 || list[0].Amount.Value != 24000 || list[0].Customer.ID != "770000101" {
		t.Fatalf("found %+v", list)
	}
	var status struct{ Status string }
	if code := s.get("/api/eWallet/v1/transactions/"+list[0].ID+"/status", &status); code != http.StatusOK || status.Status != "SUCCESS" {
		t.Errorf("status: %d %+v", code, status)
	}
	if code := s.get("/api/eWallet/v1/transactions/CI0/status", nil); code != http.StatusNotFound {
		t.Errorf("an unknown id: %d", code)
	}
	now := s.clock.Now().Format(time.RFC3339)
	for query, want := range map[string]int{"reference=other": 0, "reference=ref-1&type=CASHIN": 0, "reference=ref-1&fromDateTime=" + url.QueryEscape(now): 0} {
		if s.get("/api/eWallet/v1/transactions?"+query, &list); len(list) != want {
			t.Errorf("%s: found %+v", query, list)
		}
	}
}

// What the platform is strict about.
func TestSonatelRefuses(t *testing.T) {
	t.Parallel()
	s := sonatel(t, simulator.SonatelConfig{})
	for name, c := range map[string]struct {
		change []string
		code   string
	}{
		"another country's number": {[]string{"770000101", "0700000101"}, "2001"},
		"a short number":           {[]string{"770000101", "77000010"}, "2001"},
		"a text as amount":         {[]string{"24000", `"24000"`}, "4099"},
		"a fraction":               {[]string{"24000", "24000.5"}, "4099"},
		"too little":               {[]string{"24000", "9"}, "4099"},
		"another currency":         {[]string{`"XOF"`, `"EUR"`}, "4099"},
		"no reference":             {[]string{`"reference":"ref-1"`, `"reference":""`}, "4099"},
		"another retailer":         {[]string{"770000000", "770000001"}, "4099"},
		"a clear PIN":              {[]string{`"encryptedPinCode":"`, `"encryptedPinCode":"2468`}, "4099"},
	} {
		if status, code := s.pay("ref-1", sonatelPIN, c.change...); status/100 != 4 || code != c.code {
			t.Errorf("%s: got %d %s, want %s", name, status, code, c.code)
		}
	}
	req := s.request(http.MethodGet, "/api/eWallet/v1/transactions?reference=ref-1", nil)
	req.Header.Del("Content-Type")
	if status := s.answer(req, nil); status != http.StatusUnsupportedMediaType {
		t.Errorf("a GET without content type: %d", status)
	}
	s.clock.advance(300 * time.Second)
	if status, code := s.pay("ref-1", sonatelPIN); status != http.StatusUnauthorized || code != "10" {
		t.Errorf("an old token: %d %s", status, code)
	}
	if n := s.moved("ref-1"); n != 0 {
		t.Errorf("money moved %d times", n)
	}
}

// Three wrong PINs block the account, whatever they were used for; a right one in between forgives.
func TestSonatelCountsPINs(t *testing.T) {
	t.Parallel()
	s := sonatel(t, simulator.SonatelConfig{})
	balance := func(pin string) (status int, code string) {
		var a struct{ Code string }
		body := fmt.Sprintf(`{"idType":"MSISDN","id":"770000000","encryptedPinCode":%q,"wallet":"PRINCIPAL"}`, s.encrypted(pin))
		return s.answer(s.request(http.MethodPost, "/api/eWallet/v1/account/retailer/balance", []byte(body)), &a), a.Code
	}
	for _, step := range []struct {
		pin, want string
		balance   bool
	}{
		{"1", "2011", false}, {"1", "2012", true}, {sonatelPIN, "", true}, {"1", "2011", true}, {"1", "2012", false}, {"1", "2013", false}, {sonatelPIN, "2013", false}, {sonatelPIN, "2013", true},
	} {
		var code string
		if step.balance {
			_, code = balance(step.pin)
		} else if status, word := s.pay("ref-1", step.pin); status != http.StatusOK {
			code = word
		}
		if code != step.want {
			t.Fatalf("%+v: got %q", step, code)
		}
	}
	s.sim.UnblockSonatel("1357")
	if status, word := s.pay("ref-1", "1357"); status != http.StatusOK || s.moved("ref-1") != 1 {
		t.Errorf("after it was unblocked: %d %s", status, word)
	}
	if _, code := balance(sonatelPIN); code != "2011" {
		t.Errorf("the old PIN: %s", code)
	}
}

func TestSonatelRevokesKeys(t *testing.T) {
	t.Parallel()
	s := sonatel(t, simulator.SonatelConfig{}, simulator.Rule{Provider: simulator.Sonatel, Operation: "cashin", Fault: simulator.KeyRevoked})
	for range 2 { // until another one is fetched
		if _, code := s.pay("ref-1", sonatelPIN); code != "4003" {
			t.Fatalf("got %s", code)
		}
	}
	old := s.key
	s.login()
	if status, word := s.pay("ref-1", sonatelPIN); status != http.StatusOK || s.key == old {
		t.Errorf("with a new key: %d %s", status, word)
	}
}

func TestSonatelFloat(t *testing.T) {
	t.Parallel()
	float := int64(30_000)
	s := sonatel(t, simulator.SonatelConfig{Float: &float})
	s.pay("ref-1", sonatelPIN)
	if status, code := s.pay("ref-2", sonatelPIN); status != http.StatusBadRequest || code != "2021" || s.moved("ref-2") != 0 {
		t.Errorf("got %d %s", status, code)
	}
}

// A callback is signed when it leaves, repeated while nobody answers or a server is in trouble, and not after a 4xx.
func TestSonatelCallbacks(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]int64{http.StatusOK: 1, http.StatusUnauthorized: 1, http.StatusServiceUnavailable: 4} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			var n atomic.Int64
			came := make(chan string, 10) // when it was signed
			s := sonatel(t, simulator.SonatelConfig{})
			hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				at, rest, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("X-Sonatel-Signature"), "t="), ",v1=")
				mac := hmac.New(sha256.New, []byte("secret"))
				mac.Write([]byte(at + "," + string(body)))
				if hex.EncodeToString(mac.Sum(nil)) != rest || r.Header.Get("Authorization") != "Basic key" {
					t.Errorf("signed %v", r.Header)
				}
				n.Add(1)
				w.WriteHeader(status)
				came <- at
			}))
			t.Cleanup(hook.Close)
			if err := s.sim.SetSonatelCallback(simulator.SonatelCallback{URL: hook.URL, Key: "key", Secret: "secret"}); err != nil {
				t.Fatal(err)
			}
			s.pay("ref-1", sonatelPIN)
			before := s.clock.Now().Unix()
			for range want {
				at, err := strconv.ParseInt(s.whileTimePasses(came), 10, 64)
				if err != nil || at < before || at > s.clock.Now().Unix() {
					t.Errorf("signed at %d, %v; it left between %d and %d", at, err, before, s.clock.Now().Unix())
				}
				before = at // who posts again signs again, later
			}
			s.until("every answer was heard", func() bool { return s.calls("callback", "delivered")+s.calls("callback", "delivered_refused") == want })
			if n.Load() != want || s.clock.asleep() != 0 {
				t.Errorf("posted %d times, want %d; %d more wait", n.Load(), want, s.clock.asleep())
			}
		})
	}
}

// whileTimePasses takes what comes, however many seconds of the simulator's clock that takes.
func (s *teller) whileTimePasses(came <-chan string) string {
	for {
		select {
		case at := <-came:
			return at
		case <-time.After(5 * time.Millisecond):
			s.clock.advance(time.Second)
		}
	}
}

// What is told of a payment agrees with the book in every case.
func TestSonatelFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rule  simulator.Rule
		word  string
		moved int
	}{
		"failed":          {simulator.Rule{Fault: simulator.Failed}, "", 0},
		"problem":         {simulator.Rule{Fault: simulator.Problem, Message: "2025"}, "2025", 0},
		"pending forever": {simulator.Rule{Fault: simulator.PendingForever}, "", 0},
		"unknown status":  {simulator.Rule{Fault: simulator.UnknownStatus, Duration: time.Hour}, "EN_COURS", 0},
		"server error":    {simulator.Rule{Fault: simulator.Problem, Message: "50"}, "50", 0},
		"token withdrawn": {simulator.Rule{Fault: simulator.Unauthorized}, "10", 0},
		"shape":           {simulator.Rule{Fault: simulator.WrongShape}, "SUCCESS", 1},
	} {
		c.rule.Provider, c.rule.Operation = simulator.Sonatel, "cashin"
		s := sonatel(t, simulator.SonatelConfig{}, c.rule)
		if _, word := s.pay("ref-1", sonatelPIN); c.word != "" && word != c.word || s.moved("ref-1") != c.moved {
			t.Errorf("%s: got %q, money moved %d times", name, word, s.moved("ref-1"))
		}
	}
}

// The control API knows Sonatel's words and refuses those of others.
func TestSonatelControl(t *testing.T) {
	t.Parallel()
	s := sonatel(t, simulator.SonatelConfig{})
	for body, want := range map[string]int{
		`{"provider":"orange_sonatel","url":"http://127.0.0.1:1/x","key":"k","secret":"s"}`:  http.StatusNoContent,
		`{"provider":"orange_sonatel","url":"http://127.0.0.1:1/x","authorization":"Basic"}`: http.StatusBadRequest,
		`{"provider":"orange_omr","url":"http://127.0.0.1:1/x","key":"k"}`:                   http.StatusBadRequest,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.server.URL+"/_control/callback", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if status := s.answer(req, nil); status != want {
			t.Errorf("%s: %d", body, status)
		}
	}
	s.pay("ref-1", sonatelPIN)
	if err := s.sim.Reset(); err != nil || s.moved("ref-1") != 0 {
		t.Errorf("reset: %v", err)
	}
}
