package e2e_test

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/test/harness"
)

// vanish sends a payout that never arrives, and waits until people are asked: the provider does not know it, and sending it
// again might pay twice.
func vanish(s scene) *payoutsv1.Payout {
	s.Helper()
	s.fault(0, "cashin", "reset_before", nil)
	s.owe(2, 0)
	s.evening(2)
	p := s.await(2, 0, "manual_review")
	s.moved(0, 0)
	return p
}

// resolve gives a resolution's words as somebody, and says whether they were applied.
func (s scene) resolve(id, token string, words ...string) (applied bool, r harness.Result) {
	s.Helper()
	r = s.Try(s.T, append([]string{"payouts", "resolve", id, "--token", token, "-o", "json"}, words...)...)
	if r.Code != 0 {
		return false, r
	}
	var answer payoutsv1.ResolvePayoutResponse
	if err := protojson.Unmarshal([]byte(r.Out), &answer); err != nil {
		s.Fatal(err)
	}
	return answer.Applied, r
}

// secondWord gives a resolution's words as the second person, until a lookup since the first one's has been answered.
func (s scene) secondWord(id, token string, words ...string) {
	s.Helper()
	harness.Eventually(s.T, waiting, "the second person's word", func() (bool, string) {
		applied, r := s.resolve(id, token, words...)
		return applied, r.String()
	})
}

// Two people, the same words, and a lookup after the first of them: only then is it paid again, once.
func vanishedPaidAgain(s scene) {
	p := vanish(s)
	words := []string{"--outcome", "not_paid", "--pay-again", "--evidence", "statement of 3 January has no such transfer"}
	for who, code := range map[string]int{auditorToken: 4, clerkToken: 4, "nobody": 4} {
		if _, r := s.resolve(p.Id, who, words...); r.Code != code {
			s.Errorf("resolve by a stranger (%s): exit %d, want %d\n%s", who, r.Code, code, r)
		}
	}
	// Nobody can be asked: the provider's lookups are of no use from here on.
	unreadable := harness.Rule{"provider": "orange_omr", "operation": "lookup", "match": map[string]any{"reference": p.Attempts[0].ProviderReference}, "fault": "5xx_before_payment", "times": 2}
	s.Misbehave(s.T, unreadable)
	for _, token := range []string{"operator", "operator"} {
		if applied, r := s.resolve(p.Id, token, words...); applied || r.Code != 0 {
			s.Fatalf("proposed by one person: applied %t, exit %d\n%s", applied, r.Code, r)
		}
	}
	if applied, r := s.resolve(p.Id, "approver", words...); applied || r.Code != 4 || !strings.Contains(r.Err, "the provider is being asked; give the same command again") {
		s.Errorf("applied before a lookup: applied %t, exit %d\n%s", applied, r.Code, r)
	}
	if again := s.payout(2, 0); again.State != "manual_review" || again.Proposal.GetActor() != "user:operator" || len(again.Attempts) != 1 {
		s.Errorf("after a proposal: %v", again)
	}
	harness.Eventually(s.T, waiting, "the second person's word", func() (bool, string) {
		s.CLI(s.T, "schedules", "trigger", s.schedule("check-pending"))
		applied, r := s.resolve(p.Id, "approver", words...)
		return applied, r.String()
	})
	p = s.await(2, 0, "succeeded")
	if len(p.Attempts) != 2 || p.Attempts[0].ProviderReference == p.Attempts[1].ProviderReference || p.Proposal != nil {
		s.Errorf("paid again: %v", p)
	}
	if applied, r := s.resolve(p.Id, "approver2", words...); applied || r.Code != 4 {
		s.Errorf("a third word on a payout that is paid: applied %t, exit %d\n%s", applied, r.Code, r)
	}
	s.went(0, "created", "approved", "submitting", "unknown", "manual_review", "approved", "submitting", "succeeded")
	s.moved(0, 1)
}

// Without --pay-again the payment goes into the next evening.
func vanishedGoesBack(s scene) {
	p := vanish(s)
	words := []string{"--outcome", "not_paid", "--evidence", "statement of 3 January has no such transfer"}
	if applied, r := s.resolve(p.Id, "approver", words...); applied || r.Code != 0 {
		s.Fatalf("proposal: applied %t, exit %d\n%s", applied, r.Code, r)
	}
	other := append(slices.Clone(words[:3]), "I looked as well")
	if applied, r := s.resolve(p.Id, "approver2", other...); applied || r.Code != 0 {
		s.Errorf("other words are another proposal: applied %t, exit %d\n%s", applied, r.Code, r)
	}
	s.secondWord(p.Id, "approver", other...)
	s.await(2, 0, "failed")
	if free := s.unpaid(); !slices.Equal(free, []string{"pay-02-00"}) {
		s.Errorf("unpaid: %q", free)
	}
	s.evening(3)
	if next := s.payout(3, 0); next.State != "succeeded" {
		s.Errorf("the next evening: %v", next)
	}
	s.moved(0, 1)
}

// Two people know that it was paid in another way; one of them works for this tenant only.
func vanishedWasPaid(s scene) {
	p := vanish(s)
	words := []string{"--outcome", "paid", "--evidence", "paid in cash, receipt 2025/17"}
	if _, r := s.resolve(p.Id, "admin", append(words, "--pay-again")...); r.Code != 2 {
		s.Errorf("paid and to be paid again: exit %d, want 2\n%s", r.Code, r)
	}
	if applied, r := s.resolve(p.Id, "admin", words...); applied || r.Code != 0 {
		s.Errorf("proposal: applied %t, exit %d\n%s", applied, r.Code, r)
	}
	s.secondWord(p.Id, clerkToken, words...)
	if p = s.payout(2, 0); p.State != "succeeded" || len(s.unpaid()) != 0 {
		s.Errorf("resolved as paid: %v, unpaid %q", p, s.unpaid())
	}
	s.went(0, "created", "approved", "submitting", "unknown", "manual_review", "succeeded")
	s.moved(0, 0)
}

const six = 6

// slow makes the provider take a second for each of six payouts, of which one may be on its way at a time.
func slow(s scene) {
	s.Helper()
	for i := range six {
		s.fault(i, "cashin", "slow", harness.Rule{"delay": "1s"})
	}
	s.owe(2, 0, 1, 2, 3, 4, 5)
	s.CLI(s.T, "schedules", "trigger", s.schedule("daily"), "--at", at(2))
	awaitState(s.T, s.Install, "succeeded", 1)
}

// paidSoFar is how many of the six have their money.
func paidSoFar(s scene) int {
	s.Helper()
	n := 0
	for i := range six {
		for _, e := range s.BookOf(s.T, s.wallet(i)) {
			n += e.Moved
		}
	}
	return n
}

// everybodyOnce waits until all six are paid, and checks that nobody is twice.
func everybodyOnce(s scene) {
	s.Helper()
	awaitState(s.T, s.Install, "succeeded", six)
	for i := range six {
		s.moved(i, 1)
	}
}

// The tenant's outflow is stopped in the middle of a run: what is on its way ends, nothing else begins, the run completes
// around the rest, and the rest goes when the stop is lifted.
func stoppedInTheMiddle(s scene) {
	slow(s)
	stopped := harness.One[payoutsv1.Outflow](s.T, s.Install, "stop", "--reason", "amounts look wrong", "--token", "operator")
	if stopped.State != "stopped" || stopped.Actor != "user:operator" || stopped.Reason != "amounts look wrong" {
		s.Errorf("%v", stopped)
	}
	run := s.CLI(s.T, "runs", "watch", s.schedule("daily")+"@"+at(2), "--timeout", runEnds)
	if !strings.Contains(run, "completed") || !strings.Contains(run, "waiting") {
		s.Errorf("the run did not complete around what is stopped:\n%s", run)
	}
	paid := paidSoFar(s)
	if paid == 0 || paid == six {
		s.Fatalf("%d of %d were paid when the stop had its effect: nothing to see", paid, six)
	}
	if held := len(harness.Items[payoutsv1.Payout](s.T, s.Install, "payouts", "list", "--state", "held,approved")); held != six-paid {
		s.Errorf("%d payouts wait, want %d", held, six-paid)
	}
	s.owe(3, 6)
	s.evening(3)
	if p := s.payout(3, 6); p.State != "held" {
		s.Errorf("the next evening of a stopped tenant: %s, want held", p.State)
	}
	if now := paidSoFar(s); now != paid {
		s.Errorf("%d were paid while the tenant was stopped", now-paid)
	}
	s.CLI(s.T, "start", "--token", "operator")
	awaitState(s.T, s.Install, "succeeded", six+1)
	everybodyOnce(s)
	s.moved(6, 1)
}

// A batch is paused in the middle; meanwhile single payouts of it are held, released and cancelled.
func pausedBatch(s scene) {
	slow(s)
	batch := harness.Items[payoutsv1.Batch](s.T, s.Install, "batches", "list")[0]
	s.CLI(s.T, "batches", "pause", batch.Id, "--reason", "wrong tariff", "--token", "operator")
	if out := s.CLI(s.T, "runs", "watch", s.schedule("daily")+"@"+at(2), "--timeout", runEnds); !strings.Contains(out, "completed") {
		s.Errorf("the run did not complete around a paused batch:\n%s", out)
	}
	if b := harness.One[payoutsv1.Batch](s.T, s.Install, "batches", "get", batch.Id); b.Control != "paused" || b.State != "paused" || b.ControlReason != "wrong tariff" {
		s.Errorf("%v", b)
	}
	rest := harness.Items[payoutsv1.Payout](s.T, s.Install, "payouts", "list", "--state", "approved")
	if len(rest) < 2 {
		s.Fatalf("%d payouts wait: nothing to see", len(rest))
	}
	first, last := rest[0], rest[len(rest)-1]
	s.CLI(s.T, "payouts", "hold", first.Id, "--reason", "asked by the payee")
	s.CLI(s.T, "payouts", "cancel", last.Id, "--reason", "asked by the payee")
	if free := s.unpaid(); !slices.Equal(free, []string{"pay-02-" + strings.TrimPrefix(last.PayeeId, "drv-")}) {
		s.Errorf("unpaid: %q, want the payment of the cancelled payout", free)
	}
	paid := paidSoFar(s)
	s.CLI(s.T, "batches", "resume", batch.Id)
	awaitState(s.T, s.Install, "succeeded", six-2)
	if held := harness.One[payoutsv1.Payout](s.T, s.Install, "payouts", "get", first.Id); held.State != "held" || paid >= six-2 {
		s.Errorf("%s is %s, and %d were paid before the batch was resumed", held.PayeeId, held.State, paid)
	}
	s.CLI(s.T, "payouts", "release", first.Id, "--reason", "the payee agrees")
	awaitState(s.T, s.Install, "succeeded", six-1)
	if r := s.Try(s.T, "payouts", "cancel", first.Id, "--reason", "too late"); r.Code != 4 {
		s.Errorf("cancel of what is paid or on its way: exit %d\n%s", r.Code, r)
	}
	s.evening(3)
	everybodyOnce(s)
}

// The provider refuses us rather than a payment: everything stops, payouts are held, and a person starts it again.
func stoppedProvider(s scene) {
	s.fault(0, "cashin", "403_not_subscribed", nil)
	s.owe(2, 0)
	run := s.evening(2)
	if p := s.payout(2, 0); p.State != "held" || run.State != "completed" {
		s.Errorf("the payout is %s, the run %s with %v; want held and completed", p.State, run.State, run.Counts)
	}
	harness.Eventually(s.T, waiting, "an event that the provider is stopped", func() (bool, string) {
		var seen []string
		for _, e := range events(s.T, s.Install) {
			if e.Tenant == s.Tenant && strings.HasPrefix(e.Type, "com.agogo.provider.") {
				seen = append(seen, e.Type)
			}
		}
		return slices.Equal(seen, []string{"com.agogo.provider.stopped.v1"}), fmt.Sprint(seen)
	})
	all := harness.Items[payoutsv1.Provider](s.T, s.Install, "providers", "list")
	if len(all) != 1 || all[0].State != "stopped" || all[0].GetReason().GetCode() == "" {
		s.Fatalf("the list of providers has %v", all)
	}
	s.CLI(s.T, "providers", "resume", all[0].Name, "--reason", "the subscription was renewed")
	p := s.await(2, 0, "succeeded")
	if len(p.Attempts) != 2 {
		s.Errorf("attempts %v, want the one that was refused and the one that paid", p.Attempts)
	}
	s.moved(0, 1)
}
