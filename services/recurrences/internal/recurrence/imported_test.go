package recurrence

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestWhatAnImportMaySay(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 10, 30, 9, 0, 0, 0, time.UTC)
	monthly := Terms{Rhythm: Rhythm{Period: Monthly, Day: 30}}
	good := Imported{State: Active, Terms: monthly, NextChargeDate: on("2025-10-30")}
	with := func(change func(*Imported)) Imported { in := good; change(&in); return in }
	tests := []struct {
		name string
		in   Imported
		next string
		err  string
	}{
		{"active", good, "2025-10-30", ""},
		{"past due, with failures", with(func(in *Imported) { in.State, in.FailedAttempts = PastDue, 2 }), "2025-10-30", ""},
		{"on hold", with(func(in *Imported) { in.State = Hold }), "2025-10-30", ""},
		{"paused", with(func(in *Imported) { in.State = Paused }), "2025-10-30", ""},
		{"completed has no next cycle", with(func(in *Imported) { in.State = Completed }), "", ""},
		{"cancelled long ago", with(func(in *Imported) { in.State, in.EndedAt, in.NextChargeDate = Cancelled, now.AddDate(-1, 0, 0), 0 }), "", ""},
		{"archived", with(func(in *Imported) { in.State = Archived }), "", `status "archived"`},
		{"no status", with(func(in *Imported) { in.State = "" }), "", `status ""`},
		{"paused without a date", with(func(in *Imported) { in.State, in.NextChargeDate = Paused, 0 }), "", "next_charge_date is empty"},
		{"ended but active", with(func(in *Imported) { in.EndedAt = now.AddDate(0, 0, -1) }), "", "ended_at is set although"},
		{"ends tomorrow", with(func(in *Imported) { in.State, in.EndedAt = Cancelled, now.AddDate(0, 0, 1) }), "", "has not come yet"},
		{"negative failures", with(func(in *Imported) { in.FailedAttempts = -1 }), "", "failed_attempts -1"},
		{"negative cycles", with(func(in *Imported) { in.Terms.MaxCycles = -1 }), "", "max_cycles -1"},
		{"no rhythm", with(func(in *Imported) { in.Terms.Period = "sometimes" }), "", "period"},
		{"no rhythm, though ended", with(func(in *Imported) { in.State, in.Terms.Period = Completed, "sometimes" }), "", "period"},
		{"over before it begins", with(func(in *Imported) { in.Terms.EndDate = on("2025-10-29") }), "", "end_date 2025-10-29 is before its next cycle 2025-10-30"},
		{"ends with its next cycle", with(func(in *Imported) { in.Terms.EndDate = on("2025-10-30") }), "2025-10-30", ""},
		{"a date of another day", with(func(in *Imported) { in.NextChargeDate = on("2025-10-15") }), "", "write 2025-09-30 or 2025-10-30"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			at, err := wallclub(t).Position(tt.in, now)
			switch {
			case tt.err == "" && err != nil:
				t.Error(err)
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("error is %v, want %q in it", err, tt.err)
			case at.Next.Date.String() != tt.next || at.Cycles != 0:
				t.Errorf("goes on at %v, want %s", at, tt.next)
			}
		})
	}
}

// TestADateMeansTheCycleThatFallsOnItOrIsMovedToIt: old systems store either.
func TestADateMeansTheCycleThatFallsOnItOrIsMovedToIt(t *testing.T) {
	t.Parallel()
	p, r := wallclub(t), Rhythm{Period: Monthly, Day: 1}
	for date, want := range map[string]string{"2025-11-01": "2025-11-01", "2025-11-03": "2025-11-01", "2025-12-01": "2025-12-01", "2025-11-04": ""} {
		c, err := p.Locate(r, on(date))
		if c.Date.String() != want || (err != nil) != (want == "") {
			t.Errorf("%s means %s (%v), want %q", date, c.Date, err, want)
		}
	}
}

func TestWhatIsStoredIsFoundAgain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := rhythms(t)
		p := Policy{Calendar: calendar(t, rapid.SampledFrom([]string{NoMove, Following, ModifiedFollowing, Preceding}).Draw(t, "rule"))}
		c := p.Cycle(r.First(dates(t, "date")))
		if got, err := p.Locate(r, c.Date); err != nil || got != c {
			t.Fatalf("%v by its nominal date is %v, %v", c, got, err)
		}
		// By its charge date too, unless another cycle falls on that day.
		got, err := p.Locate(r, c.ChargeOn)
		if err != nil || got != c && got.Date != c.ChargeOn {
			t.Fatalf("%v by its charge date is %v, %v", c, got, err)
		}
	})
}

func TestIdentityOfADigest(t *testing.T) {
	t.Parallel()
	one := DigestID("wallclub", "seller-1", on("2025-10-30"))
	if one != DigestID("wallclub", "seller-1", on("2025-10-30")) || one == DigestID("wallclub", "seller-1", on("2025-10-31")) {
		t.Error("a digest's identity is not that of its seller and date")
	}
}
