package recurrences_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/event"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/plan"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/simulator"
)

const aMember = "recurrence_id,customer_id,customer_name,seller_id,amount,currency,period,anchor_day,anchor_month,next_charge_date,card_token,card_brand,status,description\n" +
	"rec-1,cus-1,Ana,seller-1,49.90,BRL,monthly,30,,2025-10-30,tok_ok_1,visa,active,Mensalidade\n"

// TestWhatTheGatewayTakesBackComesByWebhook: the gateway notifies, every replica may be told, the state is read again, and the event,
// the charge and the books say the same. What is notified twice is booked once.
func TestWhatTheGatewayTakesBackComesByWebhook(t *testing.T) {
	t.Parallel()
	in := install(t)
	first, second := in.start(), in.start()
	c := second.as("operator")
	in.importRecurrences(c, "csv", []byte(aMember))
	if err := in.sim.SetWebhook(simulator.Webhook{
		URL: "http://" + first.HTTPAddr() + "/webhooks/recurrences/wallclub/cielo", Header: "X-Shop", Value: webhookSecret, Mode: "duplicated",
	}); err != nil {
		t.Fatal(err)
	}
	told := in.Follow("EVENTS", "agogo.evt.wallclub.recurrences.charge.>")
	in.fire(c, plan.JobChargeDue, "2025-10-30T11:00:00Z")
	charge := func() *recurrencesv1.Charge {
		l, err := c.ListCharges(in.Ctx, &recurrencesv1.ListChargesRequest{Tenant: recurrencestest.Tenant})
		if err != nil || len(l.GetItems()) != 1 {
			t.Fatalf("%v, %v", l, err)
		}
		return l.GetItems()[0]
	}
	in.Until("charged", func() bool { return charge().GetState() == "succeeded" })
	order := charge().GetAttempts()[0].GetProviderReference()
	for _, step := range []struct {
		what                           string
		do                             func() error
		refunded, disputed, chargeback int64
	}{
		{"a part is refunded", func() error { return in.sim.Refund(order, 1000) }, 1000, 0, 0},
		{"another part", func() error { return in.sim.Refund(order, 500) }, 1500, 0, 0},
		{"the rest is disputed", func() error { return in.sim.Dispute(order, 3490) }, 1500, 3490, 0},
		{"and lost", func() error { return in.sim.AcceptDispute(order) }, 1500, 3490, 3490},
	} {
		in.clock.Advance(2 * time.Minute)
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		in.Until(step.what, func() bool {
			in.clock.Advance(time.Second)
			got := charge()
			return got.GetRefunded().GetMinor() == step.refunded && got.GetDisputed().GetMinor() == step.disputed && got.GetChargedBack().GetMinor() == step.chargeback
		})
		first.verify()
	}
	want := []string{
		"due ", "submitting ", "succeeded ", "refunded partly_refunded", "refunded partly_refunded", "disputed dispute_opened", "disputed dispute_lost",
	}
	var got []string
	for i := range want {
		m := in.Next(told)
		var body eventsv1.Charge
		if err := event.Decode(m.Data(), &body); err != nil {
			t.Fatal(err)
		}
		if v := m.Headers().Get("ce-aggversion"); v != string(rune('1'+i)) {
			t.Errorf("event %d has version %s", i+1, v)
		}
		got = append(got, strings.Split(m.Subject(), ".")[5]+" "+body.GetReason().GetCode())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if c := charge(); c.GetState() != "succeeded" || c.GetVersion() != 7 || len(c.GetReversals()) != 3 {
		t.Errorf("%v", c)
	}
	b, err := in.sim.Book(simulator.Cielo)
	if err != nil || len(b.Entries) != 1 || b.Entries[0].Moved != 1 || b.Entries[0].Refunded != 1500 {
		t.Errorf("the gateway's book: %+v, %v", b, err)
	}
}
