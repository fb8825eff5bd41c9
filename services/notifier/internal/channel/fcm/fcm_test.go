package fcm_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/services/notifier/internal/channel"
	"github.com/agogopay/agogo/services/notifier/internal/channel/fcm"
	"github.com/agogopay/agogo/services/notifier/internal/channel/fcmtest"
)

func setup(t *testing.T) (*fcm.Channel, *fcmtest.Server) {
	t.Helper()
	server := fcmtest.New()
	t.Cleanup(server.Close)
	ch, err := fcm.New(t.Context(), fcm.Config{ProjectID: "demo", Endpoint: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return ch, server
}

func message(token string) channel.Message {
	return channel.Message{
		NotificationID: "n-" + token, Token: token, Kind: "payout.succeeded", SubjectID: "P1",
		Title: "Versement reçu", Body: "Vous avez reçu 24\u00a0000\u00a0FCFA", Data: map[string]string{"period_date": "2025-01-24"},
	}
}

func TestSend(t *testing.T) {
	t.Parallel()
	ch, server := setup(t)
	got, err := ch.Send(t.Context(), []channel.Message{message("t1")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]channel.Result{{Outcome: channel.Sent}}, got); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	want := []fcmtest.Push{{
		Token: "t1", NotificationID: "n-t1", Title: "Versement reçu", Body: "Vous avez reçu 24\u00a0000\u00a0FCFA",
		Data: map[string]string{
			"notification_id": "n-t1", "kind": "payout.succeeded", "subject_id": "P1", "period_date": "2025-01-24",
		},
		CollapseKey: "n-t1", APNSCollapseID: "n-t1",
	}}
	if diff := cmp.Diff(want, server.Pushes()); diff != "" {
		t.Errorf("received (-want +got):\n%s", diff)
	}
}

// TestOutcomes is the error table: what each answer leads to, in one batch with successes around it.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		answer fcmtest.Answer
		want   channel.Result
	}{
		{"dead token", fcmtest.Answer{Status: 404, Code: "UNREGISTERED"}, channel.Result{Outcome: channel.Dead, Code: "UNREGISTERED"}},
		{"token of another project", fcmtest.Answer{Status: 403, Code: "SENDER_ID_MISMATCH"}, channel.Result{Outcome: channel.Dead, Code: "SENDER_ID_MISMATCH"}},
		{"invalid", fcmtest.Answer{Status: 400, Code: "INVALID_ARGUMENT"}, channel.Result{Outcome: channel.Invalid, Code: "INVALID_ARGUMENT"}},
		{"quota", fcmtest.Answer{Status: 429, Code: "QUOTA_EXCEEDED"}, channel.Result{Outcome: channel.Later, Code: "QUOTA_EXCEEDED", After: time.Minute}},
		{"quota with a wait", fcmtest.Answer{Status: 429, Code: "QUOTA_EXCEEDED", RetryAfter: "7"}, channel.Result{Outcome: channel.Later, Code: "QUOTA_EXCEEDED", After: 7 * time.Second}},
		{"internal", fcmtest.Answer{Status: 500, Code: "INTERNAL"}, channel.Result{Outcome: channel.Later, Code: "INTERNAL"}},
		{"bad gateway", fcmtest.Answer{Status: 502}, channel.Result{Outcome: channel.Later, Code: "HTTP_502"}},
		{"garbage 200, and the device has it", fcmtest.Answer{Status: 200, Body: "<html>", Taken: true}, channel.Result{Outcome: channel.Later, Code: "UNREADABLE"}},
		{"credentials", fcmtest.Answer{Status: 401}, channel.Result{Outcome: channel.Refused, Code: "HTTP_401"}},
		{"credentials of the phone's platform", fcmtest.Answer{Status: 401, Code: "THIRD_PARTY_AUTH_ERROR"}, channel.Result{Outcome: channel.Refused, Code: "THIRD_PARTY_AUTH_ERROR"}},
		{"not our project", fcmtest.Answer{Status: 403}, channel.Result{Outcome: channel.Refused, Code: "HTTP_403"}},
		{"a 404 that is no word about the token", fcmtest.Answer{Status: 404}, channel.Result{Outcome: channel.Refused, Code: "HTTP_404"}},
		{"a 400 without detail", fcmtest.Answer{Status: 400}, channel.Result{Outcome: channel.Invalid, Code: "HTTP_400"}},
	}
	ch, server := setup(t)
	msgs := []channel.Message{message("first")}
	want := []channel.Result{{Outcome: channel.Sent}}
	for i, c := range cases {
		token := fmt.Sprintf("t%d", i)
		server.Script(token, c.answer)
		msgs = append(msgs, message(token))
		want = append(want, c.want)
	}
	msgs, want = append(msgs, message("last")), append(want, channel.Result{Outcome: channel.Sent})
	got, err := ch.Send(t.Context(), msgs)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if diff := cmp.Diff(want[i], got[i]); diff != "" {
			name := "success"
			if i > 0 && i <= len(cases) {
				name = cases[i-1].name
			}
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestUnavailable: the SDK repeats 503 by itself; the context bounds how long.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	ch, server := setup(t)
	server.Script("t1", fcmtest.Answer{Status: http.StatusServiceUnavailable, Code: "UNAVAILABLE"})
	got, err := ch.Send(t.Context(), []channel.Message{message("t1")})
	if err != nil || got[0].Outcome != channel.Sent {
		t.Errorf("one 503: %v, %v", got, err)
	}

	server.Break(&fcmtest.Answer{Status: http.StatusServiceUnavailable, Code: "UNAVAILABLE"})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	got, err = ch.Send(ctx, []channel.Message{message("t2")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]channel.Result{{Outcome: channel.Later, Code: "TIMEOUT"}}, got); diff != "" {
		t.Errorf("outage (-want +got):\n%s", diff)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	ch, server := setup(t)
	server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	got, err := ch.Send(ctx, []channel.Message{message("t1")})
	if err != nil || got[0].Outcome != channel.Later {
		t.Errorf("got %v, %v; want later", got, err)
	}
}

// TestOwnFault: what the SDK refuses before sending is a call error, for nothing was sent.
func TestOwnFault(t *testing.T) {
	t.Parallel()
	ch, server := setup(t)
	if _, err := ch.Send(t.Context(), []channel.Message{message("t1"), message("")}); err == nil {
		t.Error("a message without a token was accepted")
	}
	if _, err := ch.Send(t.Context(), make([]channel.Message, fcm.MaxBatch+1)); err == nil {
		t.Error("a batch that is too long was accepted")
	}
	if n := server.Calls(); n != 0 {
		t.Errorf("%d sends", n)
	}
	if got, err := ch.Send(t.Context(), nil); err != nil || got != nil {
		t.Errorf("nothing to send: %v, %v", got, err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]fcm.Config{
		"no credentials for Google": {ProjectID: "demo"},
		"no project":                {Endpoint: "http://127.0.0.1:1/v1"},
		"no such file":              {ProjectID: "demo", Credentials: t.TempDir() + "/none.json"},
	} {
		if _, err := fcm.New(t.Context(), c); err == nil || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "fcm") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
