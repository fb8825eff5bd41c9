package recurrence

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDatesAreThoseOfTheCalendar(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.IntRange(0, 3_000_000).Draw(t, "days"))
		d := DateAt(at)
		if !d.Time().Equal(at) || d.String() != at.Format(time.DateOnly) {
			t.Fatalf("%s became %s", at, d)
		}
		if want := (int(at.Weekday())+6)%7 + 1; d.ISODay() != want {
			t.Fatalf("%s has ISO day %d, want %d", d, d.ISODay(), want)
		}
		if next := DateAt(at.AddDate(0, 0, 1)); next != d+1 {
			t.Fatalf("the day after %s is %s, want %s", d, next, d+1)
		}
		if back, err := ParseDate(d.String()); err != nil || back != d {
			t.Fatalf("%s reads as %s: %v", d, back, err)
		}
	})
}

func TestTheDateOfAnInstantIsThatOfItsZone(t *testing.T) {
	t.Parallel()
	saoPaulo := time.FixedZone("UTC-3", -3*3600)
	at := time.Date(2025, 10, 31, 1, 0, 0, 0, time.UTC)
	if d := DateAt(at.In(saoPaulo)); d.String() != "2025-10-30" {
		t.Errorf("at 22:00 in São Paulo it is %s", d)
	}
}

func TestTextsThatAreNoDates(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "30/10/2025", "2025-02-29", "2025-13-01", "2025-10-30T08:00:00Z", "0000-01-01", " 2025-10-30"} {
		if d, err := ParseDate(s); err == nil {
			t.Errorf("%q reads as %s", s, d)
		}
	}
}

func TestNoDateIsNullAndEmpty(t *testing.T) {
	t.Parallel()
	v, err := Date(0).Value()
	if v != nil || err != nil {
		t.Errorf("Value = %v, %v", v, err)
	}
	d := Date(5)
	if err := d.Scan(nil); err != nil || d != 0 {
		t.Errorf("Scan(nil) = %v, %v", d, err)
	}
	if err := d.Scan(7); err == nil {
		t.Error("a number was read as a date")
	}
	if err := d.Scan("2025-10-30"); err != nil || d != on("2025-10-30") {
		t.Errorf("Scan of text = %v, %v", d, err)
	}
	type row struct {
		On, None Date
	}
	body, err := json.Marshal(row{On: on("2025-10-30")})
	if err != nil || string(body) != `{"On":"2025-10-30","None":""}` {
		t.Errorf("JSON is %s, %v", body, err)
	}
	var back row
	if err := json.Unmarshal(body, &back); err != nil || back != (row{On: on("2025-10-30")}) {
		t.Errorf("read back %v, %v", back, err)
	}
}

// on reads a date of a test.
func on(s string) Date {
	d, err := ParseDate(s)
	if err != nil {
		panic(err)
	}
	return d
}

func FuzzParseDate(f *testing.F) {
	for _, s := range []string{"2025-10-30", "2024-02-29", "2025-02-29", "0000-01-01", "0001-01-01", "9999-12-31", "10000-01-01", "2025-1-1", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDate(s)
		if err != nil {
			if d != 0 {
				t.Errorf("%q is refused, and reads as %s", s, d)
			}
			return
		}
		if d < 1 || d.String() != s {
			t.Errorf("%q reads as %s", s, d)
		}
	})
}
