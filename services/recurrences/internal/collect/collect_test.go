package collect_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// plan makes the morning's charges without sending them, and returns the run.
func plan(t *testing.T, e *recurrencestest.Env, date string) uuid.UUID {
	t.Helper()
	send := e.Exec.Dispatch
	e.Exec.Dispatch = func(context.Context, uuid.UUID, int) error { return nil }
	defer func() { e.Exec.Dispatch = send }()
	return e.Morning(date)
}

func TestManyLanesSendEachChargeOnce(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	const n = 60
	for i := range n {
		token := recurrencestest.OK
		if i%3 == 0 {
			token = recurrencestest.TimeoutPaid
		}
		e.Agree(fmt.Sprintf("rec-%02d", i), "2025-10-30", fmt.Sprintf("%s_%d", token, i))
	}
	run := plan(t, e, "2025-10-30")
	var all sync.WaitGroup
	for _, s := range []*recurrencestest.Sender{e.Sender, e.Replica(), e.Replica()} {
		for range 2 {
			all.Go(func() {
				if err := s.Dispatch(e.Ctx(), run, 0); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	seen := map[string]int{}
	for _, s := range e.Gateway.Sends() {
		seen[s.Reference]++
	}
	if len(seen) != n {
		t.Errorf("%d charges of %d were sent", len(seen), n)
	}
	for ref, times := range seen {
		if times != 1 {
			t.Errorf("%s was sent %d times", ref, times)
		}
	}
	e.LookUp(2 * time.Second)
	e.CheckEvents()
	e.CheckBooks()
}

// Promise 6: while one charge of a recurrence is under way or in doubt, no other is sent, whoever wants it.
func TestTwoChargesOfARecurrenceAreNeverUnderWayAtOnce(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.Soft)
	e.Morning("2025-10-30") // the first is declined
	e.Gateway.Say(recurrencestest.Soft, recurrencestest.TimeoutPaid)
	run := plan(t, e, "2025-12-01") // the second is due
	first, second := e.Charge("rec-1", "2025-10-30"), e.Charge("rec-1", "2025-11-30")
	e.InTx(func(tx pgx.Tx) error { // and somebody has both sent at the same moment
		_, err := e.Store.WantSent(e.Ctx(), tx, store.Send{Run: run, Date: recurrencestest.On("2025-12-01"), Cause: store.ByPerson}, first.ID, second.ID)
		return err
	})
	var all sync.WaitGroup
	for _, s := range []*recurrencestest.Sender{e.Sender, e.Replica(), e.Replica()} {
		all.Go(func() {
			if err := s.Dispatch(e.Ctx(), run, 0); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	e.Sweep()
	if n := len(e.Gateway.Sends()); n != 2 { // the decline, and one of the two
		t.Fatalf("%d sends", n)
	}
	if n := e.Count("SELECT count(*) FROM runs WHERE run_id = $1 AND state = 'completed'", run); n != 1 {
		t.Error("the run waits for a doubt")
	}
	e.CheckBooks()
	e.LookUp(2 * time.Second) // the doubt is over, and the other one goes by itself
	e.LookUp(2 * time.Second)
	if n := len(e.Gateway.Sends()); n != 3 {
		t.Errorf("%d sends after the lookup", n)
	}
	e.CheckEvents()
	e.CheckBooks()
}

func TestTheDatabaseRefusesASecondChargeUnderWay(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.Soft)
	e.Morning("2025-10-30")
	e.Gateway.Say(recurrencestest.Soft, recurrencestest.TimeoutPaid)
	e.Morning("2025-12-01")
	_, err := e.Pool.Exec(t.Context(), "UPDATE charges SET state = 'submitting' WHERE charge_id = $1", e.Charge("rec-1", "2025-10-30").ID)
	if err == nil {
		t.Error("a charge went under way beside one that is unknown")
	}
}

func TestWhatIsNotWantedAnyMoreIsNotSent(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]struct {
		sql    string
		want   recurrence.State
		charge charge.State
	}{
		"paused":           {"UPDATE recurrences SET state = 'paused'", recurrence.Paused, charge.Due},
		"on hold":          {"UPDATE recurrences SET state = 'hold'", recurrence.Hold, charge.Due},
		"cancelled":        {"UPDATE recurrences SET state = 'cancelled', ended_at = now(), next_cycle = NULL, next_charge_date = NULL", recurrence.Cancelled, charge.Cancelled},
		"its card invalid": {"UPDATE cards SET state = 'invalid'", recurrence.Hold, charge.Due},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			e.Agree("rec-1", "2025-10-30", recurrencestest.OK)
			run := plan(t, e, "2025-10-30")
			e.SQL(change.sql)
			if err := e.Dispatch(e.Ctx(), run, 0); err != nil {
				t.Fatal(err)
			}
			c, r := e.Charge("rec-1", "2025-10-30"), e.Standing("rec-1")
			if c.State != change.charge || c.Send.Wanted() || len(e.Gateway.Sends()) != 0 {
				t.Errorf("charge %s, to be sent %t, %d sends", c.State, c.Send.Wanted(), len(e.Gateway.Sends()))
			}
			if r.State != change.want {
				t.Errorf("recurrence %s", r.State)
			}
			if n := e.Count("SELECT count(*) FROM runs WHERE state = 'completed'"); n != 1 {
				t.Error("the run waits for a charge that nothing sends")
			}
		})
	}
}

// A gateway that does not know us refuses everybody: nothing is counted against the cards, nothing ends, and nobody waits.
func TestAStoppedGatewayLeavesChargesDue(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	for i := range 8 {
		e.Agree(fmt.Sprintf("rec-%d", i), "2025-10-30", fmt.Sprintf("%s_%d", recurrencestest.WrongKey, i))
	}
	run := e.Morning("2025-10-30")
	if n := e.Count("SELECT count(*) FROM charges WHERE state = 'due' AND tries = 0 AND send_run IS NOT NULL"); n != 8 {
		t.Errorf("%d of 8 charges are due", n)
	}
	if n := e.Count("SELECT count(*) FROM runs WHERE run_id = $1 AND state = 'completed'", run); n != 1 {
		t.Error("the run waits for a gateway that is stopped")
	}
	for i := range 8 {
		e.Gateway.Say(fmt.Sprintf("%s_%d", recurrencestest.WrongKey, i), recurrencestest.OK)
	}
	e.InTx(func(tx pgx.Tx) error {
		_, err := e.States.Resume(e.Ctx(), tx, e.Connector.Connector, provider.Reason{Code: "repaired"})
		return err
	})
	e.Sweep()
	e.Sweep()
	if n := e.Count("SELECT count(*) FROM charges WHERE state = 'succeeded'"); n != 8 {
		t.Errorf("%d of 8 charges succeeded after the repair", n)
	}
	e.CheckEvents()
	e.CheckBooks()
}

// A refusal of us says nothing of the card, and the next try is a new one.
func TestARefusalOfUsIsNotCounted(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.Busy)
	run := e.Morning("2025-10-30")
	c := e.Charge("rec-1", "2025-10-30")
	if c.State != charge.Due || c.Tries != 0 || c.Attempt != 1 || c.NotBefore == nil || !c.NotBefore.After(e.Clock.Now()) {
		t.Errorf("charge %s, %d tries, attempt %d, not before %v", c.State, c.Tries, c.Attempt, c.NotBefore)
	}
	if k := e.Card(recurrencestest.Busy); k.Failures != 0 {
		t.Errorf("the card has %d failures", k.Failures)
	}
	if n := e.Count("SELECT count(*) FROM runs WHERE run_id = $1 AND state = 'completed'", run); n != 1 {
		t.Error("the run waits")
	}
	e.Gateway.Say(recurrencestest.Busy, recurrencestest.OK)
	e.Sweep()
	if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.Succeeded || c.Attempt != 2 || c.FirstAttempt.String() != "2025-10-30" {
		t.Errorf("charge %s, attempt %d of %s", c.State, c.Attempt, c.FirstAttempt)
	}
	e.CheckEvents()
	e.CheckBooks()
}

func TestWhatNeverLeftGoesAgainUnderItsReference(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.Down)
	tries := 0
	e.Gateway.Before = func(context.Context, provider.Transfer) {
		if tries++; tries == 3 {
			e.Gateway.Say(recurrencestest.Down, recurrencestest.OK)
		}
	}
	e.WhileTimePasses(func() { e.Morning("2025-10-30") })
	c := e.Charge("rec-1", "2025-10-30")
	if c.State != charge.Succeeded || c.Attempt != 1 || c.Tries != 0 {
		t.Fatalf("charge %s, attempt %d, %d tries", c.State, c.Attempt, c.Tries)
	}
	var refs []string
	for _, s := range e.Gateway.Sends() {
		refs = append(refs, s.Reference)
	}
	if diff := cmp.Diff([]string{c.Reference, c.Reference, c.Reference}, refs); diff != "" {
		t.Errorf("references (-want +got):\n%s", diff)
	}
	want := []string{"due", "submitting", "retry_scheduled", "submitting", "retry_scheduled", "submitting", "succeeded"}
	if diff := cmp.Diff(want, e.Told("charge", c.ID.String())); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	e.CheckEvents()
	e.CheckBooks()
}

// A card is given while the old one's send is on its way, and that never leaves: the new one is tried, for nothing else would send it any more.
func TestACardGivenWhileASendNeverLeavesIsTried(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.Down)
	var given sync.Once
	e.Gateway.Before = func(context.Context, provider.Transfer) {
		given.Do(func() {
			e.SQL("UPDATE cards SET state = 'invalid'")
			e.SQL("UPDATE recurrences SET state = 'hold', reason_code = 'card_invalid'")
			e.InTx(func(tx pgx.Tx) error {
				return e.Resolver.SetCard(e.Ctx(), tx, recurrencestest.Tenant, "rec-1", recurrencestest.OK, "visa")
			})
		})
	}
	e.WhileTimePasses(func() {
		e.Morning("2025-10-30")
		e.Sweep()
	})
	if c, r := e.Charge("rec-1", "2025-10-30"), e.Standing("rec-1"); c.State != charge.Succeeded || r.State != recurrence.Active {
		t.Errorf("charge %s, to be sent %t, recurrence %s", c.State, c.Send.Wanted(), r.State)
	}
	e.CheckBooks()
}

// Mastercard: 7 declines per card in 24 hours, whatever it is charged for.
func TestANetworksBudgetOfACardIsKept(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Rules().CardFailureLimit = 0
	e.Brand = "mastercard"
	const n = 10
	for i := range n {
		e.Agree(fmt.Sprintf("rec-%d", i), "2025-10-30", recurrencestest.Soft)
	}
	run := e.Morning("2025-10-30")
	for range 3 {
		e.Sweep()
	}
	if sends := len(e.Gateway.Sends()); sends != 7 {
		t.Errorf("%d sends to one card in a day", sends)
	}
	if got := e.Count("SELECT count(*) FROM charges WHERE state = 'due' AND not_before > $1", e.Clock.Now().Add(20*time.Hour)); got != n-7 {
		t.Errorf("%d charges rest until the card may be asked again", got)
	}
	if got := e.Count("SELECT count(*) FROM runs WHERE run_id = $1 AND state = 'completed'", run); got != 1 {
		t.Error("the run waits for them")
	}
	e.Clock.Advance(25 * time.Hour)
	e.Sweep()
	if sends := len(e.Gateway.Sends()); sends != n {
		t.Errorf("%d sends a day later", sends)
	}
	e.CheckEvents()
}

func TestAGatewayThatIsGoneKeepsNoRunWaiting(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Rules().DefaultGateway = "other"
	e.Agree("rec-1", "2025-10-30", recurrencestest.OK)
	run := e.Morning("2025-10-30")
	if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.Due || !c.Send.Wanted() || c.NotBefore == nil {
		t.Errorf("charge %s, to be sent %t, not before %v", c.State, c.Send.Wanted(), c.NotBefore)
	}
	if got := e.Count("SELECT count(*) FROM runs WHERE run_id = $1 AND state = 'completed'", run); got != 1 {
		t.Error("the run waits for it")
	}
}

func TestALostCommandIsFoundBySweeping(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.OK)
	plan(t, e, "2025-10-30")
	e.Sweep()
	if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.Succeeded {
		t.Errorf("charge %s", c.State)
	}
	e.CheckEvents()
	e.CheckBooks()
}
