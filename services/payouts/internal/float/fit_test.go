package float_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/dispatch"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
)

// counter is a keeper at work on a balance that the test tells itself.
type counter struct {
	*sending.Env
	s *sending.Sender
	t *testing.T
}

func atTheCounter(t *testing.T) counter {
	e := wave(t)
	return counter{e, e.Sender(), t}
}

// tells has the provider tell a balance, to a question of a while later.
func (c counter) tells(minor int64) {
	c.t.Helper()
	c.Clock.Advance(time.Second)
	c.answer(c.asks(), minor)
}

func (c counter) asks() provider.Answer {
	c.t.Helper()
	asked, at, mine, err := c.States.Ask(c.t.Context(), c.Pool, c.s.Connector.Connector, 0)
	if err != nil || !mine {
		c.t.Fatalf("mine %v, %v", mine, err)
	}
	return provider.Answer{Asked: asked, At: at}
}

func (c counter) answer(a provider.Answer, minor int64) {
	c.t.Helper()
	a.Balance = money.Amount{Minor: minor, Currency: "XOF"}
	if _, err := c.States.Answered(c.t.Context(), c.Pool, c.s.Connector.Connector, a); err != nil {
		c.t.Fatal(err)
	}
}

func (c counter) status() provider.Status {
	c.t.Helper()
	st, err := c.States.Get(c.t.Context(), c.Pool, c.s.Connector.Connector)
	if err != nil {
		c.t.Fatal(err)
	}
	return st
}

// fits claims sums on what st knows, and commits.
func (c counter) fits(st provider.Status, sums ...int64) (had dispatch.Cover) {
	c.t.Helper()
	var starts []attempt.Start
	for _, s := range sums {
		starts = append(starts, attempt.Start{Amount: money.Amount{Minor: s, Currency: "XOF"}})
	}
	c.InTx(func(tx pgx.Tx) (err error) {
		had, err = c.s.Float.Fit(c.t.Context(), tx, c.s.Connector, st, starts)
		return err
	})
	if had.Kept != nil {
		had.Kept()
	}
	return had
}

// A claim on a balance that was asked for again before its first byte is taken from the newer one, or not sent.
func TestAClaimOnAnOlderBalance(t *testing.T) {
	t.Parallel()
	for newer, covered := range map[int64]bool{49_000: true, 24_000: true, 23_999: false} {
		c := atTheCounter(t)
		c.tells(100_000)
		had := c.fits(c.status(), net)
		if ok, err := c.s.Float.Still(t.Context(), c.s.Connector, c.status(), had); !ok || err != nil || had.Starts != 1 {
			t.Errorf("%+v: %v, %v", had, ok, err)
		}
		c.tells(newer)
		ok, err := c.s.Float.Still(t.Context(), c.s.Connector, c.status(), had)
		if ok != covered || err != nil {
			t.Errorf("the newer balance of %d covers %d: %v, %v", newer, net, ok, err)
		}
		want := newer
		if covered {
			want -= net
		}
		if got := c.status().Funds.Left(); got != want {
			t.Errorf("%d are left of %d, want %d", got, newer, want)
		}
	}
}

// With a lot of money most claims write nothing to the row that all replicas share; what a process has put by for that is worth
// nothing once the balance was asked for again.
func TestPlentyCostsNothing(t *testing.T) {
	t.Parallel()
	c := atTheCounter(t)
	c.tells(100 * net)
	c.fits(c.status(), net)
	first := c.status()
	if first.Funds.Unsure == 0 {
		t.Fatal("nothing is put by")
	}
	for range first.Funds.Unsure / net {
		if had := c.fits(c.status(), net); had.Starts != 1 {
			t.Errorf("%+v", had)
		}
	}
	if got := c.status(); got != first {
		t.Errorf("claims wrote to the row: %+v", got.Funds)
	}
	c.tells(100 * net)
	c.fits(c.status(), net)
	c.tells(net - 1)
	if had := c.fits(c.status(), net); had.Starts != 0 || !had.Short {
		t.Errorf("spent of an older balance: %+v", had)
	}
}

// A balance that is getting scarce is shared to the last unit: nothing is put by.
func TestScarceIsNotPutBy(t *testing.T) {
	t.Parallel()
	c := atTheCounter(t)
	c.tells(10 * net)
	c.fits(c.status(), net, net, net, net, net, net, net, net)
	if f := c.status().Funds; f.Unsure != 0 || f.Left() != 2*net {
		t.Errorf("%+v", f)
	}
	had := c.fits(c.status(), net, net, net, 1)
	if had.Starts != 2 || had.Short { // and the smaller one does not overtake
		t.Errorf("%+v", had)
	}
	if had = c.fits(c.status(), 1); had.Starts != 0 || had.Short || had.Look == 0 {
		t.Errorf("told as too little while sends are under way: %+v", had)
	}
}

// What is begun while nobody knows the balance counts against an answer that comes late.
func TestALateAnswer(t *testing.T) {
	t.Parallel()
	c := atTheCounter(t)
	c.s.Float.Look(t.Context(), c.s.Connector, 0) // makes the row
	c.SQL("UPDATE provider_states SET float_read_at = NULL")
	a := c.asks()
	if had := c.fits(c.status(), net); had.Starts != 0 || had.Look == 0 {
		t.Errorf("does not wait for the first answer: %+v", had)
	}
	c.Clock.Advance(6 * time.Second)
	if had := c.fits(c.status(), net); had.Starts != 1 {
		t.Errorf("waits for ever: %+v", had)
	}
	c.answer(a, 30_000)
	if got := c.status().Funds.Left(); got != 30_000-net {
		t.Errorf("%d are left", got)
	}
}

// What a process has put by and not used is there: it goes back before what is left is shown and compared with a forecast, and nothing
// is spent twice by that.
func TestWhatIsPutByIsNotSpent(t *testing.T) {
	t.Parallel()
	c := atTheCounter(t)
	c.tells(1_000_000)
	c.fits(c.status(), 24_240, 24_240)
	if left := c.status().Funds.Left(); left >= 896_000 {
		t.Fatalf("%d are left: nothing is put by", left)
	}
	for spent := int64(48_480); spent <= 48_480+3*net; spent += net {
		c.s.Float.Check(c.Ctx())
		if left := c.status().Funds.Left(); left != 1_000_000-spent {
			t.Fatalf("%d are left of 1,000,000 after %d", left, spent)
		}
		c.InTx(func(tx pgx.Tx) error {
			st, err := c.States.Forecast(c.Ctx(), tx, c.s.Connector.Connector, 870_000)
			if err == nil && st.Float != provider.FloatOK {
				t.Errorf("%s, with %d left", st.Float, st.Funds.Left())
			}
			return err
		})
		c.fits(c.status(), net)
	}
	told(t, c.Env)
	c.s.Float.Check(c.Ctx())
	left := c.status().Funds.Left()
	if had := c.fits(c.status(), left, 1); had.Starts != 1 {
		t.Errorf("of %d left %d starts were covered", left, had.Starts)
	}
	// A balance that was asked for again knows nothing of what was put by of the one before.
	c.tells(1_000_000)
	c.fits(c.status(), net)
	c.tells(500_000)
	c.s.Float.Check(c.Ctx())
	if left := c.status().Funds.Left(); left != 500_000 {
		t.Errorf("%d are left of 500,000", left)
	}
}
