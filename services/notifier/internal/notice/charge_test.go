package notice

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
)

func brl(n int64) money.Amount { return money.Amount{Minor: n, Currency: "BRL"} }

func chargeEvent(t event.Type, order int64, change func(*Charge)) Event {
	c := Charge{
		ID: "C1", CustomerID: "cus-1", RunID: "R1", Cycle: "2025-10-30", PreviousState: "submitting", Class: "REJECTED_FINAL",
		Amount: brl(4990), Attempt: 1,
	}
	if change != nil {
		change(&c)
	}
	return Event{Type: t, Tenant: "wallclub", Service: "recurrences", Order: order, At: at, Zone: time.UTC, Snapshot: c}
}

// TestCustomerHears: the customer hears what he can act on, once per attempt, and never of doubt.
func TestCustomerHears(t *testing.T) {
	t.Parallel()
	soft := func(on string) func(*Charge) {
		return func(c *Charge) { c.Class, c.RetryOn = "REJECTED_RETRYABLE", on }
	}
	for _, c := range []struct {
		name    string
		event   Event
		text    string // "" is silence
		retryOn string
	}{
		{"paid", chargeEvent("charge.succeeded", 3, nil), "charge.succeeded", ""},
		{"declined, tried again", chargeEvent("charge.failed", 3, soft("2025-10-31")), "charge.failed.retry", "2025-10-31"},
		{"the last decline is told by what follows it", chargeEvent("charge.failed", 3, soft("")), "", ""},
		{"retries over", chargeEvent("charge.exhausted", 4, soft("")), "charge.exhausted", ""},
		{"retries over, and no card said no", chargeEvent("charge.exhausted", 6, func(c *Charge) {
			c.PreviousState, c.Class, c.Code = "failed_soft", "REJECTED_RETRYABLE", "resolved_not_paid"
		}), "", ""},
		{"retries over without a send", chargeEvent("charge.exhausted", 6, func(c *Charge) {
			c.PreviousState, c.Class, c.Code = "failed_soft", "NOT_SENT", "proven_never_created"
		}), "", ""},
		{"retries over, and the card had said no before the last", chargeEvent("charge.exhausted", 6, func(c *Charge) {
			c.PreviousState, c.Class, c.Code = "failed_soft", "NOT_SENT", "retries_over"
		}), "charge.exhausted", ""},
		{"given up before his card was asked", chargeEvent("charge.exhausted", 2, func(c *Charge) { c.PreviousState = "due" }), "", ""},
		{"a hard decline", chargeEvent("charge.failed", 3, nil), "charge.failed", ""},
		{"a card of no use", chargeEvent("charge.failed", 3, func(c *Charge) { c.Scope = "card" }), "charge.failed.card", ""},
		{"the customer must act", chargeEvent("charge.requires_action", 3, nil), "charge.requires_action", ""},
		{"never sent is no failure of his", chargeEvent("charge.failed", 3, func(c *Charge) { c.Class, c.RetryOn = "NOT_SENT", "2025-10-31" }), "", ""},
		{"nor is what the gateway refuses for our own sake", chargeEvent("charge.failed", 3, func(c *Charge) { c.Scope = "provider" }), "", ""},
		{"nor is what another card may have said", chargeEvent("charge.failed", 3, func(c *Charge) { c.Class, c.Code, c.RetryOn = "REJECTED_RETRYABLE", "either_card", "2025-10-31" }), "", ""},
		{"nor is what two people found not to be charged", chargeEvent("charge.failed", 5, func(c *Charge) {
			c.PreviousState, c.Class, c.Code, c.RetryOn = "manual_review", "REJECTED_RETRYABLE", "resolved_not_paid", "2025-11-05"
		}), "", ""},
		{"doubt", chargeEvent("charge.outcome_unknown", 3, nil), "", ""},
		{"not heard", chargeEvent("charge.due", 1, nil), "", ""},
	} {
		var want []Notice
		if c.text != "" {
			want = []Notice{{
				Tenant: "wallclub", Recipient: Recipient{Kind: ToCustomer, ID: "cus-1"}, Kind: c.event.Type, Text: c.text,
				SubjectID: "C1", Order: c.event.Order, Cause: "C1/" + string(c.event.Type) + "/1",
				Params: Params{Amount: brl(4990), Period: "2025-10-30", RetryOn: c.retryOn},
			}}
		}
		if diff := cmp.Diff(want, Decide(c.event).Notices); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestChargeAlerts: doubt about charges is counted per run, and counted out when it ends, whatever ends it.
func TestChargeAlerts(t *testing.T) {
	t.Parallel()
	key := func(kind event.Type) Key { return Key{Tenant: "wallclub", Kind: kind, Scope: "R1/BRL"} }
	from := func(state string) func(*Charge) { return func(c *Charge) { c.PreviousState = state } }
	for _, c := range []struct {
		name  string
		event Event
		want  []Change
	}{
		{"unknown", chargeEvent("charge.outcome_unknown", 3, nil), []Change{
			{Key: key("charge.outcome_unknown"), SubjectID: "R1", Count: 1, Amount: brl(4990)},
		}},
		{"found", chargeEvent("charge.succeeded", 4, from("unknown")), []Change{
			{Key: key("charge.outcome_unknown"), SubjectID: "R1", Count: -1, Amount: brl(-4990)},
		}},
		{"found under way", chargeEvent("charge.processing", 4, from("unknown")), []Change{
			{Key: key("charge.outcome_unknown"), SubjectID: "R1", Count: -1, Amount: brl(-4990)},
		}},
		{"to people", chargeEvent("charge.manual_review_opened", 4, from("unknown")), []Change{
			{Key: key("charge.outcome_unknown"), SubjectID: "R1", Count: -1, Amount: brl(-4990)},
			{Key: key("charge.manual_review_opened"), SubjectID: "R1", Count: 1, Amount: brl(4990)},
		}},
	} {
		if diff := cmp.Diff(c.want, Decide(c.event).Changes); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestTakenBack: the customer hears of each refund, the seller how a dispute goes, and operators of what is open.
func TestTakenBack(t *testing.T) {
	t.Parallel()
	told := func(kind event.Type, order int64, code string, reversal, refunded int64) Decision {
		return Decide(chargeEvent(kind, order, func(c *Charge) {
			c.PreviousState, c.SellerID, c.Code, c.Reversal, c.Refunded = "succeeded", "seller-1", code, brl(reversal), brl(refunded)
		}))
	}
	part, rest := told("charge.refunded", 4, "partly_refunded", 1000, 1000), told("charge.refunded", 5, "refunded", 3990, 4990)
	want := []Notice{{
		Tenant: "wallclub", Recipient: Recipient{Kind: ToCustomer, ID: "cus-1"}, Kind: "charge.refunded", Text: "charge.refunded", SubjectID: "C1", Order: 4,
		Cause: "C1/charge.refunded/1000", Params: Params{Amount: brl(1000), Period: "2025-10-30"},
	}}
	if diff := cmp.Diff(Decision{Notices: want}, part); diff != "" {
		t.Errorf("a part (-want +got):\n%s", diff)
	}
	if len(rest.Notices) != 1 || rest.Notices[0].ID() == part.Notices[0].ID() || rest.Notices[0].Params.Amount != brl(3990) {
		t.Errorf("the rest: %+v", rest)
	}
	ids := map[string]bool{}
	for i, code := range []string{"dispute_opened", "dispute_lost", "dispute_opened", "dispute_won"} {
		count := int64(-1)
		if code == "dispute_opened" {
			count = 1
		}
		got := told("charge.disputed", int64(6+i), code, 500, 0)
		change := Change{Key: Key{Tenant: "wallclub", Kind: "charge.disputed", Scope: "R1/BRL"}, SubjectID: "R1", Count: count, Amount: brl(500 * count)}
		if diff := cmp.Diff([]Change{change}, got.Changes); diff != "" {
			t.Errorf("%s (-want +got):\n%s", code, diff)
		}
		n := got.Notices[0]
		if len(got.Notices) != 1 || n.Recipient != (Recipient{Kind: ToSeller, ID: "seller-1"}) || n.Text != "charge."+code || n.Params.Amount != brl(500) {
			t.Errorf("%s: %+v", code, got.Notices)
		}
		ids[n.ID()] = true
	}
	if len(ids) != 4 {
		t.Errorf("%d messages of four", len(ids))
	}
}

// TestCardTakenOutOfUse: its owner hears of it once, however many recurrences it carried; one whose own charge told him
// already hears nothing more.
func TestCardTakenOutOfUse(t *testing.T) {
	t.Parallel()
	held := func(id, code string) Event {
		return Event{
			Type: "recurrence.held", Tenant: "wallclub", Service: "recurrences", Order: 5, At: at, Zone: time.UTC,
			Snapshot: Recurrence{ID: id, CustomerID: "cus-1", CardID: "card-1", Code: code, Amount: brl(4990)},
		}
	}
	first, second := Decide(held("rec-1", "card_invalid")).Notices, Decide(held("rec-2", "card_invalid")).Notices
	if len(first) != 1 || len(second) != 1 || first[0].ID() != second[0].ID() {
		t.Errorf("two recurrences of one card are two messages: %+v %+v", first, second)
	}
	for _, code := range []string{"hard_decline", "retries_over", "by_person"} {
		if got := Decide(held("rec-3", code)).Notices; len(got) != 0 {
			t.Errorf("%s: told again: %+v", code, got)
		}
	}
}

// TestSellerDigest: one message per seller and day, and the same one when the digest is told again.
func TestSellerDigest(t *testing.T) {
	t.Parallel()
	e := Event{
		Type: "hold_digest.created", Tenant: "wallclub", Service: "recurrences", Order: 1, At: at, Zone: time.UTC,
		Snapshot: Digest{ID: "H1", SellerID: "seller-1", LocalDate: "2025-10-30", Count: 4, Total: brl(32870)},
	}
	want := []Notice{{
		Tenant: "wallclub", Recipient: Recipient{Kind: ToSeller, ID: "seller-1"}, Kind: "hold_digest.created", Text: "hold_digest.created",
		SubjectID: "H1", Order: 1, Cause: "H1", Params: Params{Amount: brl(32870), Count: 4, Period: "2025-10-30"},
	}}
	if diff := cmp.Diff(want, Decide(e).Notices); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
