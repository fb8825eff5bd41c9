package outcome_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/webhook"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/simulator"
)

// caller is a kind of provider that calls back, with its callbacks written down again from its documentation.
type caller struct {
	kind   func() sending.Kind
	change []func(*simulator.Config)
	// post is a callback at a time: the end of its address, its headers and its body.
	post func(reference, status string, at time.Time) (key string, h http.Header, body string)
	// stale callbacks show by what is signed how old they are.
	stale bool
	// paid and failed are the provider's words.
	paid, failed string
}

func callers() map[string]caller {
	return map[string]caller{
		"orange_omr": {
			kind: sending.Orange, paid: "SUCCESS", failed: "FAILED",
			post: func(reference, status string, _ time.Time) (string, http.Header, string) {
				body := fmt.Sprintf(`{"status":%q,"transactionData":{"transactionId":%q,"amount":24000}}`, status, reference)
				return "", http.Header{"Authorization": {sending.CallbackAuthorization}}, body
			},
		},
		"mtn_momo": {
			kind: sending.MTN, paid: "SUCCESSFUL", failed: "FAILED",
			post: func(reference, status string, _ time.Time) (string, http.Header, string) {
				body := fmt.Sprintf(`{"amount":"24000","currency":"XOF","externalId":%q,"payee":{"partyIdType":"MSISDN","partyId":"2250700000001"},"status":%q}`, reference, status)
				return sending.CallbackKey, http.Header{}, body
			},
		},
		"orange_sonatel": {
			kind: sending.Sonatel, change: []func(*simulator.Config){sending.SonatelAccount}, paid: "SUCCESS", failed: "FAILED", stale: true,
			post: func(reference, status string, at time.Time) (string, http.Header, string) {
				body := fmt.Sprintf(`{"transactionId":"CI1","reference":%q,"status":%q,"amount":{"value":24000,"unit":"XOF"}}`, reference, status)
				mac := hmac.New(sha256.New, []byte("callback-secret"))
				_, _ = fmt.Fprintf(mac, "%d,%s", at.Unix(), body)
				h := http.Header{}
				h.Set("Authorization", "Basic callback-key")
				h.Set("X-Sonatel-Signature", fmt.Sprintf("t=%d,v1=%s", at.Unix(), hex.EncodeToString(mac.Sum(nil))))
				return "", h, body
			},
		},
	}
}

// desk is a receiver of a provider's callbacks beside a replica.
type desk struct {
	*sending.Env
	*sending.Sender
	caller
	t        *testing.T
	mux      *http.ServeMux
	receiver *webhook.Receiver
	registry *prometheus.Registry
	given    []webhook.Lost
}

func newDesk(t *testing.T, c caller) *desk {
	t.Helper()
	e := sending.NewOf(t, c.kind(), c.change...)
	e.States.Health.DegradeAfter = 100
	d := &desk{Env: e, Sender: e.Sender(), caller: c, t: t, registry: prometheus.NewRegistry()}
	d.open()
	return d
}

// open begins a receiver as a process does that has just started.
func (d *desk) open() {
	d.mux = http.NewServeMux()
	d.receiver = webhook.New("payouts", d.Connectors.Sources(), webhook.Deps{
		Pool: d.Env.Pool, Clock: d.Clock, Logger: slog.New(slog.DiscardHandler), Registry: d.registry, Match: d.Worker.Match,
		GivenUp: func(_ context.Context, _ pgx.Tx, lost []webhook.Lost) error {
			d.given = append(d.given, lost...)
			return nil
		},
	})
	d.mux.Handle(d.receiver.Pattern(), d.receiver)
	d.mux.Handle(d.receiver.KeyedPattern(), d.receiver)
}

// address is where the provider posts to.
func (d *desk) address(key string) string {
	path := "/webhooks/payouts/" + payoutstest.Tenant + "/" + d.Config.Name
	if key != "" {
		path += "/" + key
	}
	return path
}

func (d *desk) send(method, path string, h http.Header, body string) int {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	for name, values := range h {
		req.Header[name] = values
	}
	rec := httptest.NewRecorder()
	d.mux.ServeHTTP(rec, req)
	return rec.Code
}

// says posts a callback that is as it should be.
func (d *desk) says(reference, status string) int {
	key, h, body := d.post(reference, status, d.Clock.Now())
	return d.send(http.MethodPost, d.address(key), h, body)
}

// counted is how many callbacks had an outcome.
func (d *desk) counted(outcome string) (n int) {
	d.t.Helper()
	families, err := d.registry.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "agogo_webhooks_total" && l.GetName() == "outcome" && l.GetValue() == outcome {
					n += int(m.GetCounter().GetValue())
				}
			}
		}
	}
	return n
}

func (d *desk) stored() int64 { d.t.Helper(); return d.Count("SELECT count(*) FROM webhooks") }

func (d *desk) match() {
	d.t.Helper()
	if _, err := d.receiver.Step(d.Ctx()); err != nil {
		d.t.Fatal(err)
	}
}

// settled gives a provider that pays afterwards its time, and checks that the payout succeeded.
func (d *desk) settled() {
	d.t.Helper()
	for range 6 {
		d.Clock.Advance(10 * time.Second)
		d.Pass(d.Sender)
	}
	if got := d.One(); got != "succeeded" {
		d.t.Errorf("the provider has paid, the payout is %s", got)
	}
}

func (d *desk) reference() (reference string) {
	d.t.Helper()
	if err := d.Env.Pool.QueryRow(d.Ctx(), "SELECT reference FROM attempts").Scan(&reference); err != nil {
		d.t.Fatal(err)
	}
	return reference
}

func eachCaller(t *testing.T, test func(t *testing.T, d *desk)) {
	t.Helper()
	for name, c := range callers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newDesk(t, c))
		})
	}
}

// What a callback says is never believed: it is kept as it came, once however often it comes, and has the provider asked.
func TestACallbackIsStoredOnceAndReadAgain(t *testing.T) {
	t.Parallel()
	eachCaller(t, func(t *testing.T, d *desk) {
		d.Cashin(simulator.LostAnswer, 0)
		d.Send(d.Sender, 1)
		reference := d.reference()
		for range 3 { // and it denies what was paid
			if code := d.says(reference, d.failed); code != http.StatusOK {
				t.Fatalf("answered with %d", code)
			}
		}
		_, _, body := d.post(reference, d.failed, d.Clock.Now())
		if n := d.Count("SELECT count(*) FROM webhooks WHERE body = $1", []byte(body)); n != 1 || d.stored() != 1 {
			t.Errorf("%d rows, %d with the bytes that came", d.stored(), n)
		}
		if d.counted("stored") != 1 || d.counted("duplicate") != 2 {
			t.Errorf("counted as stored %d, duplicate %d", d.counted("stored"), d.counted("duplicate"))
		}
		d.match()
		if got := d.One(); !strings.HasPrefix(got, "unknown") {
			t.Errorf("a callback alone made it %s", got)
		}
		d.Pass(d.Sender) // without any time passing: it is due now
		if got := d.One(); strings.HasPrefix(got, "unknown") {
			t.Errorf("the provider was not asked; the payout is %s", got)
		}
		d.settled()
		d.Check()
	})
}

// The process dies when the callback is stored and the provider has not heard so: it comes again to the next one, is the same, and is
// matched once.
func TestADeathBetweenStoringAndAnswering(t *testing.T) {
	t.Parallel()
	eachCaller(t, func(t *testing.T, d *desk) {
		d.Cashin(simulator.LostAnswer, 0)
		d.Send(d.Sender, 1)
		for range 2 {
			if code := d.says(d.reference(), d.paid); code != http.StatusOK {
				t.Fatalf("answered with %d", code)
			}
			d.open()
		}
		d.match()
		if d.stored() != 1 || d.counted("duplicate") != 1 || d.counted("matched") != 1 {
			t.Errorf("%d rows, counted as duplicate %d, matched %d", d.stored(), d.counted("duplicate"), d.counted("matched"))
		}
		d.Pass(d.Sender)
		d.settled()
		d.Check()
	})
}

// A callback that is faster than our own commit waits for it.
func TestACallbackBeforeOurCommitIsMatchedLater(t *testing.T) {
	t.Parallel()
	eachCaller(t, func(t *testing.T, d *desk) {
		run := d.Plan(1)
		var id uuid.UUID
		if err := d.Env.Pool.QueryRow(d.Ctx(), "SELECT payout_id FROM payouts").Scan(&id); err != nil {
			t.Fatal(err)
		}
		if code := d.says(payout.Reference(id, 1), d.paid); code != http.StatusOK {
			t.Fatalf("answered with %d", code)
		}
		d.match()
		if n := d.Count("SELECT count(*) FROM webhook_states WHERE state = 'received'"); n != 1 {
			t.Fatal("it does not wait")
		}
		d.Cashin(simulator.LostAnswer, 0)
		d.Dispatch(d.Sender, run)
		d.Clock.Advance(2 * time.Second)
		d.match()
		d.Pass(d.Sender)
		d.settled()
		if d.counted("matched") != 1 {
			t.Errorf("%d matched", d.counted("matched"))
		}
		d.Check()
	})
}

// What nobody vouches for, or is of another time, place or size, is refused by a reason that is counted, and nothing of it is kept.
func TestWhatIsRefusedIsCountedAndNotStored(t *testing.T) {
	t.Parallel()
	eachCaller(t, func(t *testing.T, d *desk) {
		d.Cashin(simulator.PendingForever, 0)
		d.Send(d.Sender, 1)
		reference := d.reference()
		now := d.Clock.Now()
		key, h, body := d.post(reference, d.paid, now)
		want := map[string]int{}
		refused := func(outcome string, code, got int) {
			t.Helper()
			want[outcome]++
			if got != code {
				t.Errorf("%s: answered with %d", outcome, got)
			}
		}
		for name := range h {
			for _, wrong := range []string{"", "x", h.Get(name) + "0"} {
				forged := h.Clone()
				forged.Set(name, wrong)
				refused("forged", http.StatusUnauthorized, d.send(http.MethodPost, d.address(key), forged, body))
			}
		}
		if key != "" {
			for _, wrong := range []string{"", "x", key + "0"} {
				refused("forged", http.StatusUnauthorized, d.send(http.MethodPost, d.address(wrong), h, body))
			}
		}
		if d.stale {
			for _, ago := range []time.Duration{6 * time.Minute, 24 * time.Hour, -6 * time.Minute} {
				key, old, body := d.post(reference, d.paid, now.Add(-ago))
				refused("stale", http.StatusUnauthorized, d.send(http.MethodPost, d.address(key), old, body))
			}
			_, other, _ := d.post("another", d.paid, now)
			refused("forged", http.StatusUnauthorized, d.send(http.MethodPost, d.address(key), other, body)) // signed for another body
		}
		key, h, none := d.post("", d.paid, now)
		refused("unreadable", http.StatusBadRequest, d.send(http.MethodPost, d.address(key), h, none))
		refused("oversized", http.StatusRequestEntityTooLarge, d.send(http.MethodPost, d.address(key), h, body+strings.Repeat(" ", webhook.MaxBody)))
		refused("wrong_method", http.StatusMethodNotAllowed, d.send(http.MethodGet, d.address(key), h, ""))
		refused("unknown_source", http.StatusNotFound, d.send(http.MethodPost, "/webhooks/payouts/nobody/"+d.Config.Name, h, body))
		refused("unknown_source", http.StatusNotFound, d.send(http.MethodPost, "/webhooks/payouts/"+payoutstest.Tenant+"/nobody", h, body))
		for outcome, n := range want {
			if got := d.counted(outcome); got != n {
				t.Errorf("%d counted as %s, want %d", got, outcome, n)
			}
		}
		if n := d.stored(); n != 0 {
			t.Errorf("%d are stored", n)
		}
		if got := d.One(); !strings.HasPrefix(got, "processing") {
			t.Errorf("the payout is %s", got)
		}
	})
}

// An authentic callback about nothing of ours is looked at for a day, then counted and told to people; its body stays for them.
func TestACallbackAboutNothingOfOursIsToldAfterADay(t *testing.T) {
	t.Parallel()
	eachCaller(t, func(t *testing.T, d *desk) {
		if code := d.says(uuid.NewString(), d.paid); code != http.StatusOK {
			t.Fatalf("answered with %d", code)
		}
		for range 30 {
			d.Clock.Advance(time.Hour)
			d.match()
		}
		if len(d.given) != 1 || d.counted("unmatched") != 1 || d.stored() != 1 {
			t.Errorf("told of %v, counted %d, stored %d", d.given, d.counted("unmatched"), d.stored())
		}
	})
}

// Every provider that calls back is tried above.
func TestEveryCallerIsTried(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]func() sending.Kind{
		"orange_omr": sending.Orange, "mtn_momo": sending.MTN, "orange_sonatel": sending.Sonatel, "wave": sending.Wave,
	} {
		e := sending.NewOf(t, kind(), sending.SonatelAccount)
		_, tried := callers()[name]
		if calls := e.Sender().Connector.Verifier != nil; calls != tried {
			t.Errorf("%s: it calls back is %v, its callbacks are tried is %v", name, calls, tried)
		}
	}
}
