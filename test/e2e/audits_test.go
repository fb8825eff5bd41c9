package e2e_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/test/harness"
)

// published is an event as a subscriber gets it: CloudEvents headers and a protojson body.
type published struct {
	Type, Subject, Tenant string
	Version               int
	Body                  map[string]any
}

// field is a text of the body, "" when it is not there.
func (p published) field(name string) string { s, _ := p.Body[name].(string); return s }

// events reads EVENTS from its beginning to its end, by a consumer of its own.
func events(t *testing.T, in *harness.Install) []published {
	t.Helper()
	var all []published
	for _, m := range messages(t, in, "EVENTS") {
		h := m.Headers()
		e := published{Type: h.Get("ce-type"), Subject: h.Get("ce-subject"), Tenant: h.Get("ce-tenantid")}
		var err error
		if e.Version, err = strconv.Atoi(h.Get("ce-aggversion")); err != nil {
			t.Fatalf("%s: ce-aggversion: %v", m.Subject(), err)
		}
		if err := json.Unmarshal(m.Data(), &e.Body); err != nil {
			t.Fatalf("%s: %v in %s", m.Subject(), err, m.Data())
		}
		all = append(all, e)
	}
	return all
}

// messages are all of a stream.
func messages(t *testing.T, in *harness.Install, stream string) []jetstream.Msg {
	t.Helper()
	js, err := jetstream.New(in.NATS(t))
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.OrderedConsumer(t.Context(), stream, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy})
	if err != nil {
		t.Fatal(err)
	}
	all := make([]jetstream.Msg, 0, c.CachedInfo().NumPending)
	for len(all) < cap(all) {
		m, err := c.Next(jetstream.FetchMaxWait(waiting))
		if err != nil {
			t.Fatalf("%s: %d of %d messages: %v", stream, len(all), cap(all), err)
		}
		all = append(all, m)
	}
	return all
}

// Promise 5: every state change is one event with a contiguous version, and the events alone rebuild the states.
func TestEventsRebuildTheStates(t *testing.T) {
	w := evening(t)
	checkRebuilt(t, w.Install, "--tenant", lebenis)
	if out := w.CLI(t, "events", "verify"); !strings.Contains(out, ", 0 gaps") {
		t.Errorf("events verify: %s", out)
	}
}

// checkRebuilt folds the events of payouts and holds the result against the list of payouts.
func checkRebuilt(t *testing.T, in *harness.Install, list ...string) {
	t.Helper()
	tenant := list[len(list)-1]
	harness.Eventually(t, waiting, "events that rebuild the states", func() (bool, string) {
		want := map[string]printedPayout{}
		for _, p := range printedPayouts(t, in, list...) {
			want[p.ID] = p
		}
		diff := cmp.Diff(statesOf(want), fold(t, in, tenant))
		return diff == "" && len(want) > 0, diff // the relay may still be on its way
	})
}

// standing is where a payout stands, by the list or by its events.
type standing struct {
	State, Payee, Net, Attempt, Reference string
}

func statesOf(payouts map[string]printedPayout) map[string]standing {
	m := map[string]standing{}
	for id, p := range payouts {
		s := standing{State: p.State, Payee: p.PayeeID, Net: strconv.FormatInt(p.Net.Minor, 10)}
		if n := len(p.Attempts); n > 0 {
			s.Attempt, s.Reference = strconv.Itoa(p.Attempts[n-1].Number), p.Attempts[n-1].Reference
		}
		m[id] = s
	}
	return m
}

// fold follows each payout of a tenant from its first event to its last; each must follow from the one before it.
func fold(t *testing.T, in *harness.Install, tenant string) map[string]standing {
	t.Helper()
	type seen struct {
		version int
		state   string
	}
	last, now := map[string]seen{}, map[string]standing{}
	for _, e := range events(t, in) {
		if e.Tenant != tenant || !strings.HasPrefix(e.Type, "com.agogo.payout.") {
			continue
		}
		before := last[e.Subject]
		if e.Version != before.version+1 || e.field("previous_state") != before.state {
			t.Fatalf("%s of %s: version %d from %q follows version %d, %q", e.Type, e.Subject, e.Version, e.field("previous_state"), before.version, before.state)
		}
		last[e.Subject] = seen{e.Version, e.field("state")}
		s := standing{State: e.field("state"), Payee: e.field("payee_id"), Reference: e.field("provider_reference")}
		if net, ok := e.Body["net"].(map[string]any); ok {
			s.Net, _ = net["minor"].(string)
		}
		if n, ok := e.Body["attempt"].(float64); ok {
			s.Attempt = strconv.Itoa(int(n))
		}
		now[e.Subject] = s
	}
	return now
}

// path is the states that the only payout of a payee went through, by its events.
func path(t *testing.T, in *harness.Install, tenant, payee string) []string {
	t.Helper()
	var states []string
	for _, e := range events(t, in) {
		if e.Tenant == tenant && strings.HasPrefix(e.Type, "com.agogo.payout.") && e.field("payee_id") == payee {
			states = append(states, e.field("state"))
		}
	}
	return states
}

// Promise 9: each change is in the audit trail with its actor.
func TestAuditShowsWhoDidWhat(t *testing.T) {
	w := evening(t)
	w.CLI(t, "schedules", "pause", "lebenis/payouts/check-pending", "--reason", "by an operator", "--token", "operator")
	var list struct {
		Items []struct {
			Tenant, Service, Actor, Role, Action, Target, Detail string
		} `json:"items"`
	}
	want := []string{
		"user:admin scheduler PauseSchedule", "user:operator scheduler PauseSchedule", "user:admin scheduler TriggerSchedule",
		"user:admin payouts ImportPayments", "user:admin notifier ImportDevices", "user:admin payouts StartBreak", "user:admin payouts EndBreak",
	}
	harness.Eventually(t, waiting, "an audit trail of everything that was done", func() (bool, string) {
		out := w.CLI(t, "audit", "list", "-o", "json")
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			t.Fatalf("audit list -o json: %v in\n%s", err, out)
		}
		var got []string
		for _, l := range list.Items {
			if l.Tenant != lebenis && !strings.HasSuffix(l.Action, "DeadLetter") || l.Role == "" || l.Target == "" {
				t.Errorf("an entry without tenant, role or target: %+v", l)
			}
			got = append(got, l.Actor+" "+l.Service+" "+l.Action)
		}
		missing := slices.DeleteFunc(slices.Clone(want), func(s string) bool { return slices.Contains(got, s) })
		return len(missing) == 0, fmt.Sprintf("missing %q among %q", missing, got)
	})
	if out := w.CLI(t, "audit", "verify"); !strings.Contains(out, ", 0 breaks") || strings.HasPrefix(out, "0 ") {
		t.Errorf("audit verify: %s", out)
	}
	if out := w.CLI(t, "audit", "list"); !strings.Contains(out, "user:operator") || !strings.Contains(out, "PauseSchedule") {
		t.Errorf("audit list shows no pause by the operator:\n%s", out)
	}
}

// Promise 3: books balance.
func TestLedgerVerifies(t *testing.T) {
	w := evening(t)
	if out := w.CLI(t, "ledger", "verify"); !strings.Contains(out, "balance") {
		t.Errorf("ledger verify: %s", out)
	}
	var verified struct {
		Balanced bool   `json:"balanced"`
		Postings string `json:"postings"`
	}
	out := w.CLI(t, "ledger", "verify", "-o", "json")
	if err := json.Unmarshal([]byte(out), &verified); err != nil || !verified.Balanced || verified.Postings == "0" {
		t.Errorf("ledger verify -o json: %v in %s", err, out)
	}
	var balances struct {
		Items []struct {
			Account string  `json:"account"`
			Balance printed `json:"balance"`
		} `json:"items"`
	}
	if err := json.Unmarshal([]byte(w.CLI(t, "ledger", "balances", "-o", "json")), &balances); err != nil {
		t.Fatal(err)
	}
	var sum, paid int64
	for _, b := range balances.Items {
		sum += b.Balance.Minor
		if b.Account == "float:orange" {
			paid = -b.Balance.Minor
		}
	}
	moved := int64(0)
	for _, e := range w.Book(t) {
		moved += e.Amount * int64(e.Moved)
	}
	if sum != 0 || paid != moved {
		t.Errorf("balances add up to %d, want 0; the float went down by %d, the provider moved %d", sum, paid, moved)
	}
}

// Promise 7: what cannot be handled is in the dead-letter stream, and can be replayed. The poison carries a driver's phone
// number, which nobody may repeat.
func TestDeadLetters(t *testing.T) {
	w := evening(t)
	js, err := jetstream.New(w.NATS(t))
	if err != nil {
		t.Fatal(err)
	}
	const poison = `{"run_id":"+2250700000103","page":"Livreur 03"}`
	m := nats.NewMsg("agogo.cmd.payouts.plan.p07")
	m.Data, m.Header["ce-tenantid"] = []byte(poison), []string{lebenis} // as every command says whose it is
	if _, err := js.PublishMsg(t.Context(), m, jetstream.WithMsgID("poison")); err != nil {
		t.Fatal(err)
	}
	letter := awaitLetter(t, w, "")
	if letter.Consumer != "payouts-exec" || letter.Subject != "agogo.cmd.payouts.plan.p07" || letter.Stream != "COMMANDS" || letter.Reason == "" {
		t.Errorf("%+v", letter)
	}
	if strings.Contains(letter.Reason, "0700000103") || strings.Contains(letter.Reason, "Livreur") {
		t.Errorf("the reason repeats personal data: %s", letter.Reason)
	}
	if out := w.CLI(t, "dlq", "show", letter.Seq); !strings.Contains(out, letter.Reason) || !strings.Contains(out, poison) {
		t.Errorf("dlq show:\n%s", out)
	}
	if out := w.CLI(t, "dlq", "list"); !strings.Contains(out, "payouts-exec") {
		t.Errorf("dlq list:\n%s", out)
	}
	if out := w.CLI(t, "dlq", "replay", letter.Seq); !strings.Contains(out, "agogo.cmd.payouts.replay.") {
		t.Errorf("dlq replay: %s", out)
	}
	again := awaitLetter(t, w, letter.Seq) // it is as poisonous as before
	if r := w.Try(t, "dlq", "discard", again.Seq); r.Code != 2 {
		t.Errorf("discard without a reason: exit %d, want 2\n%s", r.Code, r)
	}
	for _, verb := range [][]string{{"discard", again.Seq, "--reason", "test"}, {"replay", again.Seq}} {
		if r := w.Try(t, append([]string{"dlq", "--token", "approver"}, verb...)...); r.Code != 4 {
			t.Errorf("%s by an approver: exit %d, want 4\n%s", verb, r.Code, r)
		}
	}
	w.CLI(t, "dlq", "discard", again.Seq, "--reason", "poison of a test", "--token", "operator")
	harness.Eventually(t, waiting, "an audit trail of who decided", func() (bool, string) {
		out := w.CLI(t, "audit", "list")
		return strings.Contains(out, "ReplayDeadLetter") && strings.Contains(out, "discard: poison of a test"), out
	})
	if r := w.Try(t, "dlq", "show", again.Seq); r.Code != 3 {
		t.Errorf("show of a discarded letter: exit %d, want 3\n%s", r.Code, r)
	}
	if left := letters(t, w); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
	harness.Eventually(t, waiting, "an event that a message was given up", func() (bool, string) {
		for _, e := range events(t, w.Install) {
			if e.Type == "com.agogo.event.dead_lettered.v1" {
				return true, ""
			}
		}
		return false, "no event.dead_lettered"
	})
}

type letter struct {
	Seq      string `json:"seq"`
	Stream   string `json:"stream"`
	Consumer string `json:"consumer"`
	Subject  string `json:"subject"`
	Reason   string `json:"reason"`
}

func letters(t *testing.T, w *world) []letter {
	t.Helper()
	var list struct {
		Items []letter `json:"items"`
	}
	out := w.CLI(t, "dlq", "list", "--service", "payouts", "-o", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("dlq list -o json: %v in\n%s", err, out)
	}
	return list.Items
}

// awaitLetter waits for the only dead letter, which has another number than before.
func awaitLetter(t *testing.T, w *world, before string) (l letter) {
	t.Helper()
	harness.Eventually(t, waiting, "one dead letter", func() (bool, string) {
		all := letters(t, w)
		if len(all) != 1 || all[0].Seq == before {
			return false, fmt.Sprintf("%+v", all)
		}
		l = all[0]
		return true, ""
	})
	return l
}

// An outside subscriber needs nothing but the address and the credentials of dev.json.
func TestEventsTail(t *testing.T) {
	w := evening(t)
	tail := w.Start(t, nil, "events", "tail", "--type", "schedule.*", "-o", "json")
	harness.Eventually(t, waiting, "an event in the tail", func() (bool, string) {
		w.CLI(t, "schedules", "resume", "lebenis/payouts/check-pending")
		w.CLI(t, "schedules", "pause", "lebenis/payouts/check-pending", "--reason", "for the tail")
		return strings.Contains(tail.Output(), "com.agogo.schedule.paused.v1"), tail.Output() + tail.Log()
	})
	var e struct {
		ID, Type, Tenant, Subject, Actor string
		Time                             time.Time
		Version                          int
		Data                             map[string]any
	}
	first, _, _ := strings.Cut(tail.Output(), "\n")
	if err := json.Unmarshal([]byte(first), &e); err != nil || e.Tenant != lebenis || e.Actor != "user:admin" || e.Version == 0 || len(e.Data) == 0 {
		t.Errorf("%v: %s", err, first)
	}
	tail.Interrupt(t)
}
