package recipient_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
)

// limited answers like a wallet with a limit, and keeps what it was asked about. While silent is set there is no answer.
type limited struct {
	limit  int64
	any    bool // it says nothing of amounts
	silent bool
	asked  []int64
}

func (l *limited) VerifyRecipient(_ context.Context, _, _ string, a money.Amount) (provider.Recipient, error) {
	l.asked = append(l.asked, a.Minor)
	if l.silent {
		return provider.Recipient{}, errors.New("no answer")
	}
	r := provider.Recipient{Receives: l.any || a.Minor <= l.limit, Name: provider.NameMatches, OfAmount: !l.any}
	if !r.Receives {
		r.Code = "limit_exceeded"
	}
	return r, nil
}

// want are the questions since the last look.
func (l *limited) want(t *testing.T, amounts ...int64) {
	t.Helper()
	if diff := cmp.Diff(amounts, l.asked); diff != "" {
		t.Fatalf("asked about (-want +got):\n%s", diff)
	}
	l.asked = nil
}

// earns plans an evening's payout of an amount, which is what is left of four fifths' more, to the first payee.
func (d *desk) earns(evening time.Time, net int64) uuid.UUID {
	d.t.Helper()
	d.Exec.Dispatch = func(context.Context, uuid.UUID, int) error { return nil }
	day := evening.Format(time.DateOnly)
	_, refused := d.Import(payoutstest.Header + fmt.Sprintf("on-%s,%s,Mariam Bamba,%s,%d,XOF,orange_money,completed,%sT12:00:00Z,\n", day, sending.Payee(1), sending.Phone(1), net*5/4, day))
	if len(refused) > 0 {
		d.t.Fatalf("refused: %v", refused)
	}
	run := d.Run(payoutstest.Daily(evening.Format(time.RFC3339)))
	d.Finish()
	return run
}

// settle asks and sweeps until nothing is asked any more.
func (d *desk) settle(s *sending.Sender, l *limited) {
	d.t.Helper()
	for range 20 {
		before := len(l.asked)
		d.SweepOnly()
		d.ask(s)
		d.SweepOnly()
		if len(l.asked) == before {
			return
		}
	}
	d.t.Fatal("asked without end")
}

// A yes to the smallest payout lets no larger one go: that is asked about first. What the wallet does not take says so, and holds nothing
// smaller; a limit that is raised lets it go.
func TestALargerPayoutIsAskedAboutFirst(t *testing.T) {
	t.Parallel()
	d := newDesk(t, config.VerifyMatch)
	w := &limited{limit: 50_000}
	s := d.Sender(sending.Hooks{Verify: w})
	at := payoutstest.At(sending.Evening)
	next := func(net int64) uuid.UUID {
		at = at.Add(24 * time.Hour)
		d.Clock.Set(at)
		return d.earns(at, net)
	}
	first := d.earns(at, 10_000)
	d.settle(s, w)
	w.want(t, 10_000)
	d.want(first, "approved")
	d.want(next(10_000), "approved") // as much, and less, is known
	d.want(next(8_000), "approved")
	d.settle(s, w)
	w.want(t)

	more := next(40_000)
	d.want(more, "held recipient_unverified")
	d.want(next(10_000), "approved") // while the question is open
	d.settle(s, w)
	w.want(t, 40_000)
	d.want(more, "approved")

	most := next(100_000)
	d.settle(s, w)
	w.want(t, 100_000)
	d.want(most, "held recipient_mismatch limit_exceeded")
	d.want(next(40_000), "approved")
	d.settle(s, w)
	w.want(t, 100_000) // a day later
	between := next(48_000)
	d.want(between, "held recipient_unverified") // nobody has said no to that
	d.settle(s, w)
	if !slices.Contains(w.asked, 48_000) {
		t.Fatalf("asked about %v", w.asked)
	}
	w.asked = nil
	d.want(between, "approved")
	d.want(most, "held recipient_mismatch limit_exceeded")

	above := next(120_000)
	d.want(above, "held recipient_mismatch limit_exceeded") // as soon as it is planned
	d.settle(s, w)
	w.asked = nil
	w.limit = 200_000
	d.Clock.Set(at.Add(25 * time.Hour))
	d.settle(s, w)
	w.want(t, 100_000, 120_000)
	d.want(most, "approved")
	d.want(above, "approved")
	d.Check()
	d.CheckEvents()
}

// Where the provider says nothing of amounts a yes is for any.
func TestAYesWithoutAmountIsForAny(t *testing.T) {
	t.Parallel()
	d := newDesk(t, config.VerifyMatch)
	w := &limited{any: true}
	s := d.Sender(sending.Hooks{Verify: w})
	at := payoutstest.At(sending.Evening)
	d.earns(at, 10_000)
	d.settle(s, w)
	w.want(t, 10_000)
	at = at.Add(24 * time.Hour)
	d.Clock.Set(at)
	d.want(d.earns(at, 1_000_000), "approved")
	d.settle(s, w)
	w.want(t)
}

// What was approved before the yes was about less is held when it is about to be sent: nothing goes that nobody has said yes to. A person's
// word is for any amount.
func TestNothingLargerIsSentThanWasSaidYesTo(t *testing.T) {
	t.Parallel()
	d := newDesk(t, config.VerifyMatch)
	w := &limited{limit: 50_000}
	s := d.Sender(sending.Hooks{Verify: w})
	run := d.earns(payoutstest.At(sending.Evening), 60_000)
	d.SQL("UPDATE recipients SET state = 'verified', next_at = NULL") // of any amount
	d.SweepOnly()
	d.want(run, "approved")
	d.SQL("UPDATE recipients SET covers = 10000")
	d.Commands(s)
	d.want(run, "held recipient_unverified")
	if n := d.Requests(); n != 0 {
		t.Fatalf("%d requests to pay", n)
	}
	d.settle(s, w)
	w.want(t, 60_000)
	d.want(run, "held recipient_mismatch limit_exceeded")
	d.SQL("UPDATE recipients SET covers = NULL, refuses = NULL")
	d.SweepOnly()
	d.want(run, "approved")
	d.SQL("UPDATE recipients SET covers = 10000, refuses = 60000")
	d.Commands(s)
	d.settle(s, w)
	w.want(t) // what was refused waits for its day
	d.want(run, "held recipient_mismatch limit_exceeded")
	if err := d.confirm("ben", 1); err != nil {
		t.Fatal(err)
	}
	d.Sweep(s)
	d.want(run, "succeeded")
	d.SQL("UPDATE recipients SET state = 'verified', covers = 10000, refuses = 60000, amount = 10000, next_at = $1", d.Clock.Now())
	d.ask(s)
	w.want(t, 60_000) // though nobody waits: what the wallet takes is not put in doubt
	d.Check()
	d.CheckEvents()
}

// Many different amounts that wait take few questions about a number: Wave takes thirty. And all go that the wallet takes, none else.
func TestManyAmountsTakeFewQuestions(t *testing.T) {
	t.Parallel()
	d := newDesk(t, config.VerifyMatch)
	w := &limited{limit: 23_500}
	s := d.Sender(sending.Hooks{Verify: w})
	at := payoutstest.At(sending.Evening)
	runs := map[int64]uuid.UUID{}
	for i := range int64(32) {
		d.Clock.Set(at)
		runs[i] = d.earns(at, 10_000+1_000*i)
		at = at.Add(24 * time.Hour)
	}
	d.SQL("UPDATE outflows SET stopped = true") // what nobody doubts any more stays held, too, and is in nobody's way
	d.settle(s, w)
	d.SQL("UPDATE outflows SET stopped = false")
	d.settle(s, w)
	if len(w.asked) > 8 || w.asked[0] != 10_000 || w.asked[1] != 41_000 {
		t.Errorf("asked about %v", w.asked)
	}
	for i, run := range runs {
		if i < 14 {
			d.want(run, "approved")
		} else {
			d.want(run, "held recipient_mismatch limit_exceeded")
		}
	}
	d.CheckEvents()
}

// A provider that does not answer about more is asked by its schedule, however often what is held is looked at, and what is smaller goes on.
func TestSilenceAboutMoreHoldsNothingSmaller(t *testing.T) {
	t.Parallel()
	d := newDesk(t, config.VerifyMatch)
	w := &limited{limit: 50_000}
	s := d.Sender(sending.Hooks{Verify: w})
	at := payoutstest.At(sending.Evening)
	d.earns(at, 10_000)
	d.settle(s, w)
	w.silent, w.asked = true, nil
	at = at.Add(24 * time.Hour)
	d.Clock.Set(at)
	more := d.earns(at, 40_000)
	for range 3 {
		d.ask(s)
		d.SweepOnly()
	}
	w.want(t, 40_000)
	d.Clock.Advance(time.Second)
	for range 3 {
		d.ask(s)
		d.SweepOnly()
	}
	w.want(t, 40_000)
	d.want(more, "held recipient_unverified")
	at = at.Add(24 * time.Hour)
	d.Clock.Set(at)
	d.want(d.earns(at, 10_000), "approved")
	w.silent = false
	d.settle(s, w)
	w.want(t, 40_000)
	d.want(more, "approved")
}

// A payout that comes to be held while a question about less is under way is asked about after it, by whichever replica.
func TestAnAmountIsNotLostBehindAnotherQuestion(t *testing.T) {
	t.Parallel()
	d := newDesk(t, config.VerifyMatch)
	w := &limited{limit: 90_000}
	at := payoutstest.At(sending.Evening)
	d.earns(at, 10_000)
	d.settle(d.Sender(sending.Hooks{Verify: w}), w)
	d.earns(at.Add(24*time.Hour), 20_000)
	var most uuid.UUID
	d.ask(d.Sender(sending.Hooks{Verify: verifier(func(ctx context.Context, to, name string, a money.Amount) (provider.Recipient, error) {
		if a.Minor != 20_000 {
			t.Errorf("asked about %d", a.Minor)
		}
		most = d.earns(at.Add(48*time.Hour), 80_000)
		d.SweepOnly()
		return w.VerifyRecipient(ctx, to, name, a)
	})}))
	d.want(most, "held recipient_unverified")
	d.settle(d.Sender(sending.Hooks{Verify: w}), w)
	w.want(t, 10_000, 20_000, 80_000)
	d.want(most, "approved")
}

// A wallet that is refused for months is still asked about, ever more rarely, and goes when the answer is another; another name is asked
// about at once.
func TestARefusedWalletIsAskedAboutForMonths(t *testing.T) {
	t.Parallel()
	d := newDesk(t, config.VerifyMatch)
	w := &limited{}
	s := d.Sender(sending.Hooks{Verify: w})
	run := d.earns(payoutstest.At(sending.Evening), 10_000)
	d.settle(s, w)
	for range 400 {
		d.Clock.Advance(24 * time.Hour)
		d.ask(s)
	}
	if n := len(w.asked); n != 30+22+7 { // daily, weekly, monthly
		t.Errorf("asked %d times in 400 days", n)
	}
	d.settle(s, w)
	w.asked = nil
	d.SQL("UPDATE payees SET name = 'Awa Traoré'")
	w.limit = 10_000
	d.settle(s, w)
	w.want(t, 10_000)
	d.want(run, "approved")
}
