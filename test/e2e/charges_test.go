package e2e_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	ledgerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/ledger/v1"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/test/harness"
)

// clubs are what the system before got wrong about charges, and what else can happen to them, each with a tenant of its own.
var clubs = map[string]struct {
	stage
	play func(s clubScene)
}{
	"twice":       {stage{}, theTaskRanTwice},
	"timeouts":    {stage{}, aTimeoutIsNoFailure},
	"vanished":    {stage{}, neverWhileInDoubt},
	"without-end": {stage{lookupAfter: "1s, 2s"}, lookupsWithoutEnd},
	"a-day":       {stage{}, aDayOfOutage},
	"eight-days":  {stage{}, eightDaysOfOutage},
	"forgotten":   {stage{}, forgottenForLong},
	"late-digest": {stage{}, aDigestThatComesLate},
	"unsigned":    {stage{lookupAfter: "1h"}, unsignedWebhooks},
	"centavos":    {stage{}, integerAmounts},
	"pausing":     {stage{}, pausing},
	"new-card":    {stage{}, aNewCard},
	"retried":     {stage{}, retriedOnItsDays},
	"taken-back":  {stage{}, whatIsTakenBack},
}

// Whatever happens, a recurrence is charged once per cycle, and never while one of its charges is in doubt.
func TestCharges(t *testing.T) {
	t.Parallel()
	in := harness.New(t, binary)
	in.Env = []string{"AUDITOR_TOKEN=" + auditorToken, "CIELO_WEBHOOK_SECRET=" + webhookSecret, "AGOGO_LOG=debug,text"}
	stages := map[string]stage{}
	for name, c := range clubs {
		stages[name] = c.stage
	}
	in.UseConfig(t, clubsFile(stages))
	dev := in.Dev(t)
	pauseSchedules(t, in)
	t.Run("clubs", func(t *testing.T) {
		for _, name := range slices.Sorted(maps.Keys(clubs)) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				own := *in
				own.Tenant = name
				clubs[name].play(clubScene{T: t, Install: &own})
			})
		}
	})
	for _, e := range in.Orders(t) {
		if e.Moved > 1 {
			t.Errorf("order %s was charged %d times", e.Reference, e.Moved)
		}
	}
	for name := range clubs {
		if r := in.Try(t, "ledger", "verify", "--tenant", name); r.Code != 0 {
			t.Errorf("the books of %s: exit %d\n%s", name, r.Code, r)
		}
		own := *in
		own.Tenant = name
		clubScene{T: t, Install: &own}.rebuilt()
	}
	in.CLI(t, "events", "verify")
	in.CLI(t, "audit", "verify")
	words := append(secrets(t, in), memberName, auditorToken, webhookSecret, harness.MerchantKey)
	for _, name := range []string{"EVENTS", "AUDIT", "TICKS"} {
		for _, m := range messages(t, in, name) {
			search(t, name+" "+m.Subject(), append(headerText(m.Headers()), m.Data()...), append(words, "tok_"))
		}
	}
	search(t, "the log", []byte(dev.Log()), append(words, "tok_"))
}

// The task ran twice: a tick that fires again, one by hand at another time of that day, and the next day's change nothing.
func theTaskRanTwice(s clubScene) {
	s.agree("monthly,30,2025-10-30,ok", "days,,2025-10-28,ok,,1")
	first := s.fire("charge-due", "2025-10-30")
	again := s.fire("charge-due", "2025-10-30")
	if first.TickId != again.TickId || again.Counts["succeeded"] != 2 {
		s.Errorf("%s came to %v, and again as %s to %v", first.TickId, first.Counts, again.TickId, again.Counts)
	}
	byHand := s.CLI(s.T, "schedules", "trigger", s.Tenant+"/recurrences/charge-due", "--at", "2025-10-30T11:30:00Z", "--wait")
	if !strings.Contains(byHand, "completed") {
		s.Errorf("by hand:\n%s", byHand)
	}
	s.await(2, "active 2025-10-29, 2025-10-28 succeeded") // it is behind, and was charged today
	s.fire("charge-due", "2025-10-31")
	s.await(1, "active 2025-11-30, 2025-10-30 succeeded")
	s.await(2, "active 2025-10-30, 2025-10-28 succeeded, 2025-10-29 succeeded")
	s.taken(s.card(1, "ok"), 1)
	s.taken(s.card(2, "ok"), 2)
}

// A time-out was recorded as a failure although the card had been charged: it is in doubt, asked about, and then succeeded.
func aTimeoutIsNoFailure(s clubScene) {
	s.agree("monthly,30,2025-10-30,timeout_paid")
	run := s.fire("charge-due", "2025-10-30")
	if run.Counts["unknown"] != 1 {
		s.Errorf("the run came to %v, want one unknown", run.Counts)
	}
	s.fire("retry-failed", "2025-10-31")
	s.await(1, "active 2025-11-30, 2025-10-30 succeeded")
	s.went(1, "due", "submitting", "unknown", "succeeded")
	s.taken(s.card(1, "timeout_paid"), 1)
}

// Nobody knows what became of a charge: nothing else of its recurrence is charged, nothing is retried or cleaned up, until two
// people have decided. Then it is charged once, by another order.
func neverWhileInDoubt(s clubScene) {
	s.agree("days,,2025-01-30,timeout_unpaid,,1")
	s.fire("charge-due", "2025-01-30")
	s.await(1, "active 2025-01-31, 2025-01-30 manual_review")
	s.fire("charge-due", "2025-01-31")
	s.fire("retry-failed", "2025-01-31")
	s.fire("cleanup", "2025-08-31")
	s.await(1, "active 2025-01-31, 2025-01-30 manual_review")

	s.CLI(s.T, "recurrences", "set-card", "rec-1", "--card", s.card(9, "ok"), "--brand", "visa", "--reason", "asked by the customer")
	c := s.charges(1)[0]
	verdict := []string{"charges", "resolve", c.Id, "--outcome", "not_paid", "--charge-again", "--evidence", "no such sale on the statement"}
	s.CLI(s.T, append(verdict, "--token", "approver")...)
	if r := s.Try(s.T, append(verdict, "--token", "approver")...); s.charges(1)[0].State != "manual_review" {
		s.Errorf("one person decided alone: exit %d\n%s", r.Code, r)
	}
	harness.Eventually(s.T, waiting, "the second person's word", func() (bool, string) {
		r := s.Try(s.T, append(verdict, "--token", "operator")...)
		return r.Code == 0, r.String()
	})
	s.await(1, "active 2025-01-31, 2025-01-30 succeeded")
	if a := s.charges(1)[0].Attempts; len(a) != 2 || a[0].ProviderReference == a[1].ProviderReference {
		s.Errorf("attempts %v, want two with a reference each", a)
	}
	s.taken(s.card(1, "timeout_unpaid"), 0)
	s.taken(s.card(9, "ok"), 1)
}

// What was pending after a day was never looked at again: here the next lookup is always planned, daily after the last short
// one.
func lookupsWithoutEnd(s clubScene) {
	s.agree("monthly,30,2025-10-30,pending_forever")
	s.fire("charge-due", "2025-10-30")
	s.await(1, "active 2025-11-30, 2025-10-30 processing")
	harness.Eventually(s.T, waiting, "a lookup planned for tomorrow", func() (bool, string) {
		a := s.charges(1)[0].Attempts[0]
		at := a.NextLookupAt.AsTime()
		return a.Lookups >= 2 && a.NextLookupAt != nil && time.Until(at) > 20*time.Hour && time.Until(at) < 25*time.Hour, fmt.Sprint(a)
	})
}

// Charges were taken only where the date equals today, so one day of outage lost them: here they are taken on the next day.
func aDayOfOutage(s clubScene) {
	s.agree("monthly,29,2025-10-29,ok", "weekly,3,2025-10-29,soft_51", "monthly,30,2025-10-30,ok")
	run := s.fire("charge-due", "2025-10-30")
	if run.Counts["succeeded"] != 2 || run.Counts["failed_soft"] != 1 {
		s.Errorf("the run came to %v", run.Counts)
	}
	s.await(1, "active 2025-11-29, 2025-10-29 succeeded")
	s.await(2, "past_due 2025-11-05, 2025-10-29 failed_soft")
	s.await(3, "active 2025-11-30, 2025-10-30 succeeded")
	if c := s.charges(2)[0]; c.ChargeDate != "2025-10-29" || c.FirstAttemptDate != "2025-10-30" || c.RetryOn != "2025-10-31" {
		s.Errorf("%v: retries count from the day on which it was tried", c)
	}
}

// After eight days cycles are missed: told, counted, and for a person to charge. What falls on today is charged.
func eightDaysOfOutage(s clubScene) {
	s.agree("monthly,22,2025-10-22,ok", "weekly,4,2025-10-16,ok", "weekly,3,2025-10-22,ok", "monthly,23,2025-10-23,ok")
	run := s.fire("charge-due", "2025-10-30")
	if run.Counts["missed"] != 5 || run.Counts["succeeded"] != 2 {
		s.Errorf("the run came to %v, want 5 missed and 2 succeeded", run.Counts)
	}
	s.await(1, "active 2025-11-22 missed 2025-10-22")
	s.await(2, "active 2025-11-06 missed 2025-10-16 missed 2025-10-23, 2025-10-30 succeeded")
	s.await(3, "active 2025-11-05 missed 2025-10-22 missed 2025-10-29")
	s.await(4, "active 2025-11-23, 2025-10-23 succeeded")
}

// The clean-up ends what was forgotten for half a year, and the morning leaves it alone.
func forgottenForLong(s clubScene) {
	s.agree("monthly,13,2025-04-13,ok", "monthly,13,2025-04-13,ok,paused", "monthly,13,2025-06-13,ok,hold")
	s.fire("charge-due", "2025-10-30")
	s.await(1, "active 2025-04-13")
	if run := s.fire("cleanup", "2025-11-02"); run.Counts["ended"] != 2 {
		s.Errorf("the run came to %v, want 2 ended", run.Counts)
	}
	s.fire("cleanup", "2025-11-02")
	s.await(1, "completed")
	s.await(2, "completed")
	s.await(3, "hold 2025-06-13")
	if r := s.recurrence(1); r.Reason.GetCode() != "expired" {
		s.Errorf("completed because of %q", r.Reason.GetCode())
	}
	s.taken(s.card(1, "ok"), 0)
}

// A digest that comes late says what it would have said in time, once.
func aDigestThatComesLate(s clubScene) {
	s.agree("monthly,30,2025-10-30,hard_54", "monthly,31,2025-10-31,hard_54", "monthly,15,2025-11-15,ok,hold")
	s.fire("charge-due", "2025-10-30")
	s.fire("charge-due", "2025-10-31")
	s.await(2, "hold 2025-11-30, 2025-10-31 failed_hard")
	s.fire("notify-holds", "2025-10-30")
	s.fire("notify-holds", "2025-10-30")
	c, ctx := s.Connect(s.T, "admin")
	list, err := c.Recurrences.ListHoldDigests(ctx, &recurrencesv1.ListHoldDigestsRequest{Tenant: s.Tenant})
	if err != nil {
		s.Fatal(err)
	}
	if len(list.Items) != 1 || list.Items[0].LocalDate != "2025-10-30" || list.Items[0].Total.Minor != 4000 || !slices.Equal(list.Items[0].RecurrenceIds, []string{"rec-1", "rec-3"}) {
		s.Errorf("digests %v", list.Items)
	}
}

// Sandbox mode accepted unsigned webhooks: here one without the agreed header is refused, and a real one only has the gateway
// asked. Lookups by schedule would come after an hour.
func unsignedWebhooks(s clubScene) {
	s.agree("monthly,30,2025-10-30,ok", "monthly,30,2025-10-30,pending_forever")
	address := "http://" + s.Info(s.T).HTTP["recurrences"] + "/webhooks/recurrences/" + s.Tenant + "/cielo"
	s.Control(s.T, http.MethodPut, "/_control/callback", map[string]any{"provider": "cielo", "url": address, "header": "X-Agogo-Webhook", "value": webhookSecret}, nil)
	s.Misbehave(s.T, harness.Rule{"provider": "cielo", "operation": "sale", "match": map[string]any{"token": s.card(1, "ok")}, "fault": "pending_success", "duration": "2s", "callback": "forged"})
	s.fire("charge-due", "2025-10-30")
	s.await(1, "active 2025-11-30, 2025-10-30 succeeded")
	s.went(1, "due", "submitting", "processing", "succeeded")
	open := s.charges(2)[0].Attempts[0]
	body := fmt.Sprintf(`{"PaymentId":%q,"ChangeType":1}`, open.ProviderId)
	for value, want := range map[string]int{"": http.StatusUnauthorized, "guessed": http.StatusUnauthorized, webhookSecret: http.StatusOK} {
		if code := notify(s.T, address, value, body); code != want {
			s.Errorf("a webhook with the header %q: %d, want %d", value, code, want)
		}
	}
	harness.Eventually(s.T, waiting, "a lookup after the webhook", func() (bool, string) {
		a := s.charges(2)[0].Attempts[0]
		return a.Lookups > open.Lookups, fmt.Sprint(a)
	})
	s.await(2, "active 2025-11-30, 2025-10-30 processing")
}

// What is refunded or disputed after a success: told by a webhook, or asked for by a person, booked once, and settled by an approver.
func whatIsTakenBack(s clubScene) {
	s.agree("monthly,30,2025-10-30,ok")
	s.fire("charge-due", "2025-10-30")
	s.await(1, "active 2025-11-30, 2025-10-30 succeeded")
	paid := s.charges(1)[0].Attempts[0]
	until := func(what string, so func(c *recurrencesv1.Charge) bool) *recurrencesv1.Charge {
		var c *recurrencesv1.Charge
		harness.Eventually(s.T, waiting, what, func() (bool, string) {
			c = s.charges(1)[0]
			return so(c), fmt.Sprint(c)
		})
		return c
	}
	s.Control(s.T, http.MethodPost, "/_control/refund", map[string]any{"provider": "cielo", "reference": paid.ProviderReference, "minor": 400}, nil)
	address := "http://" + s.Info(s.T).HTTP["recurrences"] + "/webhooks/recurrences/" + s.Tenant + "/cielo"
	for range 2 {
		if code := notify(s.T, address, webhookSecret, fmt.Sprintf(`{"PaymentId":%q,"ChangeType":1}`, paid.ProviderId)); code != http.StatusOK {
			s.Errorf("a webhook about a refund: %d", code)
		}
	}
	until("the refund", func(c *recurrencesv1.Charge) bool { return c.GetRefunded().GetMinor() == 400 })

	s.Control(s.T, http.MethodPost, "/_control/chargeback", map[string]any{"provider": "cielo", "reference": paid.ProviderReference, "minor": 300}, nil)
	id := s.charges(1)[0].Id
	s.CLI(s.T, "charges", "refresh", id, "--reason", "its webhook was lost")
	c := until("the dispute", func(c *recurrencesv1.Charge) bool { return c.GetDisputed().GetMinor() == 300 })
	dispute := c.Reversals[len(c.Reversals)-1].Id
	settle := []string{"charges", "settle-dispute", dispute, "--outcome", "won", "--evidence", "letter of the issuer", "--token"}
	if r := s.Try(s.T, append(settle, "operator")...); r.Code != 4 {
		s.Errorf("an operator settled a dispute: exit %d\n%s", r.Code, r)
	}
	s.CLI(s.T, append(settle, "approver")...)
	s.await(1, "active 2025-11-30, 2025-10-30 succeeded")
	if c := s.charges(1)[0]; c.GetDisputed() != nil || c.GetRefunded().GetMinor() != 400 || len(c.Reversals) != 2 {
		s.Errorf("in the end: %v", c)
	}
	s.went(1, "due", "submitting", "succeeded", "succeeded", "succeeded", "succeeded")
}

func notify(t *testing.T, address, value, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if value != "" {
		req.Header.Set("X-Agogo-Webhook", value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// Float arithmetic on amounts: none of these is what a float times a hundred is cut to.
func integerAmounts(s clubScene) {
	amounts := map[string]int64{"0.29": 29, "1.15": 115, "4.35": 435, "8.87": 887, "19.99": 1999, "1001.10": 100110, "90071992547.41": 9007199254741}
	file, total := recurrencesHeader, int64(0)
	for i, a := range slices.Sorted(maps.Keys(amounts)) {
		file += fmt.Sprintf("rec-%d,cus-%d,%s,seller-1,%s,BRL,monthly,30,,2025-10-30,tok_ok_%s_%d,elo,active,Mensalidade,,\n", i, i, memberName, a, s.Tenant, amounts[a])
		total += amounts[a]
	}
	s.CLI(s.T, "recurrences", "import", harness.WriteFile(s.T, "recurrences.csv", file))
	s.fire("charge-due", "2025-10-30")
	seen := 0
	for _, e := range s.Orders(s.T) {
		if rest, ours := strings.CutPrefix(e.Peer, "tok_ok_"+s.Tenant+"_"); ours {
			if seen++; rest != fmt.Sprint(e.Amount) || e.Moved != 1 {
				s.Errorf("the gateway charged %d, %d times, for %s", e.Amount, e.Moved, rest)
			}
		}
	}
	books := harness.Items[ledgerv1.Balance](s.T, s.Install, "ledger", "balances", "--prefix", "seller_payable:")
	if seen != len(amounts) || len(books) != 1 || books[0].Balance.Minor != -total {
		s.Errorf("%d of %d charged, the seller is owed %v, want %d", seen, len(amounts), books, total)
	}
}

// A paused recurrence is not charged; resumed, it goes on by the rules of late cycles.
func pausing(s clubScene) {
	s.agree("monthly,30,2025-10-30,ok", "monthly,28,2025-10-28,soft_51")
	s.fire("charge-due", "2025-10-29")
	for _, id := range []string{"rec-1", "rec-2"} {
		s.CLI(s.T, "recurrences", "pause", id, "--reason", "asked by the customer")
	}
	s.fire("charge-due", "2025-10-30")
	s.fire("retry-failed", "2025-10-30")
	s.await(1, "paused 2025-10-30")
	s.await(2, "paused 2025-11-28, 2025-10-28 failed_soft")
	if r := s.Try(s.T, "recurrences", "pause", "rec-1", "--reason", "again"); r.Code != 4 {
		s.Errorf("pausing what is paused: exit %d\n%s", r.Code, r)
	}
	for _, id := range []string{"rec-1", "rec-2"} {
		s.CLI(s.T, "recurrences", "resume", id, "--reason", "the customer is back")
	}
	s.fire("charge-due", "2025-11-03")
	s.fire("retry-failed", "2025-11-03")
	s.await(1, "active 2025-11-30, 2025-10-30 succeeded")
	s.await(2, "past_due 2025-11-28, 2025-10-28 failed_soft")
	if c := s.charges(2)[0]; c.Tries != 2 || c.LastAttemptDate != "2025-11-03" {
		s.Errorf("declined %d times, last on %s; want 2, on the day after it was resumed", c.Tries, c.LastAttemptDate)
	}
}

// A new card on a recurrence that is on hold: what is open is tried once, at once. Paid, it is active; declined, it stays on
// hold.
func aNewCard(s clubScene) {
	s.agree("monthly,30,2025-10-30,hard_54", "monthly,30,2025-10-30,hard_41", "monthly,30,2025-10-30,soft_51")
	s.fire("charge-due", "2025-10-30")
	s.await(1, "hold 2025-11-30, 2025-10-30 failed_hard")
	if r := s.Try(s.T, "recurrences", "reactivate", "rec-1", "--reason", "asked"); r.Code != 4 {
		s.Errorf("a recurrence whose card is invalid was reactivated: exit %d\n%s", r.Code, r)
	}
	s.CLI(s.T, "recurrences", "set-card", "rec-1", "--card", s.card(11, "ok"), "--brand", "mastercard", "--reason", "a new card")
	s.CLI(s.T, "recurrences", "set-card", "rec-2", "--card", s.card(12, "soft_51"), "--brand", "visa", "--reason", "a new card")
	s.CLI(s.T, "recurrences", "set-card", "rec-3", "--card", s.card(13, "ok"), "--brand", "elo", "--reason", "a new card")
	s.await(1, "active 2025-11-30, 2025-10-30 succeeded")
	s.await(3, "active 2025-11-30, 2025-10-30 succeeded")
	harness.Eventually(s.T, waiting, "rec-2 tried once with its new card", func() (bool, string) {
		c := s.charges(2)[0]
		return len(c.Attempts) == 2 && c.State != "submitting", s.stands(2)
	})
	if r := s.recurrence(2); r.State != "hold" {
		s.Errorf("declined with the new card, it is %s", r.State)
	}
	s.taken(s.card(11, "ok"), 1)
	s.taken(s.card(13, "ok"), 1)
}

// Declined charges are tried again on their days and on no other, and then the recurrence is on hold.
func retriedOnItsDays(s clubScene) {
	s.agree("monthly,30,2025-10-30,soft_51")
	s.fire("charge-due", "2025-10-30")
	for _, d := range []struct {
		day, next string
		tries     int32
	}{{"2025-10-30", "2025-10-31", 1}, {"2025-10-31", "2025-11-03", 2}, {"2025-11-02", "2025-11-03", 2}, {"2025-11-04", "2025-11-06", 3}, {"2025-11-06", "", 4}, {"2025-11-07", "", 4}} {
		s.fire("retry-failed", d.day)
		if c := s.charges(1)[0]; c.Tries != d.tries || c.RetryOn != d.next {
			s.Errorf("after %s: declined %d times, next on %q; want %d, %q", d.day, c.Tries, c.RetryOn, d.tries, d.next)
		}
	}
	s.await(1, "hold 2025-11-30, 2025-10-30 exhausted")
}
