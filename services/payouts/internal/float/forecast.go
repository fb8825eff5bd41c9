package float

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/cron"
	"github.com/agogopay/agogo/services/payouts/internal/float/db"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
)

// Need is what a provider's float must cover by the end of the next run.
type Need struct {
	Waiting  int64 // planned and not sent, whether approved yet or not
	Owed     int64 // completed and not planned: what the run would send if it were now
	Expected int64 // what is still to be completed before it, going by the days before
}

// Total is all of it.
func (n Need) Total() int64 { return n.Waiting + n.Owed + n.Expected }

// Forecast is what a tenant's next run needs.
type Forecast struct {
	Run   time.Time // its nominal time; zero: the tenants file has no schedule of daily payouts
	Needs map[string]Need
}

// forecasting is how long a forecast may take.
const forecasting = time.Minute

// Forecast says what the tenant's next run will need of each provider. It reads all that is owed: who asks while one is being made gets
// that one, so that many viewers cost no more than one.
func (k *Keeper) Forecast(ctx context.Context, t config.Tenant) (Forecast, error) {
	made := k.making.DoChan(t.ID, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forecasting) // it is not only the first's who has asked
		defer cancel()
		return k.forecast(ctx, t)
	})
	select {
	case r := <-made:
		f, _ := r.Val.(Forecast)
		return f, r.Err
	case <-ctx.Done():
		return Forecast{}, ctx.Err()
	}
}

func (k *Keeper) forecast(ctx context.Context, t config.Tenant) (Forecast, error) {
	now := k.Clock.Now()
	f := Forecast{Needs: map[string]Need{}}
	var err error
	if f.Run, err = next(t, now); err != nil {
		return f, err
	}
	if err := k.waiting(ctx, t, daysUntil(now, f.Run, t.Location), f.Needs); err != nil {
		return f, err
	}
	if f.Run.IsZero() {
		return f, nil
	}
	if err := k.owed(ctx, t, f.Run, f.Needs); err != nil {
		return f, err
	}
	past, err := k.past(ctx, t, f.Run, now)
	if err != nil {
		return f, err
	}
	for name, slots := range past.slots {
		need := f.Needs[name]
		need.Expected = past.usual(slots, now, f.Run, t.Location)
		f.Needs[name] = need
	}
	for name, need := range f.Needs {
		f.Needs[name] = capped(need, t.Payouts.DailyCap)
	}
	return f, nil
}

// capped leaves of a run what the tenant's daily cap lets out. Of several providers each might use all of it.
func capped(n Need, most int64) Need {
	if most > 0 {
		n.Owed = min(n.Owed, most)
		n.Expected = min(n.Expected, most-n.Owed)
	}
	return n
}

// next is the nominal time of the tenant's next run of daily payouts.
func next(t config.Tenant, now time.Time) (first time.Time, err error) {
	for _, s := range t.Schedules {
		if s.Job != jobDaily {
			continue
		}
		e, err := cron.Parse(s.Cron)
		if err != nil {
			return time.Time{}, fmt.Errorf("schedule %s: %w", s.Name, err)
		}
		if at := e.Next(now, t.Location); first.IsZero() || !at.IsZero() && at.Before(first) {
			first = at
		}
	}
	return first, nil
}

// jobDaily is the job that plans payouts.
const jobDaily = "payouts/daily"

// waiting adds what is planned and not sent. What a cap holds today goes on a later day, and of a day no more than the cap lets out: the rest of it needs no
// float before the run after the next one.
func (k *Keeper) waiting(ctx context.Context, t config.Tenant, days int64, needs map[string]Need) error {
	rows, err := db.New(k.Pool).Waiting(ctx, db.WaitingParams{Tenant: t.ID, ForPeople: forPeople(), PayeeRoom: room(t.Payouts.PayeeDailyCap, days)})
	if err != nil {
		return fmt.Errorf("add up what waits to be sent of %s: %w", t.ID, err)
	}
	for _, r := range rows {
		need := needs[r.Provider]
		need.Waiting = r.Net + min(r.OfDay, room(t.Payouts.DailyCap, days))
		needs[r.Provider] = need
	}
	return nil
}

// room is what a daily cap lets out in so many days after today; an absent one everything.
func room(most, days int64) int64 {
	if most <= 0 {
		return math.MaxInt64
	}
	return most * days
}

// daysUntil is how many of the tenant's days begin from now until a run; one where none is known.
func daysUntil(now, run time.Time, loc *time.Location) int64 {
	if run.IsZero() {
		return 1
	}
	day := func(at time.Time) time.Time {
		y, m, d := at.In(loc).Date()
		return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	}
	return int64(day(run).Sub(day(now)) / (24 * time.Hour))
}

// forPeople are the causes that go away when people do something about them, if they do.
func forPeople() []string {
	return append(payout.NeedsPerson(), payout.CodePayeePaused, payout.CodeDestination, payout.CodeMismatch, payout.CodeMaxPerPayout)
}

func (k *Keeper) owed(ctx context.Context, t config.Tenant, run time.Time, needs map[string]Need) error {
	verifying, rules := verifying(t)
	rows, err := db.New(k.Pool).Owed(ctx, db.OwedParams{
		Tenant: t.ID, CutOff: run, AcceptFrom: payout.AcceptFrom(t.Payouts.AcceptFrom, t.Location), Methods: t.Payouts.PayableMethods,
		Minimum: t.Payouts.Minimum, Most: t.Payouts.MaxPerPayout, DefaultProvider: t.Payouts.DefaultProvider,
		CooledSince: run.Add(-t.Payouts.DestinationCoolOff), Verifying: verifying, Rules: rules,
	})
	if err != nil {
		return fmt.Errorf("add up what is owed to payees of %s: %w", t.ID, err)
	}
	for _, r := range rows {
		need := needs[r.Provider]
		need.Owed = r.Net
		needs[r.Provider] = need
	}
	return nil
}

// verifying are the providers that are asked about wallets, and by which rules.
func verifying(t config.Tenant) (names, rules []string) {
	names, rules = []string{}, []string{}
	for name, p := range t.Providers {
		if p.VerifyRecipients != "" && p.VerifyRecipients != config.VerifyNone {
			names, rules = append(names, name), append(rules, p.VerifyRecipients)
		}
	}
	return names, rules
}

const (
	slotSeconds = 15 * 60
	slotsPerDay = 24 * 60 * 60 / slotSeconds
	// daysBack is how many days before count for a daily run, weeksBack how many spans for a rarer one.
	daysBack, spansBack = 7, 4
	// remembered is how long the past is good for: it hardly changes.
	remembered = time.Hour
)

// past is what payees earned, by provider and quarter of an hour, the tenant's clocks counted as if they were UTC's.
type past struct {
	slots  map[string]map[int64]int64
	read   time.Time
	period int // days from one span to the one before
}

// past reads what was completed in the days before, or remembers it.
func (k *Keeper) past(ctx context.Context, t config.Tenant, run, now time.Time) (past, error) {
	period := max(1, int((run.Sub(now)+24*time.Hour-1)/(24*time.Hour)))
	k.mu.Lock()
	p, ok := k.before[t.ID]
	k.mu.Unlock()
	if ok && p.period == period && !now.Before(p.read) && now.Sub(p.read) < remembered {
		return p, nil
	}
	p = past{slots: map[string]map[int64]int64{}, read: now, period: period}
	rows, err := db.New(k.Pool).Earned(ctx, db.EarnedParams{
		Tenant: t.ID, Zone: t.Timezone, Since: now.Add(-time.Duration(p.spans()*period)*24*time.Hour - time.Hour), Until: now,
		Methods: t.Payouts.PayableMethods, DefaultProvider: t.Payouts.DefaultProvider,
	})
	if err != nil {
		return past{}, fmt.Errorf("read what payees of %s earned in the days before: %w", t.ID, err)
	}
	for _, r := range rows {
		if p.slots[r.Provider] == nil {
			p.slots[r.Provider] = map[int64]int64{}
		}
		p.slots[r.Provider][r.Slot] += r.Net
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.before[t.ID] = p
	return p, nil
}

func (p past) spans() int {
	if p.period == 1 {
		return daysBack
	}
	return spansBack
}

// usual is the median, over the days before, of what was completed between the time that it is now and the time of the run. Days
// before the first on which anything was completed say nothing. Of two middle ones it is the higher.
func (p past) usual(slots map[int64]int64, now, run time.Time, loc *time.Location) int64 {
	first := int64(-1)
	for s := range slots {
		if first < 0 || s < first {
			first = s
		}
	}
	from, to := slot(now, loc), slot(run, loc)
	var sums []int64
	for n := 1; n <= p.spans(); n++ {
		shift := int64(n * p.period * slotsPerDay)
		if to-shift < first {
			break
		}
		var sum int64
		for s := from - shift; s <= to-shift; s++ {
			sum += slots[s]
		}
		sums = append(sums, sum)
	}
	if len(sums) == 0 {
		return 0
	}
	slices.Sort(sums)
	return sums[len(sums)/2]
}

// slot is the quarter of an hour that the tenant's clocks show.
func slot(at time.Time, loc *time.Location) int64 {
	_, offset := at.In(loc).Zone()
	return (at.Unix() + int64(offset)) / slotSeconds
}
