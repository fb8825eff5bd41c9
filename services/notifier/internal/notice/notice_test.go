package notice

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
)

var at = time.Date(2025, 1, 24, 23, 59, 4, 0, time.UTC)

func payoutEvent(t event.Type, order int64, change func(*Payout)) Event {
	p := Payout{
		ID: "P1", PayeeID: "D001", RunID: "R1", PeriodDate: "2025-01-24", PreviousState: "submitting",
		Net: money.Amount{Minor: 24_000, Currency: "XOF"}, Attempt: 1,
	}
	if change != nil {
		change(&p)
	}
	return Event{ID: fmt.Sprintf("ce-%d", order), Type: t, Tenant: "lebenis", Service: "payouts", Order: order, At: at, Zone: time.UTC, Snapshot: p}
}

func TestPayeeHears(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		event  Event
		text   string // "" is silence
		change func(*Notice)
	}{
		{"on its way", payoutEvent("payout.processing", 3, nil), "payout.processing", nil},
		{"received", payoutEvent("payout.succeeded", 4, nil), "payout.succeeded", nil},
		{"failed for good", payoutEvent("payout.failed", 4, nil), "payout.failed", nil},
		{
			"failed, tried again", payoutEvent("payout.failed", 4, func(p *Payout) { p.RetryAt = at.Add(time.Minute) }), "payout.failed.retry",
			func(n *Notice) { n.Params.RetryAt = at.Add(time.Minute) },
		},
		{"failed for the account", payoutEvent("payout.failed", 4, func(p *Payout) { p.Scope = "payee" }), "payout.failed.account", nil},
		{
			"an account that will be tried again needs nothing from its owner",
			payoutEvent("payout.failed", 4, func(p *Payout) { p.Scope, p.RetryAt = "payee", at.Add(time.Minute) }), "payout.failed.retry",
			func(n *Notice) { n.Params.RetryAt = at.Add(time.Minute) },
		},
		{"not heard: submitting", payoutEvent("payout.submitting", 2, nil), "", nil},
		{"not heard: approved", payoutEvent("payout.approved", 2, nil), "", nil},
		{"the payee never hears of doubt", payoutEvent("payout.outcome_unknown", 3, nil), "", nil},
	} {
		got := Decide(c.event).Notices
		var want []Notice
		if c.text != "" {
			n := Notice{
				Tenant: "lebenis", Recipient: Recipient{Kind: ToPayee, ID: "D001"}, Kind: c.event.Type, Text: c.text,
				SubjectID: "P1", Order: c.event.Order, Cause: "P1/" + string(c.event.Type) + "/1",
				Params: Params{Amount: money.Amount{Minor: 24_000, Currency: "XOF"}, Period: "2025-01-24"},
			}
			if c.change != nil {
				c.change(&n)
			}
			want = []Notice{n}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestIdentity: one id per recipient and cause, whatever event repeats it.
func TestIdentity(t *testing.T) {
	t.Parallel()
	id := func(e Event) string { return Decide(e).Notices[0].ID() }
	first := id(payoutEvent("payout.succeeded", 4, nil))
	if again := id(payoutEvent("payout.succeeded", 9<<40, nil)); again != first {
		t.Errorf("the same success, told again after a restore, has a second id")
	}
	for name, other := range map[string]Event{
		"other kind":    payoutEvent("payout.processing", 4, nil),
		"other attempt": payoutEvent("payout.succeeded", 4, func(p *Payout) { p.Attempt = 2 }),
		"other payout":  payoutEvent("payout.succeeded", 4, func(p *Payout) { p.ID = "P2" }),
		"other payee":   payoutEvent("payout.succeeded", 4, func(p *Payout) { p.PayeeID = "D002" }),
		"other tenant": func() Event {
			e := payoutEvent("payout.succeeded", 4, nil)
			e.Tenant = "other"
			return e
		}(),
	} {
		if id(other) == first {
			t.Errorf("%s has the same id", name)
		}
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	op := func(ty event.Type, s Snapshot) Event {
		return Event{Type: ty, Tenant: "lebenis", Service: "payouts", Order: 7, At: at.Add(2 * time.Minute), Zone: time.FixedZone("", -3*3600), Snapshot: s}
	}
	xof := func(n int64) money.Amount { return money.Amount{Minor: n, Currency: "XOF"} }
	key := func(kind event.Type, scope string) Key { return Key{Tenant: "lebenis", Kind: kind, Scope: scope} }
	for _, c := range []struct {
		name  string
		event Event
		want  []Change
	}{
		{"unknown", payoutEvent("payout.outcome_unknown", 3, nil), []Change{
			{Key: key("payout.outcome_unknown", "R1/XOF"), SubjectID: "R1", Count: 1, Amount: xof(24_000)},
		}},
		{"unknown, found paid", payoutEvent("payout.succeeded", 4, func(p *Payout) { p.PreviousState = "unknown" }), []Change{
			{Key: key("payout.outcome_unknown", "R1/XOF"), SubjectID: "R1", Count: -1, Amount: xof(-24_000)},
		}},
		{"unknown, sent again", payoutEvent("payout.approved", 4, func(p *Payout) { p.PreviousState = "unknown" }), []Change{
			{Key: key("payout.outcome_unknown", "R1/XOF"), SubjectID: "R1", Count: -1, Amount: xof(-24_000)},
		}},
		{"unknown, to people", payoutEvent("payout.manual_review_opened", 4, func(p *Payout) { p.PreviousState = "unknown" }), []Change{
			{Key: key("payout.outcome_unknown", "R1/XOF"), SubjectID: "R1", Count: -1, Amount: xof(-24_000)},
			{Key: key("payout.manual_review_opened", "R1/XOF"), SubjectID: "R1", Count: 1, Amount: xof(24_000)},
		}},
		{"reviewed", payoutEvent("payout.failed", 5, func(p *Payout) { p.PreviousState = "manual_review" }), []Change{
			{Key: key("payout.manual_review_opened", "R1/XOF"), SubjectID: "R1", Count: -1, Amount: xof(-24_000)},
		}},
		{"reversed", payoutEvent("payout.reversed", 5, func(p *Payout) { p.PreviousState = "succeeded" }), []Change{
			{Key: key("payout.reversed", "R1/XOF"), SubjectID: "R1", Count: 1, Amount: xof(24_000)},
		}},
		// 00:01 UTC is still the 24th for this tenant.
		{"payee paused", op("payee.paused", Payee{ID: "D001"}), []Change{
			{Key: key("payee.paused", "2025-01-24"), SubjectID: "D001", Count: 1},
		}},
		{"tick missed", op("tick.missed", Tick{ID: "T", Service: "payouts", Schedule: "daily"}), []Change{
			{Key: key("tick.missed", "payouts/daily@2025-01-24"), SubjectID: "T", Count: 1, Params: Params{Where: "payouts/daily"}},
		}},
		{"dead letter", op("event.dead_lettered", DeadLetter{Service: "payouts", Consumer: "payouts-exec"}), []Change{
			{Key: key("event.dead_lettered", "payouts-exec@2025-01-24"), SubjectID: "payouts-exec", Count: 1, Params: Params{Where: "payouts-exec"}},
		}},
		{"run failed", op("run.failed", Run{ID: "R1", Job: "payouts/daily", LocalDate: "2025-01-24"}), []Change{
			{Key: key("run.failed", "R1"), SubjectID: "R1", Count: 1, Params: Params{Where: "payouts/daily", Period: "2025-01-24"}},
		}},
		{"mismatch", op("recon.mismatch_found", Recon{ID: "C1"}), []Change{
			{Key: key("recon.mismatch_found", "2025-01-24"), SubjectID: "C1", Count: 1},
		}},
		{"awaiting approval", payoutEvent("payout.awaiting_approval", 2, func(p *Payout) { p.PreviousState = "created" }), []Change{
			{Key: key("payout.awaiting_approval", "R1/XOF"), SubjectID: "R1", Count: 1, Amount: xof(24_000)},
		}},
		{"approval given", payoutEvent("payout.approved", 3, func(p *Payout) { p.PreviousState = "awaiting_approval" }), []Change{
			{Key: key("payout.awaiting_approval", "R1/XOF"), SubjectID: "R1", Count: -1, Amount: xof(-24_000)},
		}},
		{"approval expired", payoutEvent("payout.held", 3, func(p *Payout) { p.PreviousState, p.Code = "awaiting_approval", "approval_expired" }), []Change{
			{Key: key("payout.awaiting_approval", "R1/XOF"), SubjectID: "R1", Count: -1, Amount: xof(-24_000)},
			{Key: key("payout.held", "2025-01-24/XOF"), SubjectID: "2025-01-24", Count: 1, Amount: xof(24_000)},
		}},
		{"refused too often", payoutEvent("payout.held", 3, func(p *Payout) { p.PreviousState, p.Code = "submitting", "refused_often" }), []Change{
			{Key: key("payout.held", "2025-01-24/XOF"), SubjectID: "2025-01-24", Count: 1, Amount: xof(24_000)},
		}},
		{"held for what passes by itself", payoutEvent("payout.held", 3, func(p *Payout) { p.PreviousState, p.Code = "approved", "tenant_stop" }), nil},
		{"wallet changed", op("payee.destination_changed", Payee{ID: "D001"}), []Change{
			{Key: key("payee.destination_changed", "2025-01-24"), SubjectID: "D001", Count: 1},
		}},
		{"batch awaiting approval", op("payout_batch.awaiting_approval", Batch{ID: "B1", PeriodDate: "2025-01-24"}), []Change{
			{Key: key("payout_batch.awaiting_approval", "B1"), SubjectID: "B1", Order: 7, Count: 1, Params: Params{Period: "2025-01-24"}},
			{Key: key("payout_batch.paused", "B1"), SubjectID: "B1", Order: 7, Resolve: true, Params: Params{Period: "2025-01-24"}},
		}},
		{"batch paused", op("payout_batch.paused", Batch{ID: "B1", PeriodDate: "2025-01-24"}), []Change{
			{Key: key("payout_batch.awaiting_approval", "B1"), SubjectID: "B1", Order: 7, Resolve: true, Params: Params{Period: "2025-01-24"}},
			{Key: key("payout_batch.paused", "B1"), SubjectID: "B1", Order: 7, Count: 1, Params: Params{Period: "2025-01-24"}},
		}},
		{"batch resumed", op("payout_batch.resumed", Batch{ID: "B1", PeriodDate: "2025-01-24"}), []Change{
			{Key: key("payout_batch.awaiting_approval", "B1"), SubjectID: "B1", Order: 7, Resolve: true, Params: Params{Period: "2025-01-24"}},
			{Key: key("payout_batch.paused", "B1"), SubjectID: "B1", Order: 7, Resolve: true, Params: Params{Period: "2025-01-24"}},
		}},
		{"stopped is more than degraded", op("provider.stopped", Provider{Name: "orange"}), []Change{
			{Key: key("provider.degraded", "payouts/orange"), SubjectID: "orange", Order: 7, Resolve: true, Params: Params{Where: "orange"}},
			{Key: key("provider.stopped", "payouts/orange"), SubjectID: "orange", Order: 7, Count: 1, Params: Params{Where: "orange"}},
		}},
		{"float restored", op("float.restored", Float{Provider: "orange", Available: xof(9), Needed: xof(5)}), []Change{
			{Key: key("float.low", "orange"), SubjectID: "orange", Order: 7, Resolve: true, Params: Params{Where: "orange", Amount: xof(9), Needed: xof(5)}},
			{Key: key("float.insufficient", "orange"), SubjectID: "orange", Order: 7, Resolve: true, Params: Params{Where: "orange", Amount: xof(9), Needed: xof(5)}},
		}},
	} {
		if diff := cmp.Diff(c.want, Decide(c.event).Changes); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// A float that a provider has refused to draw on has words without sums; one whose balance is known tells them.
func TestWordsOfAnInsufficientFloat(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]Float{
		"float.insufficient":         {Provider: "orange", Available: money.Amount{Minor: 9, Currency: "XOF"}, Needed: money.Amount{Minor: 50, Currency: "XOF"}},
		"float.insufficient.refused": {Provider: "orange"},
	} {
		e := Event{Type: "float.insufficient", Tenant: "lebenis", Service: "payouts", Order: 7, At: at, Zone: time.UTC, Snapshot: f}
		for _, c := range Decide(e).Changes {
			a := Alert{Key: c.Key}
			a.Apply(c, at)
			if n, loud, ok := a.Message(); ok && (n.Text != want || !loud) {
				t.Errorf("got %s, want %s", n.Text, want)
			} else if ok != (c.Key.Kind == e.Type) {
				t.Errorf("%s speaks: %v", c.Key.Kind, ok)
			}
		}
	}
}

// TestStorm: ten thousand unknown outcomes of one run are five messages; the row counts them all.
func TestStorm(t *testing.T) {
	t.Parallel()
	c := Decide(payoutEvent("payout.outcome_unknown", 3, nil)).Changes[0]
	a := Alert{Key: c.Key}
	var counts []int64
	var ids []string
	for range 10_000 {
		a.Apply(c, at)
		n, loud, ok := a.Message()
		if !ok {
			t.Fatal("an open alert says nothing")
		}
		if loud {
			counts = append(counts, n.Params.Count)
			ids = append(ids, n.ID())
		} else if n.ID() != ids[len(ids)-1] {
			t.Fatal("a quiet change belongs to another row than the last loud one")
		}
	}
	if diff := cmp.Diff([]int64{1, 10, 100, 1000, 10_000}, counts); diff != "" {
		t.Errorf("told at (-want +got):\n%s", diff)
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 5 {
		t.Error("loud messages share an id")
	}
	n, _, _ := a.Message()
	want := Params{Count: 10_000, Amount: money.Amount{Minor: 240_000_000, Currency: "XOF"}}
	if diff := cmp.Diff(want, n.Params); diff != "" {
		t.Errorf("params (-want +got):\n%s", diff)
	}
}

func TestAlertLife(t *testing.T) {
	t.Parallel()
	up := Decide(payoutEvent("payout.outcome_unknown", 3, nil)).Changes[0]
	down := Decide(payoutEvent("payout.succeeded", 4, func(p *Payout) { p.PreviousState = "unknown" })).Changes[0]
	a := Alert{Key: up.Key}

	a.Apply(up, at)
	first, loud, ok := a.Message()
	if !loud || !ok || first.Resolved {
		t.Fatalf("first: loud %v ok %v resolved %v", loud, ok, first.Resolved)
	}
	a.Apply(down, at)
	last, loud, ok := a.Message()
	if loud || !ok || !last.Resolved || last.ID() != first.ID() {
		t.Fatalf("closing must quietly resolve the same row: loud %v ok %v resolved %v", loud, ok, last.Resolved)
	}
	a.Apply(up, at.Add(24*time.Hour))
	again, loud, _ := a.Message()
	if loud || again.Resolved || again.ID() != first.ID() {
		t.Error("the second payout of one run in doubt must be the same alert, open again")
	}
}

// TestFlapping: payouts that go in and out of doubt one after another never have two open, but are no storm either.
func TestFlapping(t *testing.T) {
	t.Parallel()
	up := Decide(payoutEvent("payout.outcome_unknown", 3, nil)).Changes[0]
	down := Decide(payoutEvent("payout.succeeded", 4, func(p *Payout) { p.PreviousState = "unknown" })).Changes[0]
	a := Alert{Key: up.Key}
	louds := 0
	for i := range 1000 {
		for _, c := range []Change{up, down} {
			a.Apply(c, at.Add(time.Duration(i)*time.Minute))
			if _, loud, _ := a.Message(); loud {
				louds++
			}
		}
	}
	if louds != 4 {
		t.Errorf("told %d times, want 4: at 1, 10, 100, 1000", louds)
	}
}

// TestStateComesBack: a connector that stops again within the hour is the same trouble, a day later it is news.
func TestStateComesBack(t *testing.T) {
	t.Parallel()
	key := Key{Tenant: "lebenis", Kind: "provider.stopped", Scope: "payouts/orange"}
	a := Alert{Key: key}
	var got []bool
	for i, after := range []time.Duration{0, 5 * time.Minute, 26 * time.Hour} {
		a.Apply(Change{Key: key, Order: int64(2*i + 1), Count: 1}, at.Add(after))
		_, loud, _ := a.Message()
		got = append(got, loud)
		a.Apply(Change{Key: key, Order: int64(2*i + 2), Resolve: true}, at.Add(after+time.Second))
		if n, _, _ := a.Message(); !n.Resolved {
			t.Error("recovered, but not resolved")
		}
	}
	if diff := cmp.Diff([]bool{true, false, true}, got); diff != "" {
		t.Errorf("loud (-want +got):\n%s", diff)
	}
}

// TestLeftBeforeEntered: events of one payout may arrive in the wrong order.
func TestLeftBeforeEntered(t *testing.T) {
	t.Parallel()
	up := Decide(payoutEvent("payout.outcome_unknown", 3, nil)).Changes[0]
	down := Decide(payoutEvent("payout.succeeded", 4, func(p *Payout) { p.PreviousState = "unknown" })).Changes[0]
	a := Alert{Key: up.Key}
	for _, c := range []Change{down, up} {
		a.Apply(c, at)
		if _, loud, ok := a.Message(); loud || ok {
			t.Error("a payout that is known again raised an alert")
		}
	}
	if a.Open != 0 || a.Amount.Minor != 0 {
		t.Errorf("open %d, amount %d left over", a.Open, a.Amount.Minor)
	}
}

// TestStaleState: what an aggregate said before its newest event changes nothing.
func TestStaleState(t *testing.T) {
	t.Parallel()
	key := Key{Tenant: "lebenis", Kind: "provider.stopped", Scope: "payouts/orange"}
	a := Alert{Key: key}
	if !a.Apply(Change{Key: key, Order: 5, Resolve: true}, at) {
		t.Fatal("recovered did not count")
	}
	if a.Apply(Change{Key: key, Order: 4, Count: 1}, at) {
		t.Error("an older event counted")
	}
	if _, _, ok := a.Message(); ok {
		t.Error("a connector that works raised an alert")
	}
	if !a.Apply(Change{Key: key, Order: 1<<40 + 1, Count: 1}, at) {
		t.Error("an event after a restore, with a lower version but a higher epoch, was ignored")
	}
}

// TestAlertOrderProperty: whatever the order of arrival, once all events are in, the alert holds what is really open.
func TestAlertOrderProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		entered := rapid.IntRange(0, 60).Draw(t, "entered")
		left := rapid.IntRange(0, entered).Draw(t, "left")
		var changes []Change
		for i := range entered {
			c := Change{Count: 1, Amount: money.Amount{Minor: int64(i + 1), Currency: "XOF"}}
			changes = append(changes, c)
			if i < left {
				c.Count, c.Amount.Minor = -1, -c.Amount.Minor
				changes = append(changes, c)
			}
		}
		var a Alert
		loud := 0
		for _, c := range rapid.Permutation(changes).Draw(t, "order") {
			a.Apply(c, at)
			if _, l, _ := a.Message(); l {
				loud++
			}
		}
		var sum int64
		for i := left; i < entered; i++ {
			sum += int64(i + 1)
		}
		if a.Open != int64(entered-left) || a.Amount.Minor != sum {
			t.Fatalf("open %d worth %d, want %d worth %d", a.Open, a.Amount.Minor, entered-left, sum)
		}
		if a.Open > 0 && loud == 0 {
			t.Fatal("an open alert was never told")
		}
	})
}

// TestEveryTextHasAKind: what can be decided can be said. A text that nothing leads to would be dead words.
func TestEveryTextHasAKind(t *testing.T) {
	t.Parallel()
	keys := make([]string, 0, len(texts))
	for _, text := range Texts() {
		keys = append(keys, text.Key)
		if !slices.IsSorted(text.Params) {
			t.Errorf("%s: parameters must be sorted", text.Key)
		}
	}
	if !slices.IsSorted(keys) {
		t.Error("texts must be sorted")
	}
	var said []string
	for _, e := range everyEvent() {
		d := Decide(e)
		for _, n := range d.Notices {
			said = append(said, n.Text)
		}
		for _, c := range d.Changes {
			said = append(said, string(c.Key.Kind), (&Alert{Key: c.Key, params: c.Params}).text())
		}
	}
	slices.Sort(said)
	if diff := cmp.Diff(keys, slices.Compact(said), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("texts (-declared +said):\n%s", diff)
	}
}

// everyEvent is one event of every heard type, failures in each of their words.
func everyEvent() []Event {
	snapshots := map[string]Snapshot{
		"event": DeadLetter{}, "float": Float{}, "payee": Payee{}, "payout": Payout{}, "payout_batch": Batch{},
		"provider": Provider{}, "recon": Recon{}, "run": Run{}, "tick": Tick{},
		"card": Card{}, "charge": Charge{}, "hold_digest": Digest{}, "recurrence": Recurrence{Code: codeCardInvalid},
	}
	var all []Event
	for _, ty := range HeardTypes() {
		all = append(all, Event{Type: ty, At: at, Zone: time.UTC, Snapshot: snapshots[ty.Aggregate()]})
	}
	return append(all,
		payoutEvent("payout.failed", 1, func(p *Payout) { p.RetryAt = at }),
		payoutEvent("payout.failed", 1, func(p *Payout) { p.Scope = "payee" }),
		payoutEvent("payout.held", 1, func(p *Payout) { p.Code = "approval_expired" }),
		chargeEvent("charge.failed", 1, func(c *Charge) { c.RetryOn = "2025-10-31" }),
		chargeEvent("charge.failed", 1, func(c *Charge) { c.Scope = "card" }),
		chargeEvent("charge.disputed", 1, func(c *Charge) { c.Code = codeDisputeOpened }),
		chargeEvent("charge.disputed", 1, func(c *Charge) { c.Code = codeDisputeLost }),
		chargeEvent("charge.disputed", 1, func(c *Charge) { c.Code = codeDisputeWon }))
}

// TestHeardExist: the list names events that the state tables really have.
func TestHeardExist(t *testing.T) {
	t.Parallel()
	known := map[event.Type]bool{}
	for _, m := range event.Machines() {
		for _, tr := range m.Transitions {
			known[tr.Event] = true
		}
	}
	for _, ty := range HeardTypes() {
		if !known[ty] {
			t.Errorf("%s is in no state table", ty)
		}
	}
	if Heard("payout.created") || Heard(event.Type(strings.Repeat("x", 3))) {
		t.Error("heard what nobody asked for")
	}
}

// Whatever ends an alert's state has to be heard, or the alert stays for ever.
func TestWhatEndsADoubtIsHeard(t *testing.T) {
	t.Parallel()
	for _, m := range event.Machines() {
		if m.Aggregate != "charge" && m.Aggregate != "payout" {
			continue
		}
		for _, tr := range m.Transitions {
			if (tr.From == "unknown" || tr.From == "manual_review") && !Heard(tr.Event) {
				t.Errorf("%s: %s -> %s is %s, which nobody hears", m.Aggregate, tr.From, tr.To, tr.Event)
			}
		}
	}
}
