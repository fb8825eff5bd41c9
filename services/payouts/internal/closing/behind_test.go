package closing_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/closing"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

// TestDaysBehindOneThatFails are behind the provider, too: their runs end, the nights after them have theirs, each row says for which day it
// waits, and all are closed when the provider is back.
func TestDaysBehindOneThatFails(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.Ticks.Jobs[closing.Job], r.Exec.Jobs[closing.Job] = r.closer.Page, r.closer.Page
	r.paper.fail = func(int) error { return errors.New("the page ends in the middle") }
	rows := func() (all []string) {
		closes, err := closing.List(t.Context(), r.Env.Pool, payoutstest.Tenant, "wave", closing.Place{}, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range closes {
			all = append(all, fmt.Sprintf("%s %s %s", k.LocalDate, k.State, k.Reason))
		}
		return all
	}
	waits := "open waits for " + today + ", which could not be closed"
	want := []string{today + " open the statement could not be read: the page ends in the middle"}
	for night := range 4 {
		id := r.Run(payoutstest.Tick("close", closing.Job, dayAfter(tomorrow, night)+"T00:30:00Z"))
		if night > 0 { // asked for, and with it the day that it waits for is tried again: nothing is said before that
			want = append([]string{dayAfter(today, night) + " open "}, want...)
			for n := 1; n < night; n++ {
				want[n] = dayAfter(today, night-n) + " open "
			}
			if diff := cmp.Diff(want, rows()); diff != "" {
				t.Errorf("night %d, before its try (-want +got):\n%s", night, diff)
			}
		}
		r.work()
		for n := range night {
			want[n] = dayAfter(today, night-n) + " " + waits
		}
		if diff := cmp.Diff(want, rows()); diff != "" {
			t.Errorf("night %d (-want +got):\n%s", night, diff)
		}
		if n := r.Count("SELECT count(*) FROM runs WHERE run_id = $1 AND state = $2", id, run.Completed); n != 1 {
			t.Errorf("night %d: its run is not complete", night)
		}
		r.Clock().Advance(24 * time.Hour)
	}
	if n := r.Count("SELECT count(*) FROM closes WHERE tries > 0"); n != 1 {
		t.Errorf("%d days were tried", n)
	}
	r.paper.fail = nil
	r.work()
	want = []string{}
	for n := 3; n >= 0; n-- {
		want = append(want, dayAfter(today, n)+" completed ")
	}
	if diff := cmp.Diff(want, rows()); diff != "" {
		t.Errorf("the provider is back (-want +got):\n%s", diff)
	}
}
