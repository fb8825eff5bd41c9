package collect_test

import (
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
)

// forgotten is a morning that charged a card and was lost with the tables. The gateway finds no reference since.
func forgotten(t *testing.T) (e *recurrencestest.Env, id string) {
	t.Helper()
	e = recurrencestest.New(t)
	e.Agree("rec-paid", "2025-10-30", recurrencestest.OK)
	restore := pgtest.Backup(t, e.Pool)
	e.Morning("2025-10-30")
	id = recurrencestest.ID(e.Gateway.Sends()[0].Reference)
	restore()
	restored(e, "2025-11-01")
	e.Gateway.Blind = true
	return e, id
}

// once holds that the card of the lost morning was charged once, and compares what the tables say of it.
func once(t *testing.T, e *recurrencestest.Env, want charge.State) {
	t.Helper()
	times := 0
	for _, s := range e.Gateway.Paid() {
		if s.Destination == "visa/"+recurrencestest.OK {
			times++
		}
	}
	if c := e.Charge("rec-paid", "2025-10-30"); c.State != want || times != 1 {
		t.Errorf("%s (%s), charged %d times; want %s", c.State, c.Reason.Code, times, want)
	}
}

// Cielo's webhooks name a sale by its own id, and the attempt that knew it is lost. The gateway says whose it is, so the card is not charged a second time,
// though nothing is found by its reference; that is for people until it is.
func TestAWebhookThatNamesASaleByItsIDIsHeardBeforeACharge(t *testing.T) {
	t.Parallel()
	e, id := forgotten(t)
	e.Post(id, 50*time.Minute)
	e.Morning("2025-10-30")
	prove(t, e)
	if n := len(e.Gateway.Sends()); n != 1 {
		t.Errorf("%d sends", n)
	}
	for range 3 {
		e.LookUp(10 * time.Second)
	}
	once(t, e, charge.ManualReview)
	e.Gateway.Blind = false
	e.LookUp(48 * time.Hour)
	once(t, e, charge.Succeeded)
	e.CheckEvents()
	e.CheckBooks()
}

// The gateway does not show the sale by its id either. Nothing is proven while the webhook waits, of no charge; when the sale is shown it is found, and the others
// go at once.
func TestNothingIsProvenWhileItIsNotToldWhoseAWebhookIs(t *testing.T) {
	t.Parallel()
	for name, silent := range map[string]bool{"not shown": false, "not answered": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, id := forgotten(t)
			e.Agree("rec-new", "2025-10-30", recurrencestest.OK+"_2")
			e.Gateway.Nameless, e.Gateway.Silent = true, silent
			e.Post(id, 0)
			e.Morning("2025-10-30")
			var lookups atomic.Int64
			e.Gateway.Asking = func() { lookups.Add(1) }
			for range 5 {
				prove(t, e)
				e.Clock.Advance(time.Hour)
			}
			if n := len(e.Gateway.Sends()); n != 1 {
				t.Errorf("%d sends, though a webhook may be about what they send", n-1)
			}
			if n := lookups.Load(); !silent && n > 2*2*5 {
				t.Errorf("%d lookups of two charges, though nothing can be proven by them", n)
			}
			e.Gateway.Nameless, e.Gateway.Silent = false, false
			prove(t, e)
			if n := len(e.Gateway.Sends()); n != 2 {
				t.Errorf("%d sends, want that of the lost morning and that of the other charge", n)
			}
			e.Gateway.Blind = false
			e.LookUp(48 * time.Hour)
			once(t, e, charge.Succeeded)
		})
	}
}

// It comes while the gateway is being asked for the last time: what is read then proves nothing.
func TestAWebhookThatComesWhileAbsenceIsBeingProven(t *testing.T) {
	t.Parallel()
	for name, nameless := range map[string]bool{"told": false, "not shown": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, id := forgotten(t)
			e.Gateway.Nameless = nameless
			e.Morning("2025-10-30")
			e.Clock.Advance(10 * time.Second)
			if err := e.Prechecks.Pass(e.Ctx()); err != nil { // the first of two reads
				t.Fatal(err)
			}
			var once sync.Once
			e.Gateway.Asking = func() { once.Do(func() { e.Post(id, 0) }) }
			prove(t, e)
			if n := len(e.Gateway.Sends()); n != 1 {
				t.Errorf("%d sends", n)
			}
		})
	}
}

// What the gateway never tells of holds nothing any longer than its webhook waits, a day. What comes a day after the mark holds nothing at all.
func TestWhatIsNeverToldHoldsNothingForEver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after time.Duration // the mark, when the webhook comes
		held  bool
	}{"at once": {0, true}, "within a day": {23 * time.Hour, true}, "later": {25 * time.Hour, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			restored(e, "2025-11-05")
			e.Clock.Advance(c.after)
			e.Agree("rec-new", "2025-10-30", recurrencestest.OK)
			e.Post(uuid.NewString(), 0)
			e.Morning("2025-10-30")
			prove(t, e)
			if sent := len(e.Gateway.Sends()) == 1; sent == c.held {
				t.Errorf("sent: %t", sent)
			}
			e.Clock.Advance(24 * time.Hour)
			e.Try()
			prove(t, e)
			if n := len(e.Gateway.Sends()); n != 1 {
				t.Errorf("%d sends when it was given up", n)
			}
		})
	}
}

// The gateway has sales that are none of ours. It says so, and they hold nothing.
func TestAWebhookAboutASaleOfOthersHoldsNothing(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	restored(e, "2025-11-01")
	e.Agree("rec-new", "2025-10-30", recurrencestest.OK)
	e.Gateway.Finish("of-another-shop", provider.Result{Class: provider.Succeeded})
	e.Post(recurrencestest.ID("of-another-shop"), 0)
	e.Morning("2025-10-30")
	prove(t, e)
	if c := e.Charge("rec-new", "2025-10-30"); c.State != charge.Succeeded {
		t.Errorf("%s", c.State)
	}
	if n := len(e.Gateway.Asked()); n != 1 {
		t.Errorf("asked %d times whose it is", n)
	}
}

// Whose an id is is asked while something is asked or believed since a restore, and never otherwise: not without one, and not when what was believed goes
// nowhere any more.
func TestNobodyIsAskedWhoseAnIDIsOutsideOfARestore(t *testing.T) {
	t.Parallel()
	for name, mark := range map[string]bool{"no restore": false, "two hours after the last answer": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			if mark {
				restored(e, "2025-11-01")
			}
			e.Agree("rec-1", "2025-10-30", recurrencestest.OK)
			e.Morning("2025-10-30")
			prove(t, e)
			e.Clock.Advance(2 * time.Hour)
			e.Post(uuid.NewString(), 0)
			prove(t, e)
			if n := len(e.Gateway.Asked()); n != 0 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// However many ids are posted, a pass asks about so many and no more, each is asked about as often as its webhook is tried, and none when its
// webhook is gone.
func TestIDsThatNobodyKnowsAreAskedAboutWithinBounds(t *testing.T) {
	t.Parallel()
	e, _ := forgotten(t)
	e.Connector.Throttle = recurrencestest.Unlimited()
	e.Morning("2025-10-30")
	e.SQL(`INSERT INTO webhooks (tenant, provider, digest, body, refs, received_at)
		SELECT 'wallclub', 'cielo', sha256(i::text::bytea), '', ARRAY['id-' || lpad(i::text, 3, '0')], $1 FROM generate_series(1, 150) i`, e.Clock.Now())
	e.SQL("INSERT INTO webhook_queue (webhook_id, next_try_at) SELECT id, received_at FROM webhooks")
	e.Try()
	pass := func() int {
		t.Helper()
		before := len(e.Gateway.Asked())
		if err := e.Prechecks.Pass(e.Ctx()); err != nil {
			t.Fatal(err)
		}
		return len(e.Gateway.Asked()) - before
	}
	var asks []int
	for range 3 {
		asks = append(asks, pass())
	}
	if want := []int{128, 22, 0}; !slices.Equal(asks, want) {
		t.Errorf("asked about %v ids, want %v", asks, want)
	}
	for range 48 {
		e.Clock.Advance(30 * time.Minute)
		e.Try()
		for pass() > 0 {
		}
	}
	times := map[string]int{}
	for _, id := range e.Gateway.Asked() {
		times[id]++
	}
	if n := times["id-001"]; len(times) != 150 || n < 20 || n > 40 {
		t.Errorf("%d ids were asked about, the first %d times", len(times), n)
	}
	e.Clock.Advance(2 * time.Hour)
	e.Try()
	e.Morning("2025-10-31")
	if n := pass(); n != 0 {
		t.Errorf("asked about %d ids whose webhooks are gone", n)
	}
}

// What was sent since is looked up by itself: a webhook about it that is faster than the answer ends nothing that is believed. When the answer has told its
// id, nobody is asked.
func TestAWebhookAboutWhatWasSentSinceEndsNothing(t *testing.T) {
	t.Parallel()
	for name, answered := range map[string]bool{"not answered yet": false, "answered since it was tried": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			restored(e, "2025-11-01")
			e.Agree("rec-1", "2025-10-30", recurrencestest.OK)
			e.Morning("2025-10-30")
			prove(t, e)
			id, asks := recurrencestest.ID(e.Gateway.Sends()[0].Reference), 1
			e.Post(id, 0)
			if answered {
				e.SQL("UPDATE attempts SET provider_id = $1", id)
				asks = 0
			}
			prove(t, e)
			if n := e.Count("SELECT count(*) FROM prechecks WHERE state = 'absent'"); n != 1 || len(e.Gateway.Asked()) != asks {
				t.Errorf("%d believed, asked %d times, want %d", n, len(e.Gateway.Asked()), asks)
			}
			if n := len(e.Gateway.Sends()); n != 1 {
				t.Errorf("%d sends", n)
			}
		})
	}
}

// More webhooks come while absence is being proven than are asked about at once: nothing is proven before all were.
func TestNothingIsProvenBeforeAllIDsWereAskedAbout(t *testing.T) {
	t.Parallel()
	e, id := forgotten(t)
	e.Connector.Throttle = recurrencestest.Unlimited()
	e.Morning("2025-10-30")
	e.Clock.Advance(10 * time.Second)
	if err := e.Prechecks.Pass(e.Ctx()); err != nil {
		t.Fatal(err)
	}
	for i := range 128 {
		others := "of-another-shop-" + strconv.Itoa(i)
		e.Gateway.Finish(others, provider.Result{Class: provider.Succeeded})
		e.SQL("INSERT INTO webhooks (tenant, provider, digest, body, refs, received_at) VALUES ('wallclub', 'cielo', sha256($1), '', ARRAY[$2], $3)",
			[]byte(others), recurrencestest.ID(others), e.Clock.Now().Add(-time.Minute))
	}
	var once sync.Once
	e.Gateway.Asking = func() {
		once.Do(func() {
			e.SQL("INSERT INTO webhook_queue (webhook_id, next_try_at) SELECT id, received_at FROM webhooks")
			e.Post(id, 0)
		})
	}
	prove(t, e)
	if n := len(e.Gateway.Sends()); n != 1 {
		t.Errorf("%d sends", n)
	}
}
