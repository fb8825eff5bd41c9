package float_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/float"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
)

// evenings gives the environment's tenant its schedule, and moves its clock to a time.
func evenings(t *testing.T, e *sending.Env, now string) {
	t.Helper()
	e.Tenants.Tenants[0].Schedules = []config.Schedule{
		{Name: "check-pending", Job: "payouts/check-pending", Cron: "0 * * * *"}, {Name: "daily", Job: "payouts/daily", Cron: "59 23 * * *"},
	}
	e.Rules().DailyCap = 0
	e.Clock.Advance(payoutstest.At(now).Sub(e.Clock.Now()))
}

func forecast(t *testing.T, e *sending.Env, s *sending.Sender) float.Forecast {
	t.Helper()
	f, err := s.Float.Forecast(t.Context(), e.Tenants.Tenants[0])
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// day imports one payment of an hour of each of some days, for a payee of their own; its net is 800 for 1,000.
func day(e *sending.Env, date, hour string, gross int64) {
	e.Import(payoutstest.Header + payoutstest.Pay("pay-"+date+hour, sending.Payee(1), gross, date+"T"+hour+":00Z"))
}

// Tonight needs what waits, what is owed, and what is usually earned between now and then: the median of the days before, so that
// neither a feast nor an outage counts.
func TestForecast(t *testing.T) {
	t.Parallel()
	e := wave(t)
	evenings(t, e, "2025-02-10T12:07:00Z")
	s := e.Sender()
	for i, gross := range []int64{100, 3_000, 2_000, 90_000, 1_000, 4_000, 5_000} { // of the 3rd to the 9th, in the afternoon
		date := fmt.Sprintf("2025-02-%02d", 3+i)
		day(e, date, "09:00", 1_000_000) // before this time of day: says nothing about the afternoon
		day(e, date, "17:00", gross)
	}
	e.Rules().AcceptFrom = "2025-02-10" // the days before were paid elsewhere
	day(e, "2025-02-10", "11:00", 10_000)
	got := forecast(t, e, s)
	want := float.Forecast{Run: payoutstest.At("2025-02-10T23:59:00Z"), Needs: map[string]float.Need{"wave": {Owed: 8_000, Expected: 2_400}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("at noon (-want +got):\n%s", diff)
	}
	// A little before the run the same sum is owed or expected, and not both.
	e.Clock.Advance(11*time.Hour + 45*time.Minute)
	if n := forecast(t, e, s).Needs["wave"]; n.Total() != 8_000 {
		t.Errorf("before midnight: %+v", n)
	}
	e.Run(payoutstest.Daily("2025-02-10T23:59:00Z"))
	if n := forecast(t, e, s).Needs["wave"]; n.Waiting != 8_000 || n.Owed != 0 {
		t.Errorf("planned and not sent: %+v", n)
	}
	e.Clock.Advance(10 * time.Minute)
	if f := forecast(t, e, s); f.Run != payoutstest.At("2025-02-11T23:59:00Z") || f.Needs["wave"].Expected < 800_000 {
		t.Errorf("after midnight: %+v", f)
	}
}

// What is capped cannot leave, and needs no float.
func TestForecastWithinTheDailyCap(t *testing.T) {
	t.Parallel()
	e := wave(t)
	evenings(t, e, "2025-02-10T12:07:00Z")
	e.Rules().DailyCap = 5_000
	day(e, "2025-02-09", "17:00", 10_000)
	day(e, "2025-02-10", "11:00", 5_000)
	if n := forecast(t, e, e.Sender()).Needs["wave"]; n.Owed+n.Expected != 5_000 {
		t.Errorf("got %+v", n)
	}
}

// Nor what a cap holds today, but for what the days until the run let out.
func TestForecastOfWhatCapsHold(t *testing.T) {
	t.Parallel()
	e := wave(t)
	evenings(t, e, "2025-01-25T00:10:00Z")
	s := e.Sender()
	e.Plan(6) // of which each payee has one
	e.SQL("UPDATE payouts SET payee_id = $1, seq = CASE WHEN payee_id = $2 THEN 2 ELSE 3 END WHERE payee_id IN ($2, $3)", sending.Payee(1), sending.Payee(2), sending.Payee(3))
	e.SQL("UPDATE payouts SET state = 'held', reason_code = 'payee_daily_cap' WHERE payee_id IN ($1, $2)", sending.Payee(1), sending.Payee(4))
	e.SQL("UPDATE payouts SET state = 'held', reason_code = 'daily_cap' WHERE payee_id = $1", sending.Payee(5))
	waiting := func(now string, payeeCap, cap int64) int64 {
		e.Clock.Advance(payoutstest.At(now).Sub(e.Clock.Now()))
		e.Rules().PayeeDailyCap, e.Rules().DailyCap = payeeCap, cap
		return forecast(t, e, s).Needs["wave"].Waiting
	}
	for _, c := range []struct {
		now           string
		payeeCap, cap int64
		want          int64
		why           string
	}{
		{"2025-01-25T00:10:00Z", 0, 0, 6 * net, "the caps were taken away: everything goes"},
		{"2025-01-25T00:10:00Z", 2 * net, net, net, "the next run is of the same day, and that day is used up"},
		{"2025-01-25T23:59:30Z", 2 * net, net, 5 * net, "the next run is of tomorrow: two of three of one payee, the only one of another, and that of the tenant's cap"},
		{"2025-01-25T23:59:30Z", 2 * net, net / 2, 4*net + net/2, "tomorrow's cap of the tenant has room for a half"},
	} {
		if got := waiting(c.now, c.payeeCap, c.cap); got != c.want {
			t.Errorf("%s, caps %d and %d: %d wait, want %d: %s", c.now, c.payeeCap, c.cap, got, c.want, c.why)
		}
	}
}

// Without a schedule nothing is foreseen but what waits.
func TestForecastWithoutASchedule(t *testing.T) {
	t.Parallel()
	e := wave(t)
	s := e.Sender()
	e.Plan(2)
	if diff := cmp.Diff(float.Forecast{Needs: map[string]float.Need{"wave": {Waiting: 2 * net}}}, forecast(t, e, s)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What is owed is what the planner would send, for it is the planner's to say: paused payees, wallets that are missing or rest,
// methods, minimum, limits and refunds included.
func TestOwedIsWhatThePlannerWouldSend(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			e := wave(t)
			evenings(t, e, "2025-01-24T23:59:30Z")
			random := rand.New(rand.NewPCG(seed, 1))
			e.Rules().Minimum, e.Rules().MaxPerPayout = 2_000, 20_000
			e.Tenants.Tenants[0].Providers["orange"] = config.Provider{Name: "orange", Kind: "orange_omr"}
			var csv strings.Builder
			csv.WriteString(payoutstest.Header)
			for i := range 150 {
				n := random.IntN(25)
				phone, method := sending.Phone(n), "orange_money"
				if n == 3 {
					phone = ""
				}
				if random.IntN(6) == 0 {
					method = "cash"
				}
				at := payoutstest.At("2025-01-25T23:59:00Z").Add(-time.Duration(random.IntN(60*60*72)) * time.Second)
				fmt.Fprintf(&csv, "p%d,drv-%d,N,%s,%d,XOF,%s,completed,%s,\n", i, n, phone, 1+random.Int64N(30_000), method, at.Format(time.RFC3339))
			}
			if _, refused := e.Import(csv.String()); len(refused) > 0 {
				t.Fatal(refused)
			}
			e.Run(payoutstest.Daily("2025-01-24T23:59:00Z")) // takes a part, so that refunds of it are carried
			e.Import(strings.ReplaceAll(csv.String(), ",completed,", ",refunded,")[:len(payoutstest.Header)+len(csv.String())/8])
			e.SQL("UPDATE payees SET state = 'paused' WHERE payee_id IN ('drv-4', 'drv-5')")
			e.SQL("UPDATE payees SET unconfirmed = true WHERE payee_id = 'drv-6'")
			e.SQL("UPDATE payees SET provider = 'orange' WHERE payee_id IN ('drv-7', 'drv-8')")
			e.SQL(`INSERT INTO recipients (tenant, payee_id, provider, destination, name_digest, rule, state, since)
				SELECT tenant, payee_id, 'orange', phone, md5(name), 'wallet', v.state, now() FROM payees
				JOIN (VALUES ('drv-7', 'verified'), ('drv-8', 'refused'), ('drv-9', 'verified')) v(id, state) ON v.id = payee_id`)
			e.SQL("UPDATE payees SET provider = 'orange' WHERE payee_id = 'drv-9'")
			orange := e.Tenants.Tenants[0].Providers["orange"]
			orange.VerifyRecipients = "wallet"
			e.Tenants.Tenants[0].Providers["orange"] = orange
			e.Clock.Advance(12 * time.Hour)
			f := forecast(t, e, e.Sender())
			owed := map[string]int64{}
			draft := run.Run{
				Service: "payouts", ID: run.ID("draft"), TickID: "draft", Tenant: payoutstest.Tenant, Schedule: "daily", Job: "payouts/daily",
				NominalTime: f.Run, LocalDate: "2025-01-25", WindowStart: f.Run, WindowEnd: f.Run, Timezone: "Africa/Abidjan", Trigger: "preview",
			}
			_, err := e.Planner.Preview(t.Context(), e.Pool, draft, func(page []payout.Payout) error {
				for _, p := range page {
					if p.State == payout.Approved {
						owed[p.Provider] += p.Net.Minor
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]int64{}
			for name, n := range f.Needs {
				if n.Owed > 0 {
					got[name] = n.Owed
				}
			}
			if len(owed) == 0 {
				t.Fatalf("the planner pays through %v", owed)
			}
			if diff := cmp.Diff(owed, got); diff != "" {
				t.Errorf("owed by the planner and by the forecast (-planner +forecast):\n%s", diff)
			}
		})
	}
}

// What is owed to wallets that are verified, or not: what their provider is asked about at once and has said no to neither of this payee nor
// of so much counts, for it goes after a yes; what waits for people does not. The planner says the same of each.
func TestForecastOfWhatVerificationHolds(t *testing.T) {
	t.Parallel()
	recipient := `INSERT INTO recipients (tenant, payee_id, provider, destination, name_digest, rule, state, covers, refuses, since)
		SELECT tenant, payee_id, 'wave', phone, md5(name), 'wallet', 'verified', %s, now() FROM payees`
	for name, c := range map[string]struct {
		sql  string
		most int64
		want int64
	}{
		"nobody has asked":                    {want: 8000},
		"verified for any amount":             {sql: fmt.Sprintf(recipient, "NULL, NULL"), want: 8000},
		"verified for as much":                {sql: fmt.Sprintf(recipient, "8000, NULL"), want: 8000},
		"verified for less":                   {sql: fmt.Sprintf(recipient, "7999, NULL"), want: 8000},
		"verified for less, more was refused": {sql: fmt.Sprintf(recipient, "7000, 8001"), want: 8000},
		"so much was refused":                 {sql: fmt.Sprintf(recipient, "7000, 8000")},
		"less was refused":                    {sql: fmt.Sprintf(recipient, "1000, 5000")},
		"refused":                             {sql: fmt.Sprintf(recipient, "NULL, NULL") + "; UPDATE recipients SET state = 'refused'"},
		"of another name":                     {sql: fmt.Sprintf(recipient, "NULL, NULL") + "; UPDATE recipients SET state = 'mismatch', name_digest = 'x'", want: 8000},
		"by another rule":                     {sql: fmt.Sprintf(recipient, "NULL, NULL") + "; UPDATE recipients SET state = 'mismatch', rule = 'match'", want: 8000},
		"divided":                             {sql: fmt.Sprintf(recipient, "1000, 5000"), most: 4000, want: 8000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := wave(t)
			evenings(t, e, "2025-02-10T12:07:00Z")
			asked := e.Tenants.Tenants[0].Providers["wave"]
			asked.VerifyRecipients = "wallet"
			e.Tenants.Tenants[0].Providers["wave"] = asked
			if c.most > 0 {
				e.Rules().MaxPerPayout = c.most
			}
			for _, hour := range []string{"10:00", "11:00"} {
				day(e, "2025-02-10", hour, 5000)
			}
			for _, statement := range strings.Split(c.sql, "; ") {
				e.SQL(statement)
			}
			if n := forecast(t, e, e.Sender()).Needs["wave"]; n.Owed != c.want {
				t.Errorf("%d is owed, want %d", n.Owed, c.want)
			}
			e.Run(payoutstest.Daily("2025-02-10T23:59:00Z"))
			planned := e.Count("SELECT COALESCE(sum(net), 0)::bigint FROM payouts WHERE state = 'approved' OR state = 'held' AND reason_code = 'recipient_unverified'")
			if planned != c.want {
				t.Errorf("the planner counts on %d: %v", planned, e.PayoutStates())
			}
		})
	}
}

// The worker tells of a low float once, long before the run, and again when it is enough; and looks no more often than it should.
func TestLowIsToldAheadOfTime(t *testing.T) {
	t.Parallel()
	e := wave(t)
	evenings(t, e, "2025-02-10T12:00:00Z")
	s := e.Sender()
	balance, asked := int64(10_000), 0
	s.Connector.Balance = stub(func(context.Context) (money.Amount, error) {
		asked++
		return money.Amount{Minor: balance, Currency: "XOF"}, nil
	})
	day(e, "2025-02-10", "11:00", 10_000)
	hours := func(n int) {
		for range n * 60 * 60 / 5 {
			s.Float.Check(t.Context())
			e.Clock.Advance(5 * time.Second)
		}
	}
	hours(1)
	told(t, e)
	if asked < 4 || asked > 5 {
		t.Errorf("asked %d times in an hour, every 15 minutes", asked)
	}
	day(e, "2025-02-10", "12:30", 10_000)
	hours(3)
	told(t, e, "float.low")
	ev := e.Events()
	body := string(ev[len(ev)-1].Body)
	for _, want := range []string{`"available":{"minor":"10000"`, `"needed":{"minor":"16000"`, `"shortfall":{"minor":"6000"`, `"balance":{"minor":"10000"`, `"read_at":"2025-02-10T1`} {
		if !strings.Contains(strings.ReplaceAll(body, " ", ""), want) {
			t.Errorf("the event has no %s: %s", want, body)
		}
	}
	balance = 16_100 // hardly enough
	hours(1)
	told(t, e, "float.low")
	balance = 17_000
	hours(1)
	told(t, e, "float.low", "float.restored")
	if n := e.Count("SELECT count(*) FROM float_readings"); n != int64(asked) {
		t.Errorf("%d readings of %d are kept", n, asked)
	}
	r, ok, err := float.ReadingAt(t.Context(), e.Pool, payoutstest.Tenant, "wave", payoutstest.At("2025-02-10T13:00:00Z"))
	if err != nil || !ok || r.Balance.Minor != 10_000 || r.At.After(payoutstest.At("2025-02-10T13:00:00Z")) || r.At.Before(payoutstest.At("2025-02-10T12:44:00Z")) {
		t.Errorf("at 13:00 it was %+v, %v, %v", r, ok, err)
	}
	if _, ok, _ = float.ReadingAt(t.Context(), e.Pool, payoutstest.Tenant, "wave", payoutstest.At("2025-02-10T11:00:00Z")); ok {
		t.Error("a balance from before the first reading")
	}
	e.Clock.Advance(93 * 24 * time.Hour)
	if n, err := s.Float.Retention().Delete(t.Context(), 100); err != nil || n != int64(asked) {
		t.Errorf("%d readings of %d were deleted, %v", n, asked, err)
	}
}

// While there is too little, the balance is read every minute, and what it covers then goes without anybody's doing.
func TestTheWorkerReleases(t *testing.T) {
	t.Parallel()
	e := wave(t)
	fill(t, e, net+net/50) // for its fee
	s := e.Sender()
	e.Moving(func() { e.Send(s, 3) })
	want(t, e, map[string]int64{"succeeded": 1, "held": 2})
	fill(t, e, 2*net+net/25)
	for range 13 {
		e.Clock.Advance(5 * time.Second)
		s.Float.Check(t.Context())
	}
	told(t, e, "float.insufficient", "float.restored")
	e.SweepMoving(s)
	want(t, e, map[string]int64{"succeeded": 3})
}

// counting counts what is logged.
type counting struct {
	slog.Handler
	lines atomic.Int64
}

func (c *counting) Handle(context.Context, slog.Record) error {
	c.lines.Add(1)
	return nil
}

// A check forecasts once for all connectors of a tenant, and not at all for those that have too little for what is due already.
func TestAForecastIsMadeOnceForATenant(t *testing.T) {
	t.Parallel()
	e := wave(t)
	s := e.Sender()
	tells(s, 10_000)
	for _, name := range []string{"second", "third"} {
		s.Connectors.Add(&connector.Connector{Connector: provider.Connector{Tenant: payoutstest.Tenant, Provider: name, Kind: "wave"}, Balance: s.Connector.Balance, Throttle: s.Connector.Throttle})
	}
	failures := &counting{Handler: slog.NewTextHandler(io.Discard, nil)}
	s.Float.Logger = slog.New(failures)
	e.Tenants.Tenants[0].Schedules = []config.Schedule{{Name: "daily", Job: "payouts/daily", Cron: "what"}} // each forecast fails, and says so
	check := func(want int64) {
		t.Helper()
		before := failures.lines.Load()
		e.Clock.Advance(15 * time.Minute)
		s.Float.Check(t.Context())
		if n := failures.lines.Load() - before; n != want {
			t.Errorf("%d forecasts, want %d", n, want)
		}
		if n := e.Count("SELECT count(*) FROM provider_states WHERE float_read_at = $1", e.Clock.Now()); n != 3 {
			t.Errorf("%d of 3 balances were read", n)
		}
	}
	check(1)
	e.SQL("UPDATE provider_states SET float_state = 'insufficient'")
	tells(s, -1)
	for _, c := range s.Connectors.All() {
		c.Balance = s.Connector.Balance
	}
	check(0)
	check(0)
}
