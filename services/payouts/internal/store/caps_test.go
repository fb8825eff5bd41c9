package store_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// counted is what counts against the cap of a day, added up.
const counted = `SELECT COALESCE(sum(net), 0)::bigint FROM payouts p WHERE (state IN ('awaiting_approval', 'approved', 'submitting', 'processing',
	'unknown', 'manual_review', 'succeeded') OR state = 'failed' AND retry_at IS NOT NULL) AND cap_date = `

// dayCap is for nine of twelve payouts.
const dayCap = 72_000

// noted holds what is noted of the cap against the day added up: more is not used.
func noted(t *testing.T, e *payoutstest.Env, after string) {
	t.Helper()
	used := e.Count("SELECT COALESCE(max(used), 0)::bigint FROM cap_uses")
	if sum := e.Count(counted + "(SELECT cap_date FROM cap_uses)"); sum > used {
		t.Fatalf("after %s: %d count, and %d are noted", after, sum, used)
	}
}

// day is a tenant's day of payouts that go all ways there are, while everybody who takes of the cap asks for it.
type day struct {
	*payoutstest.Env
	t      *testing.T
	random *rand.Rand
	doubts bool
}

// move takes a payout that is in one state, if there is one, to another.
func (d *day) move(to payout.State, reason payout.Reason, retry time.Duration, from ...payout.State) {
	state := from[d.random.IntN(len(from))]
	all := ids(d.t, d.Env, fmt.Sprintf("SELECT payout_id FROM payouts WHERE state = '%s' ORDER BY payout_id", state))
	if len(all) == 0 {
		return
	}
	c := store.Change{PayoutID: all[d.random.IntN(len(all))], From: []payout.State{state}, To: to, Reason: reason}
	if retry > 0 {
		at := d.Clock.Now().Add(retry)
		c.RetryAt = &at
	}
	apply(d.t, d.Env, c)
}

// steps are what may happen, by name.
func (d *day) steps() map[string]func() {
	cause := payout.HeldBy(payout.CodeFloat)
	return map[string]func(){
		"release": func() {
			d.InTx(func(tx pgx.Tx) error {
				_, err := d.Store.Release(d.Ctx(), tx, store.Queue{Tenant: payoutstest.Tenant, Provider: "orange"}, store.Look{Limit: 500, LocalDate: d.Store.Today(payoutstest.Tenant)})
				return err
			})
		},
		"retry": func() {
			d.InTx(func(tx pgx.Tx) error {
				ids, _, err := d.Store.DueRetries(d.Ctx(), tx, store.Due{}, 500)
				if err != nil {
					return err
				}
				return d.Store.Retry(d.Ctx(), tx, ids)
			})
		},
		"retry what failed": func() {
			d.EachBatch(func(id uuid.UUID) {
				d.InTx(func(tx pgx.Tx) error {
					_, err := d.Store.RetryFailed(d.Ctx(), tx, payoutstest.Tenant, id)
					return err
				})
			})
		},
		"hold":             func() { d.move(payout.Held, cause, 0, payout.Approved, payout.Submitting) },
		"send":             func() { d.move(payout.Submitting, payout.Reason{}, 0, payout.Approved) },
		"fail":             func() { d.move(payout.Failed, payout.Reason{}, 0, payout.Submitting, payout.Unknown) },
		"fail and wait":    func() { d.move(payout.Failed, payout.Reason{}, time.Hour, payout.Submitting, payout.Unknown) },
		"not know":         func() { d.move(payout.Unknown, payout.Reason{}, 0, payout.Submitting) },
		"succeed":          func() { d.move(payout.Succeeded, payout.Reason{}, 0, payout.Submitting, payout.Unknown) },
		"take back":        func() { d.move(payout.Reversed, payout.Reason{}, 0, payout.Succeeded) },
		"cancel":           func() { d.move(payout.Cancelled, payout.HeldBy(payout.CodeByPerson), 0, payout.Held, payout.Approved) },
		"doubt":            func() { d.doubt() },
		"let hours go":     func() { d.Clock.Advance(5 * time.Hour) },
		"turn the cap off": func() { d.Rules().DailyCap = 0 },
		"turn the cap on":  func() { d.Rules().DailyCap = dayCap },
	}
}

// doubt puts what is held, and was approved before, in doubt again, as of a cancelled run: nobody asks for the cap then.
func (d *day) doubt() {
	if d.doubts {
		d.move(payout.Unknown, payout.Reason{}, 0, payout.Held)
	}
}

// Whatever becomes of payouts, in any order, over days, and with the cap turned off between: what is noted of the cap is never less than
// what counts against it, and while nothing is doubted no day lets out more than its cap.
func TestWhatIsNotedOfTheCapIsNeverTooLittle(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			e := payoutstest.New(t)
			e.Rules().DailyCap, e.Rules().PauseAboveFailureRate, e.Rules().PausePayeeAfter, e.Planner.PageSize = dayCap, 0, 0, 4
			planned(t, e, 12)
			d := &day{Env: e, t: t, random: rand.New(rand.NewPCG(seed, 7)), doubts: seed%2 == 1}
			steps := d.steps()
			names := make([]string, 0, len(steps))
			for _, name := range slices.Sorted(maps.Keys(steps)) {
				if d.doubts || name != "turn the cap off" { // without a cap more is let out than with it
					names = append(names, name)
				}
			}
			noted(t, e, "planning")
			for range 150 {
				name := names[d.random.IntN(len(names))]
				steps[name]()
				if e.Rules().DailyCap > 0 {
					noted(t, e, name)
				}
				if d.doubts {
					continue
				}
				for _, date := range []string{"2025-01-24", "2025-01-25", "2025-01-26"} {
					if sum := e.Count(counted+"$1", date); sum > dayCap {
						t.Fatalf("after %s: %d of %s are let out, the cap is %d", name, sum, date, dayCap)
					}
				}
			}
		})
	}
}

// What is held after it was approved counts again without anybody asking when it is doubted: it is noted as used all the while.
func TestWhatIsHeldAfterItWasApprovedStaysNoted(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Rules().DailyCap = 3 * 8000
	planned(t, e, 6)
	one := ids(t, e, "SELECT payout_id FROM payouts WHERE state = 'approved' ORDER BY payout_id")[0]
	through(t, e, one, payout.HeldBy(payout.CodeByPerson), payout.Approved, payout.Held)
	e.Rules().DailyCap = 5 * 8000
	e.InTx(func(tx pgx.Tx) error {
		_, err := e.Store.Release(e.Ctx(), tx, store.Queue{Tenant: payoutstest.Tenant, Provider: "orange"}, store.Look{Limit: 500, LocalDate: "2025-01-24"})
		return err
	})
	if n := e.Count("SELECT count(*) FROM payouts WHERE state = 'approved'"); n != 5 {
		t.Fatalf("%d are approved", n)
	}
	through(t, e, one, payout.Reason{}, payout.Held, payout.Unknown)
	noted(t, e, "a doubt")
}

// What is let out while the tenant has no cap is noted nowhere: with the cap the day is added up.
func TestWhatWasLetOutWithoutACapCounts(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Rules().DailyCap = 3 * 8000
	planned(t, e, 3)
	e.Rules().DailyCap = 0
	e.Import(payoutstest.Header + payoutstest.Pay("late-1", "drv-1", 10_000, "2025-01-24T11:00:00Z") + payoutstest.Pay("late-2", "drv-2", 10_000, "2025-01-24T11:00:00Z"))
	e.Finish()
	again := payoutstest.Daily(evening)
	again.TickId = "lebenis/payouts/daily!0194"
	e.Run(again)
	if n := e.Count("SELECT count(*) FROM payouts WHERE state = 'approved'"); n != 5 {
		t.Fatalf("%d are approved", n)
	}
	e.Rules().DailyCap = 5 * 8000
	e.InTx(func(tx pgx.Tx) error {
		caps, err := e.Store.Caps(e.Ctx(), tx, payoutstest.Tenant, "2025-01-24", nil, 8000)
		if err == nil && caps.Take("drv-1", 8000) == "" {
			t.Error("a sixth payout fits into a cap of five")
		}
		return err
	})
}

// However much was approved on a day, what asks for a little more of the cap reads nothing of it while there is room; when there seems to be
// none the day is added up, and what has failed meanwhile is free again.
func TestTheCapIsNotAddedUpWhileThereIsRoom(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Rules().DailyCap = 3000 * 8000
	planned(t, e, 2000)
	caps := func(want int64) (c *store.Caps, read int64) {
		e.InTx(func(tx pgx.Tx) error {
			count := func() (n int64) {
				if err := tx.QueryRow(t.Context(), `SELECT COALESCE(sum(seq_tup_read + idx_tup_fetch), 0)::bigint FROM pg_stat_xact_user_tables
					WHERE relname = 'payouts' AND schemaname = current_schema()`).Scan(&n); err != nil {
					t.Fatal(err)
				}
				return n
			}
			before := count()
			var err error
			c, err = e.Store.Caps(e.Ctx(), tx, payoutstest.Tenant, "2025-01-24", nil, want)
			read = count() - before
			return err
		})
		return c, read
	}
	if _, read := caps(1000 * 8000); read != 0 {
		t.Errorf("%d payouts were read while there is room for 1000", read)
	}
	e.SQL("UPDATE payouts SET state = 'failed' WHERE payee_id < 'drv-100'") // a thousand of the others may have been taken
	c, read := caps(8000)
	if read < 2000 || c.Take("drv-1", 1099*8000) != "" || c.Take("drv-1", 2*8000) == "" {
		t.Errorf("the day is added up: %d payouts were read; %+v", read, c)
	}
}
