package resolve_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/services/recurrences/internal/resolve"
)

// slow is a gateway that denied the charge of a morning while its reading side was blind, and what it knows of it since.
func slow(t *testing.T, token string) *recurrencestest.Env {
	t.Helper()
	e := recurrencestest.New(t)
	e.Connector.Policy.Deduplicates = true
	e.Gateway.Remembers, e.Gateway.Now, e.Gateway.Blind = 24*time.Hour, e.Clock.Now, true
	e.Agree("rec-1", "2025-10-30", token)
	e.Morning("2025-10-30")
	for range 6 {
		e.LookUp(10 * time.Second)
	}
	e.Gateway.Blind = false
	if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.FailedSoft || c.Reason.Code != attempt.CodeNeverCreated {
		t.Fatalf("not denied: %s/%s", c.State, c.Reason.Code)
	}
	return e
}

// cancel is the command of a person: what it was refused for is asked about in a transaction of its own.
func cancel(t *testing.T, e *recurrencestest.Env) (refused, asked bool) {
	t.Helper()
	id := charge.ID(tenant, "rec-1", "2025-10-30")
	if err := e.Decide(func(ctx context.Context, tx pgx.Tx) error { return cancelOne(e.Resolver, ctx, tx, id) }); err == nil {
		return false, false
	}
	err := e.Decide(func(ctx context.Context, tx pgx.Tx) (err error) {
		asked, err = e.Resolver.AskAnew(ctx, tx, tenant, id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return true, asked
}

func answers(t *testing.T, e *recurrencestest.Env) {
	t.Helper()
	for range 4 {
		e.Clock.Advance(10 * time.Second)
		if err := e.Prechecks.Pass(e.Ctx()); err != nil {
			t.Fatal(err)
		}
		e.LookUp(0)
	}
}

// A gateway's denial is believed for an hour, also when a charge is cancelled. Later the command is refused, has the gateway asked, and works
// when it was denied anew; what was charged meanwhile is found.
func TestACancelledChargeIsDeniedWithinTheHour(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		token string
		waits time.Duration
		asked bool
		then  charge.State // when it was asked
		want  charge.State // after the same command again
	}{
		"within the hour":                {recurrencestest.TimeoutGone, 50 * time.Minute, false, charge.Cancelled, charge.Cancelled},
		"later":                          {recurrencestest.TimeoutGone, 3 * time.Hour, true, charge.FailedSoft, charge.Cancelled},
		"later, and it was charged":      {recurrencestest.TimeoutPaid, 3 * time.Hour, true, charge.Succeeded, charge.Succeeded},
		"when the key may be forgotten":  {recurrencestest.TimeoutGone, 25 * time.Hour, true, charge.ManualReview, charge.ManualReview},
		"later, and the card said no":    {recurrencestest.TimeoutSoft, 3 * time.Hour, true, charge.FailedSoft, charge.Cancelled},
		"a day later, and it was paid":   {recurrencestest.TimeoutPaid, 30 * time.Hour, true, charge.Succeeded, charge.Succeeded},
		"a day later, the card said no ": {recurrencestest.TimeoutSoft, 30 * time.Hour, true, charge.FailedSoft, charge.Cancelled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := slow(t, c.token)
			e.Clock.Advance(c.waits)
			refused, asked := cancel(t, e)
			if refused != c.asked || asked != c.asked {
				t.Errorf("refused %t, asked %t; want %t", refused, asked, c.asked)
			}
			if asked {
				if again, anew := cancel(t, e); !again || anew {
					t.Errorf("while it is asked: refused %t, asked %t", again, anew)
				}
			}
			answers(t, e)
			if got := e.Charge("rec-1", "2025-10-30"); got.State != c.then {
				t.Errorf("when it was asked it is %s (%s), want %s", got.State, got.Reason.Code, c.then)
			}
			cancel(t, e)
			if got := e.Charge("rec-1", "2025-10-30"); got.State != c.want || len(e.Gateway.Sends()) != 1 {
				t.Errorf("in the end %s after %d sends, want %s", got.State, len(e.Gateway.Sends()), c.want)
			}
			e.CheckEvents()
			e.CheckBooks()
		})
	}
}

// After a restore a charge is only cancelled on the word of its gateway that nothing was sent before, given within the hour. What was is taken over.
func TestACancelledChargeWasNotSentBeforeTheRestore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sent bool // before the restore
		late bool // the second command comes when the word is too old
		want charge.State
	}{
		"not sent":                    {false, false, charge.Cancelled},
		"not sent, word of two hours": {false, true, charge.Cancelled},
		"sent and paid":               {true, false, charge.Succeeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			e.Agree("rec-1", "2025-10-30", recurrencestest.OK)
			send := e.Exec.Dispatch
			e.Exec.Dispatch = func(context.Context, uuid.UUID, int) error { return nil }
			run := e.Morning("2025-10-30")
			restore := pgtest.Backup(t, e.Pool)
			if e.Exec.Dispatch = send; c.sent {
				if err := e.Dispatch(e.Ctx(), run, 0); err != nil {
					t.Fatal(err)
				}
			}
			restore()
			e.SQL("INSERT INTO restore_marks VALUES (1, $1, NULL, '2025-11-01', 'test', 'user:test')", e.Clock.Now())
			must(t, e, pause) // nothing sends it
			sends := len(e.Gateway.Sends())
			if refused, asked := cancel(t, e); !refused || !asked {
				t.Fatalf("refused %t, asked %t", refused, asked)
			}
			answers(t, e)
			if c.late {
				e.Clock.Advance(2 * time.Hour)
				if refused, asked := cancel(t, e); !refused || !asked {
					t.Errorf("on a word of two hours ago: refused %t, asked %t", refused, asked)
				}
				answers(t, e)
			}
			cancel(t, e)
			answers(t, e)
			if got := e.Charge("rec-1", "2025-10-30"); got.State != c.want || len(e.Gateway.Sends()) != sends {
				t.Errorf("%s (%s) after %d more sends, want %s", got.State, got.Reason.Code, len(e.Gateway.Sends())-sends, c.want)
			}
			e.CheckEvents()
			e.CheckBooks()
		})
	}
}

// A recurrence ends at once. What of it was denied too long ago is asked about, and ends with the answer; what was not sent ends with it.
func TestWhatIsLeftOfACancelledRecurrence(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]charge.State{recurrencestest.TimeoutGone: charge.Cancelled, recurrencestest.TimeoutPaid: charge.Succeeded} {
		for waits, asked := range map[time.Duration]bool{30 * time.Minute: false, 3 * time.Hour: true} {
			t.Run(token+" "+waits.String(), func(t *testing.T) {
				t.Parallel()
				e := slow(t, token)
				e.Clock.Advance(waits)
				must(t, e, cancelAll)
				if r := e.Standing("rec-1"); r.State != recurrence.Cancelled {
					t.Errorf("recurrence %s", r.State)
				}
				then, end := charge.Cancelled, charge.Cancelled // within the hour the gateway is believed
				if asked {
					then, end = charge.Unknown, want
				}
				if got := e.Charge("rec-1", "2025-10-30"); got.State != then {
					t.Errorf("at once %s, want %s", got.State, then)
				}
				answers(t, e)
				if got := e.Charge("rec-1", "2025-10-30"); got.State != end || len(e.Gateway.Sends()) != 1 {
					t.Errorf("in the end %s after %d sends, want %s", got.State, len(e.Gateway.Sends()), end)
				}
				e.CheckEvents()
			})
		}
	}
}

// While another charge of the recurrence is in doubt this one cannot be so too: it is asked about when that is over.
func TestAskingWaitsForAnotherDoubt(t *testing.T) {
	t.Parallel()
	e := slow(t, recurrencestest.TimeoutGone)
	e.Gateway.Say(recurrencestest.TimeoutGone, recurrencestest.Pending)
	e.Clock.Advance(3 * time.Hour)
	e.SQL("UPDATE recurrences SET next_cycle = '2025-10-31', next_charge_date = '2025-10-31'")
	e.Morning("2025-10-31")
	other := e.Charge("rec-1", "2025-10-31")
	if other.State != charge.Processing {
		t.Fatalf("the other is %s", other.State)
	}
	if refused, asked := cancel(t, e); !refused || asked {
		t.Errorf("refused %t, asked %t", refused, asked)
	}
	if got := e.Charge("rec-1", "2025-10-30"); got.State != charge.FailedSoft {
		t.Errorf("it is %s", got.State)
	}
}

// Who may not cancel what was denied too long ago is told what keeps its gateway from being asked, and the command works when that is done.
func TestTheHintOfADenialLeadsOut(t *testing.T) {
	t.Parallel()
	first, second := charge.ID(tenant, "rec-1", "2025-10-30"), charge.ID(tenant, "rec-1", "2025-10-31")
	for name, c := range map[string]struct {
		keeps, follow func(e *recurrencestest.Env)
		hint          string
		want          charge.State
	}{
		"nothing keeps it": {
			func(*recurrencestest.Env) {},
			func(*recurrencestest.Env) {},
			"is being asked anew: give the command again when agogo charges get " + first.String(), charge.Cancelled,
		},
		"another charge is in doubt": {
			func(e *recurrencestest.Env) {
				e.Gateway.Say(recurrencestest.TimeoutGone, recurrencestest.Pending)
				e.SQL("UPDATE recurrences SET next_cycle = '2025-10-31', next_charge_date = '2025-10-31'")
				e.Morning("2025-10-31")
			},
			func(e *recurrencestest.Env) {
				e.Gateway.Finish(charge.Reference(second, 1), provider.Result{Class: provider.Succeeded})
				e.LookUp(time.Minute)
			},
			"give the command again when agogo charges get " + second.String(), charge.ManualReview, // it is a day old
		},
		"its gateway is gone": {
			func(e *recurrencestest.Env) { e.Outcomes.Connectors = &connector.Set{} },
			func(e *recurrencestest.Env) { e.Outcomes.Connectors = e.Connectors },
			"put gateway cielo back into the tenants file and give the command again", charge.Cancelled,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := slow(t, recurrencestest.TimeoutGone)
			e.Clock.Advance(3 * time.Hour)
			c.keeps(e)
			err := e.Decide(func(ctx context.Context, tx pgx.Tx) error { return cancelOne(e.Resolver, ctx, tx, first) })
			if says := fmt.Sprint(status.Convert(err).Details()); !strings.Contains(says, "denied_once") || !strings.Contains(says, c.hint) {
				t.Errorf("refused with %v %s, want %q", err, says, c.hint)
			}
			c.follow(e)
			if refused, asked := cancel(t, e); !refused || !asked {
				t.Errorf("the command again: refused %t, asked %t", refused, asked)
			}
			answers(t, e)
			cancel(t, e)
			if got := e.Charge("rec-1", "2025-10-30"); got.State != c.want {
				t.Errorf("in the end %s (%s), want %s", got.State, got.Reason.Code, c.want)
			}
			e.CheckEvents()
			e.CheckBooks()
		})
	}
}

// A gateway that was blind when it was asked about the restore, and then speaks of the charge, is asked anew before anybody cancels it.
func TestAWebhookEndsWhatWasSaidOfAChargeSinceTheRestore(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.OK)
	send := e.Exec.Dispatch
	e.Exec.Dispatch = func(context.Context, uuid.UUID, int) error { return nil }
	run := e.Morning("2025-10-30")
	restore := pgtest.Backup(t, e.Pool)
	e.Exec.Dispatch = send
	if err := e.Dispatch(e.Ctx(), run, 0); err != nil {
		t.Fatal(err)
	}
	restore()
	e.SQL("INSERT INTO restore_marks VALUES (1, $1, NULL, '2025-11-01', 'test', 'user:test')", e.Clock.Now())
	must(t, e, pause)
	e.Gateway.Blind = true
	cancel(t, e)
	answers(t, e)
	if n := e.Count("SELECT count(*) FROM prechecks WHERE state = 'absent'"); n != 1 {
		t.Fatalf("%d absent", n)
	}
	e.Webhook(charge.Reference(charge.ID(tenant, "rec-1", "2025-10-30"), 1))
	e.Gateway.Blind = false
	if refused, _ := cancel(t, e); !refused {
		t.Error("cancelled on what the gateway said before its webhook")
	}
	answers(t, e)
	cancel(t, e)
	answers(t, e)
	if got := e.Charge("rec-1", "2025-10-30"); got.State != charge.Succeeded || len(e.Gateway.Sends()) != 1 {
		t.Errorf("%s (%s) after %d sends", got.State, got.Reason.Code, len(e.Gateway.Sends()))
	}
	e.CheckEvents()
	e.CheckBooks()
}

// One charge of a recurrence is in doubt at a time, and one that is being asked about cannot be put in doubt: what is left open for that when the
// recurrence is cancelled is asked about later, and ends with its answer, too.
func TestAllThatIsLeftOfACancelledRecurrenceEnds(t *testing.T) {
	t.Parallel()
	days := []string{"2025-10-30", "2025-10-31"}
	for name, c := range map[string]struct {
		token string
		asked bool // the older one is being looked up when the recurrence is cancelled
		words bool // the older one is a day old, so that people have to say what became of it, and the other one waits for that
		want  charge.State
	}{
		"two denied":                      {recurrencestest.TimeoutGone, false, true, charge.Cancelled},
		"two denied that were charged":    {recurrencestest.TimeoutPaid, false, false, charge.Succeeded},
		"denied, and one being looked up": {recurrencestest.TimeoutGone, true, false, charge.Cancelled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := slow(t, c.token)
			e.Gateway.Blind = true
			e.SQL("UPDATE recurrences SET next_cycle = '2025-10-31', next_charge_date = '2025-10-31'")
			e.Morning(days[1])
			for range 6 {
				e.LookUp(10 * time.Second)
			}
			e.Gateway.Blind = false
			for _, day := range days {
				if got := e.Charge("rec-1", day); got.State != charge.FailedSoft || got.Reason.Code != attempt.CodeNeverCreated {
					t.Fatalf("that of %s is not denied: %s/%s", day, got.State, got.Reason.Code)
				}
			}
			e.Clock.Advance(3 * time.Hour)
			if c.asked {
				e.Webhook(charge.Reference(charge.ID(tenant, "rec-1", days[0]), 1))
			}
			must(t, e, cancelAll)
			for range days {
				answers(t, e)
				e.Sweep()
			}
			answers(t, e)
			if c.words {
				id := charge.ID(tenant, "rec-1", days[0])
				res := resolve.Resolution{Outcome: resolve.NotPaid, Evidence: "looked"}
				mustSay(t, e, "ada", id, res, false)
				answers(t, e)
				mustSay(t, e, "bob", id, res, true)
				e.Sweep()
				answers(t, e)
			}
			for _, day := range days {
				if got := e.Charge("rec-1", day); got.State != c.want {
					t.Errorf("that of %s is %s (%s), want %s", day, got.State, got.Reason.Code, c.want)
				}
			}
			if n := len(e.Gateway.Sends()); n != len(days) {
				t.Errorf("%d sends", n)
			}
			e.Sweep()
			if n := e.Count("SELECT count(*) FROM endings"); n != 0 {
				t.Errorf("%d are still to be ended", n)
			}
			e.CheckEvents()
			e.CheckBooks()
		})
	}
}
