package breaks_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/payouts/internal/breaks"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// bench is a payee whose breaks are counted.
type bench struct {
	*payoutstest.Env
	t *testing.T
}

func newBench(t *testing.T) *bench {
	t.Helper()
	e := payoutstest.New(t)
	e.Import(payoutstest.Header + payoutstest.Pay("a", "drv-1", 1000, "2025-01-24T10:00:00Z"))
	return &bench{e, t}
}

// do starts or ends a break at a time, with the clock there.
func (b *bench) do(what, at string) (breaks.Break, error) {
	b.t.Helper()
	b.Clock.Set(payoutstest.At(at))
	var got breaks.Break
	err := pg.InTx(b.t.Context(), b.Pool, func(tx pgx.Tx) (err error) {
		fn := b.Breaks.Start
		if what == "end" {
			fn = b.Breaks.End
		}
		got, err = fn(b.t.Context(), tx, payoutstest.Tenant, "drv-1", payoutstest.At(at))
		return err
	})
	return got, err
}

func (b *bench) must(what, at string) breaks.Break {
	b.t.Helper()
	got, err := b.do(what, at)
	if err != nil {
		b.t.Fatalf("%s at %s: %v", what, at, err)
	}
	return got
}

func (b *bench) reset(date string) int {
	b.t.Helper()
	var n int
	b.InTx(func(tx pgx.Tx) (err error) {
		_, n, err = b.Breaks.ResetPage(b.t.Context(), tx, payoutstest.Tenant, date, "")
		return err
	})
	return n
}

func (b *bench) get() breaks.Break {
	b.t.Helper()
	got, err := b.Breaks.Get(b.t.Context(), b.Pool, payoutstest.Tenant, "drv-1")
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

// resets are what break.reset events told: date, seconds before, previous state.
func (b *bench) resets() []string {
	b.t.Helper()
	var all []string
	for _, ev := range b.Events() {
		if ev.Type != "break.reset" {
			continue
		}
		var body eventsv1.Break
		if err := event.Decode(ev.Body, &body); err != nil {
			b.t.Fatal(err)
		}
		all = append(all, body.GetLocalDate()+" "+time.Duration(body.GetTotalSecondsBefore()*int64(time.Second)).String()+" "+body.GetPreviousState())
	}
	return all
}

func TestBreaksAddUp(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must("start", "2025-01-24T10:00:00Z")
	if got := b.must("end", "2025-01-24T10:15:00Z"); got.TotalSeconds != 900 || got.OpenSince != nil {
		t.Errorf("%+v", got)
	}
	b.must("start", "2025-01-24T12:00:00Z")
	if got := b.must("end", "2025-01-24T12:00:30Z"); got.TotalSeconds != 930 {
		t.Errorf("%+v", got)
	}
}

func TestBreaksRefuseWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if _, err := b.do("end", "2025-01-24T10:00:00Z"); !errors.Is(err, breaks.ErrNotOpen) {
		t.Errorf("end without start: %v", err)
	}
	b.must("start", "2025-01-24T10:00:00Z")
	if _, err := b.do("start", "2025-01-24T11:00:00Z"); !errors.Is(err, breaks.ErrOpen) {
		t.Errorf("start twice: %v", err)
	}
	if _, err := b.do("end", "2025-01-24T09:00:00Z"); !errors.Is(err, breaks.ErrTime) {
		t.Errorf("end before start: %v", err)
	}
	if _, err := b.do("end", "2025-01-23T11:00:00Z"); !errors.Is(err, breaks.ErrTime) {
		t.Errorf("end on the day before: %v", err)
	}
	err := pg.InTx(t.Context(), b.Pool, func(tx pgx.Tx) error {
		_, err := b.Breaks.End(t.Context(), tx, payoutstest.Tenant, "drv-1", b.Clock.Now().Add(time.Second))
		return err
	})
	if !errors.Is(err, breaks.ErrTime) {
		t.Errorf("end in the future: %v", err)
	}
	if _, err := b.Breaks.Get(t.Context(), b.Pool, payoutstest.Tenant, "nobody"); !errors.Is(err, breaks.ErrNoPayee) {
		t.Errorf("nobody: %v", err)
	}
}

func TestABreakThatSpansMidnightCountsFromMidnight(t *testing.T) {
	t.Parallel()
	for name, reset := range map[string]func(b *bench){
		"reset by the job":         func(b *bench) { b.reset("2025-01-25") },
		"rolled over by the payee": func(*bench) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.must("start", "2025-01-24T10:00:00Z")
			b.must("end", "2025-01-24T10:10:00Z")
			b.must("start", "2025-01-24T23:50:00Z")
			b.Clock.Set(payoutstest.At("2025-01-25T00:00:00Z"))
			reset(b)
			if got := b.must("end", "2025-01-25T00:20:00Z"); got.TotalSeconds != 1200 || got.LocalDate != "2025-01-25" || got.LastResetDate != "2025-01-25" {
				t.Errorf("%+v, want 20 minutes since midnight", got)
			}
			b.reset("2025-01-25") // late or again: the day's own breaks stay
			if got := b.get(); got.TotalSeconds != 1200 {
				t.Errorf("a late reset took %d seconds away", 1200-got.TotalSeconds)
			}
			if diff := cmp.Diff([]string{"2025-01-25 10m0s counted"}, b.resets()); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			b.CheckEvents()
		})
	}
}

func TestResetIsIdempotentAndFollowsDays(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must("start", "2025-01-24T10:00:00Z")
	b.must("end", "2025-01-24T10:10:00Z")
	for i, want := range []int{1, 0, 0} {
		if n := b.reset("2025-01-25"); n != want {
			t.Errorf("reset %d did %d", i, n)
		}
	}
	if n := b.reset("2025-01-24"); n != 0 {
		t.Errorf("an earlier date reset %d", n)
	}
	b.reset("2025-01-26")
	if diff := cmp.Diff([]string{"2025-01-25 10m0s counted", "2025-01-26 0s reset"}, b.resets()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	b.CheckEvents()
}

func TestGetShowsTodayBeforeAnybodyReset(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must("start", "2025-01-24T10:00:00Z")
	b.must("end", "2025-01-24T10:10:00Z")
	b.must("start", "2025-01-24T23:00:00Z")
	b.Clock.Set(payoutstest.At("2025-01-25T08:00:00Z"))
	got := b.get()
	if got.LocalDate != "2025-01-25" || got.TotalSeconds != 0 || !got.OpenSince.Equal(payoutstest.At("2025-01-25T00:00:00Z")) {
		t.Errorf("%+v", got)
	}
}

// TestMidnightIsTheTenants: São Paulo's day begins at 03:00 UTC.
func TestMidnightIsTheTenants(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	zone, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		t.Fatal(err)
	}
	b.Tenants.Tenants[0].Location = zone
	b.must("start", "2025-01-25T02:50:00Z") // 23:50 of the 24th there
	if got := b.must("end", "2025-01-25T03:05:00Z"); got.TotalSeconds != 300 || got.LocalDate != "2025-01-25" {
		t.Errorf("%+v, want the 5 minutes since local midnight", got)
	}
}
