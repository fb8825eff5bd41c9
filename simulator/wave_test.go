package simulator_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/simulator"
)

const waveKey = "wave_ci_test_0123456789"

func waveBody(reference, mobile, amount string) string {
	return fmt.Sprintf(`{"currency":"XOF","receive_amount":%q,"mobile":%q,"client_reference":%q}`, amount, mobile, reference)
}

func (w *world) wave(method, path, body, key string) reply {
	w.t.Helper()
	header := map[string]string{"Authorization": "Bearer " + waveKey}
	if key != "" {
		header["Idempotency-Key"] = key
	}
	return w.call(method, "/wave/v1"+path, body, header)
}

func (w *world) payout(key, reference string) reply {
	w.t.Helper()
	return w.wave("POST", "/payout", waveBody(reference, "+2250700000101", "24000"), key)
}

type wavePayout struct {
	ID              string `json:"id"`
	Status          string `json:"status"`
	ReceiveAmount   string `json:"receive_amount"`
	Fee             string `json:"fee"`
	Mobile          string `json:"mobile"`
	Currency        string `json:"currency"`
	ClientReference string `json:"client_reference"`
	Timestamp       string `json:"timestamp"`
	Error           struct {
		Code string `json:"error_code"`
	} `json:"payout_error"`
}

// said is the word of an answer: a payout's status, or an error's status and code.
func said(r reply) string {
	var p struct{ Status, Code string }
	if r.err != nil || json.Unmarshal(r.body, &p) != nil {
		return saw(r)
	}
	if r.status/100 == 2 {
		return p.Status
	}
	return strconv.Itoa(r.status) + " " + p.Code
}

func (w *world) waveEntry(reference string) simulator.Entry {
	w.t.Helper()
	b, err := w.sim.Book(simulator.Wave)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range b.Entries {
		if e.Reference == reference {
			return e
		}
	}
	return simulator.Entry{}
}

func TestWavePaysAKeyOnceAndAnotherKeyAgain(t *testing.T) {
	w := start(t, simulator.Config{})
	var first, second, other wavePayout
	w.want(w.payout("key-1", "ref-1"), 200, &first)
	w.want(w.payout("key-1", "ref-1"), 200, &second)
	if diff := cmp.Diff(first, second); diff != "" || first.Status != "succeeded" || first.ReceiveAmount != "24000" || first.Fee != "240" || len(first.ID) > 20 {
		t.Errorf("got %+v (-first +second)\n%s", first, diff)
	}
	if e := w.waveEntry("ref-1"); e.Moved != 1 || e.Requests != 2 || e.Fee != 240 {
		t.Errorf("the book says %+v", e)
	}
	for _, body := range []string{waveBody("ref-1", "+2250700000101", "24001"), waveBody("ref-1", "+2250700000102", "24000"), waveBody("ref-2", "+2250700000101", "24000")} {
		if got := said(w.wave("POST", "/payout", body, "key-1")); got != "409 idempotency-mismatch" {
			t.Errorf("another body: %s", got)
		}
	}
	w.want(w.payout("key-2", "ref-1"), 200, &other)
	var found struct{ Result []wavePayout }
	w.want(w.wave("GET", "/payouts/search?client_reference=ref-1", "", ""), 200, &found)
	if len(found.Result) != 2 || other.ID == first.ID {
		t.Errorf("found %+v", found)
	}
	if e := w.waveEntry("ref-1"); e.Moved != 2 || e.MovedMinor != 48000 {
		t.Errorf("the book says %+v", e)
	}
	w.want(w.wave("GET", "/payouts/search?client_reference=none", "", ""), 200, &found)
	if len(found.Result) != 0 {
		t.Errorf("found %+v", found)
	}
	var again wavePayout
	w.want(w.wave("GET", "/payout/"+first.ID, "", ""), 200, &again)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("(-first +again)\n%s", diff)
	}
}

func TestWaveRefusesWhatItsDocumentationRefuses(t *testing.T) {
	w := start(t, simulator.Config{Wave: simulator.WaveConfig{Limit: 50_000, Failures: "http"}})
	good := waveBody("ref-1", "+2250700000101", "24000")
	for name, c := range map[string]struct {
		body, key, auth, want string
	}{
		"no key":              {good, "", "Bearer " + waveKey, "400 request-validation-error"},
		"no header":           {good, "k", "", "401 missing-auth-header"},
		"basic":               {good, "k", "Basic eDp5", "401 invalid-auth"},
		"no api key":          {good, "k", "Bearer", "401 api-key-not-provided"},
		"not an api key":      {good, "k", "Bearer secret", "401 no-matching-api-key"},
		"not JSON":            {`receive_amount=1`, "k", "Bearer " + waveKey, "400 request-not-json"},
		"a number":            {`{"currency":"XOF","receive_amount":24000,"mobile":"+2250700000101"}`, "k", "Bearer " + waveKey, "400 request-parsing-error"},
		"a fraction":          {waveBody("r", "+2250700000101", "24000.5"), "k", "Bearer " + waveKey, "400 request-validation-error"},
		"nothing":             {waveBody("r", "+2250700000101", "0"), "k", "Bearer " + waveKey, "400 request-validation-error"},
		"no plus":             {waveBody("r", "2250700000101", "24000"), "k", "Bearer " + waveKey, "400 request-validation-error"},
		"another country":     {waveBody("r", "+221770000001", "24000"), "k", "Bearer " + waveKey, "400 country-mismatch"},
		"another currency":    {`{"currency":"GMD","receive_amount":"24000","mobile":"+2250700000101"}`, "k", "Bearer " + waveKey, "400 currency-mismatch"},
		"above what one gets": {waveBody("r", "+2250700000101", "50001"), "k", "Bearer " + waveKey, "422 recipient-limit-exceeded"},
	} {
		r := w.call("POST", "/wave/v1/payout", c.body, map[string]string{"Authorization": c.auth, "Idempotency-Key": c.key})
		if got := said(r); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if b, err := w.sim.Book(simulator.Wave); err != nil || b.Totals.MovedCount != 0 {
		t.Errorf("the book says %+v, %v", b.Totals, err)
	}
	for path, want := range map[string]string{"/payout/pt-none": "404 not-found", "/payouts/search": "400 request-validation-error", "/elsewhere": "404 not-found"} {
		if got := said(w.wave("GET", path, "", "")); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestWaveSignatures(t *testing.T) {
	w := start(t, simulator.Config{Wave: simulator.WaveConfig{SigningSecret: "secret"}})
	sign := func(at time.Time, secret, body string) string {
		seconds := strconv.FormatInt(at.Unix(), 10)
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(seconds + body))
		return "t=" + seconds + ",v1=" + hex.EncodeToString(mac.Sum(nil))
	}
	body := waveBody("ref-1", "+2250700000101", "24000")
	now := w.clock.Now()
	for name, c := range map[string]struct {
		signature string
		taken     bool
	}{
		"good": {sign(now, "secret", body), true}, "two of which one is good": {sign(now, "secret", body) + ",v1=00", true},
		"almost stale": {sign(now.Add(-5*time.Minute), "secret", body), true}, "stale": {sign(now.Add(-5*time.Minute-time.Second), "secret", body), false},
		"a little ahead": {sign(now.Add(30*time.Second), "secret", body), true}, "ahead": {sign(now.Add(31*time.Second), "secret", body), false},
		"another secret": {sign(now, "other", body), false}, "another body": {sign(now, "secret", body+" "), false},
		"none": {"", false}, "half": {"t=1", false},
	} {
		r := w.call("POST", "/wave/v1/payout", body, map[string]string{"Authorization": "Bearer " + waveKey, "Idempotency-Key": name, "Wave-Signature": c.signature})
		if want := map[bool]string{true: "succeeded", false: "401 invalid-auth"}[c.taken]; said(r) != want {
			t.Errorf("%s: %s", name, said(r))
		}
	}
}

// A refusal is told by an error that leaves no payout behind, or by a payout that failed; the money stays in either case.
func TestWaveRefusals(t *testing.T) {
	for failures, want := range map[string]string{"http": "422 recipient-minor", "payout": "failed"} {
		w := start(
			t, simulator.Config{Wave: simulator.WaveConfig{Failures: failures}},
			simulator.Rule{Provider: simulator.Wave, Operation: "payout", Fault: simulator.Failed, Message: "recipient-minor", Times: 1},
		)
		r := w.payout("key-1", "ref-1")
		if got := said(r); got != want {
			t.Errorf("%s: %s", failures, got)
		}
		var found struct{ Result []wavePayout }
		w.want(w.wave("GET", "/payouts/search?client_reference=ref-1", "", ""), 200, &found)
		if left := len(found.Result); left != map[string]int{"http": 0, "payout": 1}[failures] {
			t.Errorf("%s leaves %d payouts", failures, left)
		}
		if failures == "payout" && found.Result[0].Error.Code != "recipient-minor" {
			t.Errorf("found %+v", found)
		}
		// What left nothing behind is looked at anew; a payout that failed stays failed.
		if got, want := said(w.payout("key-1", "ref-1")), map[string]string{"http": "succeeded", "payout": "failed"}[failures]; got != want {
			t.Errorf("%s, again: %s", failures, got)
		}
	}
}

func TestWaveFaults(t *testing.T) {
	for _, c := range []struct {
		rule       simulator.Rule
		want       string
		now, later string
		moved      int
	}{
		{simulator.Rule{Fault: simulator.LostAnswer}, "eof", "succeeded", "succeeded", 1},
		{simulator.Rule{Fault: simulator.ResetAfter}, "reset", "succeeded", "succeeded", 1},
		{simulator.Rule{Fault: simulator.ResetBefore}, "reset", "", "", 0},
		{simulator.Rule{Fault: simulator.ServerErrorAfter, Status: 504}, "504/0", "succeeded", "succeeded", 1},
		{simulator.Rule{Fault: simulator.ServerErrorBefore}, "503 service-unavailable", "", "", 0},
		{simulator.Rule{Fault: simulator.Garbage}, "garbage", "succeeded", "succeeded", 1},
		{simulator.Rule{Fault: simulator.TooMany}, "429 too-many-requests", "", "", 0},
		{simulator.Rule{Fault: simulator.NotSubscribed}, "403 disabled-wallet", "", "", 0},
		{simulator.Rule{Fault: simulator.Unauthorized}, "401 api-key-revoked", "", "", 0},
		{simulator.Rule{Fault: simulator.PendingSuccess, Duration: time.Minute}, "processing", "processing", "succeeded", 1},
		{simulator.Rule{Fault: simulator.PendingFailed, Duration: time.Minute}, "processing", "processing", "failed", 0},
		{simulator.Rule{Fault: simulator.PendingForever}, "processing", "processing", "processing", 0},
		{simulator.Rule{Fault: simulator.UnknownStatus, Duration: time.Minute}, "on_hold", "on_hold", "succeeded", 1},
		{simulator.Rule{Fault: simulator.LookupBlind, Duration: time.Minute}, "eof", "", "succeeded", 1},
	} {
		t.Run(string(c.rule.Fault), func(t *testing.T) {
			c.rule.Provider, c.rule.Operation = simulator.Wave, "payout"
			w := start(t, simulator.Config{}, c.rule)
			if got := said(w.payout("key-1", "ref-1")); got != c.want {
				t.Errorf("saw %s, want %s", got, c.want)
			}
			search := func() string {
				var found struct{ Result []wavePayout }
				w.want(w.wave("GET", "/payouts/search?client_reference=ref-1", "", ""), 200, &found)
				if len(found.Result) == 0 {
					return ""
				}
				return found.Result[0].Status
			}
			if got := search(); got != c.now {
				t.Errorf("at once %s, want %s", got, c.now)
			}
			w.clock.advance(2 * time.Minute)
			if got := search(); got != c.later {
				t.Errorf("later %s, want %s", got, c.later)
			}
			if e := w.waveEntry("ref-1"); e.Moved != c.moved {
				t.Errorf("the book says %+v", e)
			}
		})
	}
}

func TestWaveFloatReversalAndStatement(t *testing.T) {
	float := int64(50_000)
	path := filepath.Join(t.TempDir(), "book")
	w := start(t, simulator.Config{BookPath: path, Wave: simulator.WaveConfig{Float: &float, PageSize: 1, Failures: "http"}})
	var p wavePayout
	w.want(w.payout("key-1", "ref-1"), 200, &p)
	w.want(w.payout("key-2", "ref-2"), 200, nil)
	if got := said(w.payout("key-3", "ref-3")); got != "422 insufficient-funds" {
		t.Errorf("without float: %s", got)
	}
	balance := func() string {
		var b struct{ Amount, Currency string }
		w.want(w.wave("GET", "/balance", "", ""), 200, &b)
		return b.Amount + " " + b.Currency
	}
	if got := balance(); got != "1520 XOF" {
		t.Errorf("balance %s", got)
	}
	w.clock.advance(time.Second)
	for range 2 {
		if r := w.wave("POST", "/payout/"+p.ID+"/reverse", "", ""); r.status != 200 || len(r.body) != 0 {
			t.Errorf("reverse: %d %s", r.status, r.body)
		}
	}
	if got := balance(); got != "25760 XOF" {
		t.Errorf("balance after the reversal %s", got)
	}
	if e := w.waveEntry("ref-1"); !e.Reversed || e.Moved != 1 {
		t.Errorf("the book says %+v", e)
	}
	day := w.clock.Now().UTC().Format(time.DateOnly)
	if diff := cmp.Diff([]string{"api_payout -24240 240", "api_payout -24240 240", "api_payout_reversal 24240 -240"}, w.statement(day)); diff != "" {
		t.Errorf("statement (-want +got)\n%s", diff)
	}
	if got := w.statement("2020-01-01"); len(got) != 0 {
		t.Errorf("another day: %v", got)
	}
	w.clock.advance(73 * time.Hour)
	var other struct{ Result []wavePayout }
	w.want(w.wave("GET", "/payouts/search?client_reference=ref-2", "", ""), 200, &other)
	for id, want := range map[string]string{other.Result[0].ID: "422 payout-reversal-time-limit-exceeded", "pt-none": "404 not-found"} {
		if got := said(w.wave("POST", "/payout/"+id+"/reverse", "", "")); got != want {
			t.Errorf("reverse %s: %s", id, got)
		}
	}
	// The truth survives the process, keys and reversals too.
	if err := w.sim.Close(); err != nil {
		t.Fatal(err)
	}
	again := start(t, simulator.Config{BookPath: path})
	var same wavePayout
	again.want(again.payout("key-1", "ref-1"), 200, &same)
	if same.ID != p.ID || same.Status != "reversed" || again.waveEntry("ref-1").Moved != 1 {
		t.Errorf("after a restart %+v", same)
	}
}

// statement reads all pages of a day.
func (w *world) statement(day string) (lines []string) {
	w.t.Helper()
	for after := ""; ; {
		var page struct {
			Info struct {
				End  string `json:"end_cursor"`
				More bool   `json:"has_next_page"`
			} `json:"page_info"`
			Items []struct {
				Type   string `json:"transaction_type"`
				Amount string `json:"amount"`
				Fee    string `json:"fee"`
			} `json:"items"`
		}
		w.want(w.wave("GET", "/transactions?date="+day+"&after="+url.QueryEscape(after), "", ""), 200, &page)
		for _, i := range page.Items {
			lines = append(lines, i.Type+" "+i.Amount+" "+i.Fee)
		}
		if !page.Info.More {
			return lines
		}
		after = page.Info.End
	}
}

func TestWaveVerifiesRecipients(t *testing.T) {
	w := start(t, simulator.Config{Wave: simulator.WaveConfig{Limit: 100, Names: map[string]string{"+2250700000101": "Awa Koné"}}})
	ask := func(mobile, name, amount string) string {
		r := w.wave("POST", "/verify_recipient", fmt.Sprintf(`{"mobile":%q,"name":%q,"amount":%q,"currency":"XOF"}`, mobile, name, amount), "")
		var a struct {
			Within bool   `json:"within_limits"`
			Name   string `json:"name_match"`
		}
		if r.status != 200 {
			return said(r)
		}
		w.want(r, 200, &a)
		return fmt.Sprint(a.Within, " ", a.Name)
	}
	for want, got := range map[string]string{
		"true MATCH": ask("+2250700000101", "awa koné", "100"), "false NO_MATCH": ask("+2250700000101", "Ali", "101"),
		"true NAME_NOT_KNOWN": ask("+2250700000102", "Ali", "1"),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for range 30 {
		ask("+2250700000103", "Ali", "1")
	}
	if got := ask("+2250700000103", "Ali", "1"); got != "429 too-many-requests" {
		t.Errorf("the 31st question: %s", got)
	}
	w.clock.advance(59 * time.Minute)
	if got := ask("+2250700000103", "Ali", "1"); got != "429 too-many-requests" {
		t.Errorf("within the hour: %s", got)
	}
	w.clock.advance(2 * time.Minute)
	if got := ask("+2250700000103", "Ali", "1"); got != "true NAME_NOT_KNOWN" {
		t.Errorf("after the hour: %s", got)
	}
}
