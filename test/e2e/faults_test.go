package e2e_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/test/harness"
)

// scenes are what can go wrong with a payout, each with a tenant of its own.
var scenes = map[string]struct {
	stage
	play func(s scene)
}{
	"lost-answers":  {stage{}, lostAnswers},
	"blind":         {stage{}, blindLookups},
	"callbacks":     {stage{lookupAfter: "1h"}, callbacks},
	"busy":          {stage{}, tooManyRequests},
	"expired":       {stage{}, expiredToken},
	"refused":       {stage{}, refusedPayee},
	"retried":       {stage{}, retriedByHand},
	"vanished":      {stage{}, vanishedPaidAgain},
	"vanished-back": {stage{}, vanishedGoesBack},
	"vanished-paid": {stage{}, vanishedWasPaid},
	"stopped":       {stage{concurrency: 1, timeout: "5s"}, stoppedInTheMiddle},
	"paused":        {stage{concurrency: 1, timeout: "5s"}, pausedBatch},
	"unsubscribed":  {stage{}, stoppedProvider},
	"cancelled":     {stage{concurrency: 1, timeout: "5s"}, cancelledRun},
}

// Whatever a provider does, each payee is paid once, and what cannot be known is asked about or left to two people.
func TestFaults(t *testing.T) {
	t.Parallel()
	in := harness.New(t, binary)
	in.Env = []string{"AUDITOR_TOKEN=" + auditorToken, "CLERK_TOKEN=" + clerkToken, "AGOGO_LOG=debug,text"}
	stages := map[string]stage{}
	for name, s := range scenes {
		stages[name] = s.stage
	}
	in.UseConfig(t, tenantsFile(stages, "vanished-paid"))
	dev := in.Dev(t)
	pauseSchedules(t, in)
	t.Run("scenes", func(t *testing.T) {
		for number, name := range slices.Sorted(maps.Keys(scenes)) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				own := *in
				own.Tenant = name
				scenes[name].play(scene{T: t, Install: &own, number: number})
			})
		}
	})
	for _, e := range in.Book(t) {
		if e.Moved > 1 {
			t.Errorf("reference %s moved money %d times", e.Reference, e.Moved)
		}
	}
	for name := range scenes {
		if r := in.Try(t, "ledger", "verify", "--tenant", name); r.Code != 0 {
			t.Errorf("the books of %s: exit %d\n%s", name, r.Code, r)
		}
		checkRebuilt(t, in, "--tenant", name)
	}
	in.CLI(t, "events", "verify")
	in.CLI(t, "audit", "verify")
	words := append(secrets(t, in), payeeName, auditorToken, clerkToken)
	for number := range len(scenes) {
		for payee := range six + 1 {
			words = append(words, strings.TrimPrefix(wallet(number, payee), "0"))
		}
	}
	for _, name := range []string{"EVENTS", "AUDIT", "TICKS"} {
		for _, m := range messages(t, in, name) {
			search(t, name+" "+m.Subject(), append(headerText(m.Headers()), m.Data()...), words)
		}
	}
	search(t, "the log", []byte(dev.Log()), words)
}

// The money moved and nobody heard of it: unknown, then asked about, then succeeded. Never sent again.
func lostAnswers(s scene) {
	faults := []string{"lost_answer_after_payment", "timeout_after_payment", "5xx_after_payment", "reset_after", "garbage_200"}
	for i, f := range faults {
		more := harness.Rule{}
		if f == "timeout_after_payment" {
			more["delay"] = "3s"
		}
		s.fault(i, "cashin", f, more)
	}
	s.owe(2, 0, 1, 2, 3, 4)
	s.evening(2)
	for i, f := range faults {
		p := s.await(2, i, "succeeded")
		if book := s.BookOf(s.T, s.wallet(i)); len(p.Attempts) != 1 || p.Attempts[0].Lookups < 1 || len(book) != 1 || book[0].Requests != 1 || book[0].Moved != 1 {
			s.Errorf("%s: attempts %v, the provider's book %+v; want one of each, looked up", f, p.Attempts, book)
		}
		s.went(i, "created", "approved", "submitting", "unknown", "succeeded")
	}
}

// Lookups say "not found" for a while although the money moved. Early ones mean nothing; when they have meant something
// twice, people are asked, and the provider's own proof still settles it.
func blindLookups(s scene) {
	s.fault(0, "cashin", "lookup_blind", harness.Rule{"duration": "3s"})
	s.fault(1, "cashin", "lookup_blind", harness.Rule{"duration": "9s"})
	s.owe(2, 0, 1)
	s.evening(2)
	s.await(2, 0, "succeeded")
	s.went(0, "created", "approved", "submitting", "unknown", "succeeded")
	s.await(2, 1, "manual_review")
	s.await(2, 1, "succeeded")
	s.went(1, "created", "approved", "submitting", "unknown", "manual_review", "succeeded")
	s.moved(0, 1)
	s.moved(1, 1)
}

// The provider works on it and calls back; what a callback says is only believed when the provider says so itself. Lookups
// by schedule would come after an hour.
func callbacks(s scene) {
	address := "http://" + s.Info(s.T).HTTP["payouts"] + "/webhooks/payouts/" + s.Tenant + "/orange"
	s.Control(s.T, http.MethodPut, "/_control/callback", map[string]any{"provider": "orange_omr", "url": address, "authorization": harness.CallbackAuth}, nil)
	s.fault(0, "cashin", "pending_success", harness.Rule{"duration": "2s"})
	s.fault(1, "cashin", "pending_success", harness.Rule{"duration": "3s", "callback": "forged"})
	s.fault(2, "cashin", "pending_failed", harness.Rule{"duration": "2s"})
	s.fault(3, "cashin", "pending_forever", nil)
	s.owe(2, 0, 1, 2, 3)
	s.evening(2)

	waitsFor := s.await(2, 3, "processing")
	lie := fmt.Sprintf(`{"transactionData":{"transactionId":%q,"peerId":%q,"amount":8000,"currency":"XOF","txnId":"x"},"status":"SUCCESS"}`, waitsFor.Attempts[0].ProviderReference, s.wallet(3))
	for authorization, want := range map[string]int{"": http.StatusUnauthorized, "Basic Zm9yZ2VkOmZvcmdlZA==": http.StatusUnauthorized, harness.CallbackAuth: http.StatusOK} {
		if code := post(s.T, address, authorization, lie); code != want {
			s.Errorf("callback with authorization %q: %d, want %d", authorization, code, want)
		}
	}
	if code := post(s.T, strings.Replace(address, s.Tenant, "nobody", 1), harness.CallbackAuth, lie); code != http.StatusNotFound {
		s.Errorf("callback to an address that nobody has: %d", code)
	}
	harness.Eventually(s.T, waiting, "a lookup after the lie with the right signature", func() (bool, string) {
		waitsFor = s.payout(2, 3)
		return waitsFor.Attempts[0].Lookups > 0, fmt.Sprint(waitsFor.Attempts)
	})
	if waitsFor.State != "processing" {
		s.Errorf("a callback alone made a pending payout %s", waitsFor.State)
	}

	s.await(2, 0, "succeeded")
	s.await(2, 1, "succeeded")
	s.await(2, 2, "failed")
	s.went(0, "created", "approved", "submitting", "processing", "succeeded")
	s.went(1, "created", "approved", "submitting", "processing", "succeeded")
	s.went(2, "created", "approved", "submitting", "processing", "failed")
	if calls := s.Calls(s.T, "callback"); calls["forged"] != 0 || calls["forged_refused"] == 0 {
		s.Errorf("callbacks: %v, want the forged one refused", calls)
	}
	if free := s.unpaid(); !slices.Equal(free, []string{"pay-02-02"}) {
		s.Errorf("unpaid: %q, want the payment of the payout that failed", free)
	}
	for payee, want := range []int{1, 1, 0, 0} {
		s.moved(payee, want)
	}
}

func post(t *testing.T, address, authorization, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// A provider that asks to slow down has not paid: the same reference goes again.
func tooManyRequests(s scene) {
	s.fault(0, "cashin", "429", harness.Rule{"times": 3, "retry_after": "1s"})
	s.owe(2, 0, 1, 2)
	run := s.evening(2)
	if run.Counts["succeeded"] != 3 {
		s.Errorf("the run came to %v, want 3 succeeded", run.Counts)
	}
	p := s.payout(2, 0)
	if book := s.BookOf(s.T, s.wallet(0)); len(p.Attempts) != 1 || len(book) != 1 || book[0].Moved != 1 || book[0].Requests != 1 {
		s.Errorf("attempts %v, the provider's book %+v; want one attempt, one reference, one movement", p.Attempts, book)
	}
	if got := path(s.T, s.Install, s.Tenant, payeeID(0)); len(got) < 5 || got[3] != "approved" {
		s.Errorf("went %q, want back to approved", got)
	}
}

// A token that is withdrawn costs another token, nothing else.
func expiredToken(s scene) {
	s.fault(0, "cashin", "401_once", nil)
	s.owe(2, 0)
	s.evening(2)
	s.went(0, "created", "approved", "submitting", "succeeded")
	s.moved(0, 1)
}

// A definite no: failed, the payment is free, and the next evening pays it. Then it is too late to try the first one again.
func refusedPayee(s scene) {
	s.fault(0, "cashin", "failed", nil)
	s.owe(2, 0, 1)
	run := s.evening(2)
	failed := s.payout(2, 0)
	if run.Counts["failed"] != 1 || run.Counts["succeeded"] != 1 || failed.State != "failed" || failed.Attempts[0].Class != "REJECTED_FINAL" {
		s.Errorf("counts %v, attempts %v", run.Counts, failed.Attempts)
	}
	if free := s.unpaid(); !slices.Equal(free, []string{"pay-02-00"}) {
		s.Errorf("unpaid: %q", free)
	}
	if batches := harness.Items[payoutsv1.Batch](s.T, s.Install, "batches", "list"); batches[0].State != "partially_completed" {
		s.Errorf("the batch is %s", batches[0].State)
	}
	s.evening(3)
	again := s.payout(3, 0)
	if again.State != "succeeded" || again.Id == failed.Id || again.Attempts[0].ProviderReference == failed.Attempts[0].ProviderReference {
		s.Errorf("the next evening: %v", again)
	}
	if r := s.Try(s.T, "payouts", "retry", failed.Id, "--reason", "too late"); r.Code != 4 || !strings.Contains(r.Err, "paid by another payout") {
		s.Errorf("retry of a payout whose payment is paid: exit %d\n%s", r.Code, r)
	}
	s.moved(0, 1)
}

// A person has a failed payout tried again: the next attempt has the next reference.
func retriedByHand(s scene) {
	s.fault(0, "cashin", "failed", nil)
	s.owe(2, 0)
	s.evening(2)
	p := s.payout(2, 0)
	if r := s.Try(s.T, "payouts", "retry", p.Id, "--reason", "x", "--token", "approver"); r.Code != 4 {
		s.Errorf("retry by an approver: exit %d\n%s", r.Code, r)
	}
	s.CLI(s.T, "payouts", "retry", p.Id, "--reason", "the wallet was blocked for a day", "--token", "operator")
	p = s.await(2, 0, "succeeded")
	if len(p.Attempts) != 2 || p.Attempts[0].State != "failed" || p.Attempts[1].State != "succeeded" || p.Attempts[0].ProviderReference == p.Attempts[1].ProviderReference {
		s.Errorf("attempts %v", p.Attempts)
	}
	if r := s.Try(s.T, "payouts", "retry", p.Id, "--reason", "again"); r.Code != 4 || !strings.Contains(r.Err, "is succeeded") {
		s.Errorf("retry of a payout that succeeded: exit %d\n%s", r.Code, r)
	}
	s.went(0, "created", "approved", "submitting", "failed", "approved", "submitting", "succeeded")
	s.moved(0, 1)
}
