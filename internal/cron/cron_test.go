package cron_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/cron"
)

func mustParse(t testing.TB, text string) cron.Expression {
	t.Helper()
	c, err := cron.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustZone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.UTC()
}

func between(t testing.TB, expression, from, to, zone string) []string {
	t.Helper()
	loc := mustZone(t, zone)
	var got []string
	for nominal := range mustParse(t, expression).Between(at(t, from), at(t, to), loc) {
		got = append(got, nominal.In(loc).Format("2006-01-02T15:04-0700"))
	}
	return got
}

func TestNext(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, cron, after, want string }{
		{"the daily payout", "59 23 * * *", "2025-01-24T00:00:00Z", "2025-01-24T23:59:00Z"},
		{"strictly after", "59 23 * * *", "2025-01-24T23:59:00Z", "2025-01-25T23:59:00Z"},
		{"a fraction of a second before", "59 23 * * *", "2025-01-24T23:58:59.999999999Z", "2025-01-24T23:59:00Z"},
		{"a fraction of a second after", "0 * * * *", "2025-01-24T23:00:00.000000001Z", "2025-01-25T00:00:00Z"},
		{"names", "30 6 * FEB Mon", "2025-01-24T00:00:00Z", "2025-02-03T06:30:00Z"},
		{"lists and ranges", "5,10-12,50 * * * *", "2025-01-24T00:11:00Z", "2025-01-24T00:12:00Z"},
		{"range with step", "10-40/15 * * * *", "2025-01-24T00:10:00Z", "2025-01-24T00:25:00Z"},
		{"star with step", "*/20 * * * *", "2025-01-24T00:40:00Z", "2025-01-24T01:00:00Z"},
		{"0 is Sunday", "0 2 * * 0", "2025-01-24T00:00:00Z", "2025-01-26T02:00:00Z"},
		{"7 is Sunday", "0 2 * * 7", "2025-01-24T00:00:00Z", "2025-01-26T02:00:00Z"},
		{"a weekend", "0 2 * * SAT-SUN", "2025-01-25T03:00:00Z", "2025-01-26T02:00:00Z"},
		{"step over all weekdays is even days", "0 0 * * */3", "2025-01-26T01:00:00Z", "2025-01-29T00:00:00Z"},
		{"day 31 skips short months", "0 0 31 * *", "2025-03-31T00:00:00Z", "2025-05-31T00:00:00Z"},
		{"29 February", "0 0 29 2 *", "2025-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"29 February over a year without one", "0 0 29 2 *", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"},
		{"a Sunday that is 29 February, the rarest date", "0 0 29 2 */7", "2088-03-01T00:00:00Z", "2128-02-29T00:00:00Z"},
		{"Vixie: day of month or day of week", "0 0 13 * 5", "2025-06-01T00:00:00Z", "2025-06-06T00:00:00Z"},
		{"Vixie: or, the other side", "0 0 13 * 1", "2025-05-12T00:00:00Z", "2025-05-13T00:00:00Z"},
		{"Vixie: a stepped star is a star, both must match", "0 0 */2 * 1", "2025-06-01T00:00:00Z", "2025-06-09T00:00:00Z"},
		{"Vixie: a star in a list is a star", "0 0 *,13 * 5", "2025-06-01T00:00:00Z", "2025-06-06T00:00:00Z"},
		{"@daily", "@daily", "2025-01-24T00:00:00Z", "2025-01-25T00:00:00Z"},
		{"@Monthly", " @Monthly ", "2025-01-24T00:00:00Z", "2025-02-01T00:00:00Z"},
		{"year end", "0 0 1 1 *", "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, after := mustParse(t, tt.cron), at(t, tt.after)
			if got := c.Next(after, time.UTC); !got.Equal(at(t, tt.want)) {
				t.Fatalf("Next(%s) = %s, want %s", tt.after, got.Format(time.RFC3339), tt.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	const fields = "write minute, hour, day of month, month and day of week"
	numbers := func(values string) string {
		return "which is not understood: write " + values + `, "*", a range a-b, a step */n or a-b/n, or a list of them`
	}
	tests := []struct{ cron, says string }{
		{"", `has 0 of 5 fields: ` + fields + `, such as "59 23 * * *"`},
		{"* * * *", `has 4 of 5 fields: ` + fields + `, such as "59 23 * * *"`},
		{"0 0 8 * * *", "has 6 fields, and there is none for seconds: " + fields},
		{"60 * * * *", `has minute "60", which is out of bounds: write 0 to 59`},
		{"* 24 * * *", `has hour "24", which is out of bounds: write 0 to 23`},
		{"* * 0 * *", `has day of month "0", which is out of bounds: write 1 to 31`},
		{"* * * 13 *", `has month "13", which is out of bounds: write 1 to 12 or JAN to DEC`},
		{"* * * * 8", `has day of week "8", which is out of bounds: write 0 to 7 or SUN to SAT`},
		{"5,50-60 * * * *", `has minute "50-60", which is out of bounds: write 0 to 59`},
		{"* * * FOO *", `has month "FOO", ` + numbers("1 to 12 or JAN to DEC")},
		{"JAN * * * *", `has minute "JAN", ` + numbers("0 to 59")},
		{"? * * * *", `has minute "?", which is another dialect: write "*" for any`},
		{"* * L * *", `has day of month "L", ` + numbers("1 to 31")},
		{"* * 15W * *", `has day of month "15W", ` + numbers("1 to 31")},
		{"* * * * 5#2", `has day of week "5#2", ` + numbers("0 to 7 or SUN to SAT")},
		{"+5 * * * *", `has minute "+5", ` + numbers("0 to 59")},
		{"-5 * * * *", `has minute "-5", ` + numbers("0 to 59")},
		{"5- * * * *", `has minute "5-", ` + numbers("0 to 59")},
		{"005 * * * *", `has minute "005", ` + numbers("0 to 59")},
		{"1,,2 * * * *", `has minute "", ` + numbers("0 to 59")},
		{"5/15 * * * *", `has minute "5/15", where a step needs a range: write 5-59/15`},
		{"*/0 * * * *", `has minute "*/0", a step out of bounds: write 1 to 60 after the /`},
		{"*/61 * * * *", `has minute "*/61", a step out of bounds: write 1 to 60 after the /`},
		{"0-10/12 * * * *", `has minute "0-10/12", a step out of bounds: write 1 to 11 after the /`},
		{"*/ * * * *", `has minute "*/", a step out of bounds: write 1 to 60 after the /`},
		{"*/5/2 * * * *", `has minute "*/5/2", a step out of bounds: write 1 to 60 after the /`},
		{"0 22-2 * * *", `has hour "22-2", a range that runs backwards: write 22-23,0-2`},
		{"0 0 * * FRI-MON", `has day of week "FRI-MON", a range that runs backwards: write FRI-7,0-MON`},
		{"0 0 30 2 *", "never comes, for none of its months has such a day: write another day or month"},
		{"0 0 31 4,6,9,11 *", "never comes, for none of its months has such a day: write another day or month"},
		{"@reboot", "is no known name: write @yearly, @monthly, @weekly, @daily, @hourly or five fields"},
		{"@every 5m", "is no known name: write @yearly, @monthly, @weekly, @daily, @hourly or five fields"},
		{"CRON_TZ=UTC 0 0 * * *", "names a time zone, which is the tenant's: write only the five fields"},
		{"TZ=UTC 0 0 * * *", "names a time zone, which is the tenant's: write only the five fields"},
	}
	for _, tt := range tests {
		t.Run(tt.cron, func(t *testing.T) {
			t.Parallel()
			want := fmt.Sprintf("%q %s", tt.cron, tt.says)
			if _, err := cron.Parse(tt.cron); err == nil || err.Error() != want {
				t.Fatalf("Parse(%q) = %v, want %s", tt.cron, err, want)
			}
		})
	}
	_, err := cron.Parse(strings.Repeat("0,", 300) + "0 * * * *")
	if want := `"0,0,0,0,0,0,0,0,0,0,"… is longer than 512 characters: write it with ranges and steps`; err == nil || err.Error() != want {
		t.Fatalf("Parse of 601 characters = %v, want %s", err, want)
	}
}

// A remedy that would be refused itself is none.
func TestRemediesAreAccepted(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"59 23 * * *", "5-59/15 * * * *", "0 22-23,0-2 * * *", "0 0 * * FRI-7,0-MON", "*/60 * * * *", "* * * JAN *", "@daily"} {
		mustParse(t, text)
	}
}

func TestStringIsNormal(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{" 59  23 * *\t* ": "59 23 * * *", "@hourly": "0 * * * *"} {
		if got := mustParse(t, text).String(); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestDaylightSaving(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, cron, zone, from, to string
		want                       []string
	}{
		{
			"a skipped midnight runs at the first instant after it", "0 0 * * *", "America/Sao_Paulo",
			"2018-11-03T00:00:00Z", "2018-11-05T12:00:00Z",
			[]string{"2018-11-03T00:00-0300", "2018-11-04T01:00-0200", "2018-11-05T00:00-0200"},
		}, {
			"a repeated 23:59 runs the first time", "59 23 * * *", "America/Sao_Paulo",
			"2018-02-17T00:00:00Z", "2018-02-19T12:00:00Z",
			[]string{"2018-02-16T23:59-0200", "2018-02-17T23:59-0200", "2018-02-18T23:59-0300"},
		}, {
			"a skipped half hour runs after it", "30 2 * * *", "America/New_York",
			"2026-03-07T00:00:00Z", "2026-03-09T12:00:00Z",
			[]string{"2026-03-07T02:30-0500", "2026-03-08T03:00-0400", "2026-03-09T02:30-0400"},
		}, {
			"several skipped times run once", "*/10 2 * * *", "America/New_York",
			"2026-03-08T06:00:00Z", "2026-03-08T12:00:00Z",
			[]string{"2026-03-08T03:00-0400"},
		}, {
			"a skipped time and its neighbour run once", "0 2,3 * * *", "America/New_York",
			"2026-03-08T06:00:00Z", "2026-03-08T12:00:00Z",
			[]string{"2026-03-08T03:00-0400"},
		}, {
			"half-hour gap", "15 2 * * *", "Australia/Lord_Howe",
			"2026-10-02T00:00:00Z", "2026-10-04T12:00:00Z",
			[]string{"2026-10-03T02:15+1030", "2026-10-04T02:30+1100"},
		}, {
			"half-hour overlap", "45 1 * * *", "Australia/Lord_Howe",
			"2026-04-03T20:00:00Z", "2026-04-05T20:00:00Z",
			[]string{"2026-04-05T01:45+1100", "2026-04-06T01:45+1030"},
		}, {
			"half-hour overlap by absolute time", "45 * * * *", "Australia/Lord_Howe",
			"2026-04-04T14:00:00Z", "2026-04-04T16:30:00Z",
			[]string{"2026-04-05T01:45+1100", "2026-04-05T01:45+1030", "2026-04-05T02:45+1030"},
		}, {
			"a date that a zone left out has no times", "0 8 * * *", "Pacific/Apia",
			"2011-12-29T00:00:00Z", "2011-12-31T20:00:00Z",
			[]string{"2011-12-29T08:00-1000", "2011-12-31T08:00+1400", "2012-01-01T08:00+1400"},
		}, {
			"no shifts at all", "59 23 * * *", "Africa/Abidjan",
			"2025-01-24T00:00:00Z", "2025-01-26T00:00:00Z",
			[]string{"2025-01-24T23:59+0000", "2025-01-25T23:59+0000"},
		}, {
			"an odd offset", "0 8 * * *", "Asia/Kathmandu",
			"2025-01-24T00:00:00Z", "2025-01-25T12:00:00Z",
			[]string{"2025-01-24T08:00+0545", "2025-01-25T08:00+0545"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, between(t, tt.cron, tt.from, tt.to, tt.zone)); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

func TestHourlyCountsFollowTheDay(t *testing.T) {
	t.Parallel()
	loc := mustZone(t, "America/New_York")
	for date, want := range map[string]int{"2026-03-08": 23, "2026-03-09": 24, "2026-11-01": 25} {
		day, err := time.ParseInLocation(time.DateOnly, date, loc)
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for range mustParse(t, "0 * * * *").Between(day.Add(-1), day.AddDate(0, 0, 1).Add(-1), loc) {
			got++
		}
		if got != want {
			t.Errorf("%s: %d ticks, want %d", date, got, want)
		}
	}
}

// The defects of gocron 2.21 around shifts of the clocks that made us compute nominal times ourselves.
func TestGocronDropsAnHourAtFallBack(t *testing.T) {
	t.Parallel()
	got := between(t, "0 * * * *", "2026-11-01T03:59:00Z", "2026-11-01T07:00:00Z", "America/New_York")
	want := []string{"2026-11-01T00:00-0400", "2026-11-01T01:00-0400", "2026-11-01T01:00-0500", "2026-11-01T02:00-0500"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestGocronFiresAFixedHourTwiceAtFallBack(t *testing.T) {
	t.Parallel()
	got := between(t, "*/30 1 * * *", "2026-11-01T00:00:00Z", "2026-11-01T12:00:00Z", "America/New_York")
	if diff := cmp.Diff([]string{"2026-11-01T01:00-0400", "2026-11-01T01:30-0400"}, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestGocronSkipsATimeInTheGap(t *testing.T) {
	t.Parallel()
	got := between(t, "30 2 * * *", "2026-03-08T00:00:00Z", "2026-03-09T00:00:00Z", "America/New_York")
	if diff := cmp.Diff([]string{"2026-03-08T03:00-0400"}, got); diff != "" {
		t.Fatal(diff)
	}
}
