package simulator_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	firebase "firebase.google.com/go/v4"
	"firebase.google.com/go/v4/messaging"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/option"

	"github.com/agogopay/agogo/simulator"
)

// sdk is the real client that the notifier uses, pointed at the simulator.
func (w *world) sdk() *messaging.Client {
	w.t.Helper()
	app, err := firebase.NewApp(w.t.Context(), &firebase.Config{ProjectID: "demo"},
		option.WithEndpoint(w.server.URL+"/fcm/v1"), option.WithHTTPClient(w.client))
	if err != nil {
		w.t.Fatal(err)
	}
	client, err := app.Messaging(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return client
}

func push(token, id string) *messaging.Message {
	ttl := 90 * time.Second
	return &messaging.Message{
		Token: token, Data: map[string]string{"notification_id": id},
		Notification: &messaging.Notification{Title: "Paiement reçu", Body: "24 000 FCFA"},
		Android:      &messaging.AndroidConfig{CollapseKey: id, Priority: "high", TTL: &ttl, Notification: &messaging.AndroidNotification{ChannelID: "payouts"}},
		APNS:         &messaging.APNSConfig{Headers: map[string]string{"apns-collapse-id": id}, Payload: &messaging.APNSPayload{Aps: &messaging.Aps{Sound: "default"}}},
		FCMOptions:   &messaging.FCMOptions{AnalyticsLabel: "payouts"},
	}
}

func TestTheFirebaseSDKDelivers(t *testing.T) {
	t.Parallel()
	w := start(t, simulator.Config{})
	id, err := w.sdk().Send(t.Context(), push("device-1", "n-1"))
	if err != nil || !strings.HasPrefix(id, "projects/demo/messages/0:") {
		t.Fatal(id, err)
	}
	if _, err := w.sdk().SendDryRun(t.Context(), push("device-1", "n-2")); err != nil {
		t.Fatal(err)
	}
	want := []simulator.Push{{
		Token: "device-1", Title: "Paiement reçu", Body: "24 000 FCFA", Data: map[string]string{"notification_id": "n-1"},
		CollapseKey: "n-1", At: w.clock.Now(),
	}}
	if diff := cmp.Diff(want, w.sim.Pushes()); diff != "" {
		t.Error(diff)
	}
	var listed struct {
		Pushes []simulator.Push
		Totals struct{ Delivered, Forgotten int }
	}
	w.want(w.control("GET", "/_control/pushes?token=device-1", nil), http.StatusOK, &listed)
	if len(listed.Pushes) != 1 || listed.Totals.Delivered != 1 {
		t.Errorf("listed %+v", listed)
	}
	w.want(w.control("GET", "/_control/pushes?token=device-2", nil), http.StatusOK, &listed)
	if len(listed.Pushes) != 0 {
		t.Errorf("another device's: %+v", listed)
	}
}

func TestTheFirebaseSDKRecognisesEveryError(t *testing.T) {
	t.Parallel()
	for fault, is := range map[simulator.Fault]func(error) bool{
		simulator.DeadToken: messaging.IsUnregistered, simulator.SenderMismatch: messaging.IsSenderIDMismatch,
		simulator.Invalid: messaging.IsInvalidArgument, simulator.Internal: messaging.IsInternal,
		simulator.TooMany: messaging.IsQuotaExceeded, simulator.AuthError: messaging.IsThirdPartyAuthError,
	} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			w := start(t, simulator.Config{}, simulator.Rule{Provider: simulator.FCM, Operation: "send", Match: simulator.Match{Token: "device-1"}, Fault: fault, RetryAfter: time.Minute})
			_, err := w.sdk().Send(t.Context(), push("device-1", "n-1"))
			if !is(err) {
				t.Errorf("got %v", err)
			}
			if _, err := w.sdk().Send(t.Context(), push("device-2", "n-2")); err != nil {
				t.Errorf("another device: %v", err)
			}
			if n := len(w.sim.Pushes()); n != 1 {
				t.Errorf("%d pushes arrived", n)
			}
		})
	}
}

func TestUnavailableIsTriedAgainByTheSDK(t *testing.T) {
	t.Parallel()
	w := start(t, simulator.Config{}, simulator.Rule{Provider: simulator.FCM, Operation: "send", Fault: simulator.Unavailable, Times: 1})
	if _, err := w.sdk().Send(t.Context(), push("device-1", "n-1")); err != nil {
		t.Error(err)
	}
	if w.calls("send", "unavailable") != 1 || w.calls("send", "ok") != 1 {
		t.Error(w.sim.Calls())
	}
}

// FCM has no idempotency key: the SDK repeats a send whose answer was lost, and the device hears it twice.
func TestALostAnswerMakesTheSDKPushTwice(t *testing.T) {
	t.Parallel()
	w := start(t, simulator.Config{}, simulator.Rule{Provider: simulator.FCM, Operation: "send", Fault: simulator.LostPush, Times: 1})
	if _, err := w.sdk().Send(t.Context(), push("device-1", "n-1")); err != nil {
		t.Fatal(err)
	}
	if n := len(w.sim.Pushes()); n != 2 {
		t.Errorf("%d pushes arrived, want 2", n)
	}
}

func TestFCMHoldsMessagesToTheDocumentation(t *testing.T) {
	t.Parallel()
	w := start(t, simulator.Config{FCM: simulator.FCMConfig{BearerToken: "right"}})
	w.bearer = "right"
	send := func(body string) reply { return w.call("POST", "/fcm/v1/projects/demo/messages:send", body, nil) }
	for body, want := range map[string]int{
		`{"message":{"token":"t"}}`:                                                  200,
		`{"message":{"topic":"t"}}`:                                                  200,
		`{"message":{}}`:                                                             400,
		`{"message":{"token":"t","topic":"t"}}`:                                      400,
		`{"message":{"token":"t","data":{"n":1}}}`:                                   400,
		`{"message":{"token":"t","dada":{}}}`:                                        400,
		`{"message":{"token":"t"}}{}`:                                                400,
		`{"message":{"token":"t","android":{"priority":"urgent"}}}`:                  400,
		`{"message":{"token":"t","android":{"ttl":"10"}}}`:                           400,
		`{"message":{"token":"t","android":{"ttl":"1.5s"}}}`:                         200,
		`{"message":{"token":"t","data":{"x":"` + strings.Repeat("x", 4096) + `"}}}`: 400,
		`{,}`: 400,
		`{"message":{"token":"t"},"x":"` + strings.Repeat("x", 70_000) + `"}`: 400,
	} {
		r := send(body)
		if r.status != want || want == 400 && !strings.Contains(string(r.body), "google.firebase.fcm.v1.FcmError") {
			t.Errorf("%.60s: %d %s", body, r.status, r.body)
		}
	}
	w.bearer = "wrong"
	if r := send(`{"message":{"token":"t"}}`); r.status != 401 {
		t.Errorf("wrong credentials: %d", r.status)
	}
}

func TestManyPushesAreCountedAndTheNewestKept(t *testing.T) {
	t.Parallel()
	w := start(t, simulator.Config{})
	const n = 100_005
	for i := range n {
		w.direct("POST", "/fcm/v1/projects/demo/messages:send", fmt.Sprintf(`{"message":{"token":"device-%d"}}`, i))
	}
	pushes := w.sim.Pushes()
	if len(pushes) != 100_000 || pushes[0].Token != "device-5" || pushes[99_999].Token != fmt.Sprintf("device-%d", n-1) {
		t.Errorf("%d kept, from %s to %s", len(pushes), pushes[0].Token, pushes[len(pushes)-1].Token)
	}
	var listed struct {
		Totals struct{ Delivered, Forgotten int }
	}
	w.want(w.control("GET", "/_control/pushes?token=none", nil), http.StatusOK, &listed)
	if listed.Totals.Delivered != n || listed.Totals.Forgotten != 5 {
		t.Errorf("%+v", listed)
	}
}

func TestAPushThatNobodyWaitsForAnyMore(t *testing.T) {
	t.Parallel()
	w := start(t, simulator.Config{}, simulator.Rule{Provider: simulator.FCM, Operation: "send", Fault: simulator.Slow, Delay: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := w.sdk().Send(ctx, push("device-1", "n-1")); err == nil {
		t.Error("answered")
	}
	w.until("the simulator notices", func() bool { return w.calls("send", "client_gone") > 0 })
	if n := len(w.sim.Pushes()); n != 0 {
		t.Errorf("%d arrived", n)
	}
}
