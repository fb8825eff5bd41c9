package cron_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	robfig "github.com/robfig/cron/v3"
	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/cron"
)

// drawn is an expression and, drawn beside its text instead of parsed from it, what it means.
type drawn struct {
	text     string
	sets     [5]map[int]bool
	stars    [5]bool // the field begins with a star
	absolute bool
}

var bounds = [5][2]int{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 6}}

func drawField(t *rapid.T, label string, low, high int, steppedStar bool) (text string, set map[int]bool) {
	set = map[int]bool{}
	add := func(from, to, step int) {
		for v := from; v <= to; v += step {
			set[v] = true
		}
	}
	var parts []string
	for range rapid.IntRange(1, 3).Draw(t, label+" parts") {
		a, b := rapid.IntRange(low, high).Draw(t, "a"), rapid.IntRange(low, high).Draw(t, "b")
		a, b = min(a, b), max(a, b)
		kind := rapid.IntRange(0, 4).Draw(t, "kind")
		if kind == 4 && !steppedStar {
			kind = 0
		}
		switch kind {
		case 0:
			parts = append(parts, "*")
			add(low, high, 1)
		case 1:
			parts = append(parts, fmt.Sprint(a))
			add(a, a, 1)
		case 2:
			parts = append(parts, fmt.Sprintf("%d-%d", a, b))
			add(a, b, 1)
		case 3:
			step := rapid.IntRange(1, b-a+1).Draw(t, "step")
			parts = append(parts, fmt.Sprintf("%d-%d/%d", a, b, step))
			add(a, b, step)
		case 4:
			step := rapid.IntRange(1, high-low+1).Draw(t, "step")
			parts = append(parts, fmt.Sprintf("*/%d", step))
			add(low, high, step)
		}
	}
	return strings.Join(parts, ","), set
}

// draw makes an expression. Without stepped stars it means the same in every dialect.
func draw(t *rapid.T, steppedStars bool) drawn {
	var d drawn
	var texts [5]string
	for i, label := range []string{"minute", "hour", "dom", "month", "dow"} {
		texts[i], d.sets[i] = drawField(t, label, bounds[i][0], bounds[i][1], steppedStars || i < 2)
		d.stars[i] = strings.HasPrefix(texts[i], "*")
	}
	d.absolute = strings.ContainsAny(texts[1], "*/")
	d.text = strings.Join(texts[:], " ")
	return d
}

func (d drawn) matches(w time.Time) bool {
	if !d.sets[0][w.Minute()] || !d.sets[1][w.Hour()] || !d.sets[3][int(w.Month())] {
		return false
	}
	dom, dow := d.sets[2][w.Day()], d.sets[4][int(w.Weekday())]
	if d.stars[2] || d.stars[4] {
		return dom && dow
	}
	return dom || dow
}

// walk finds the nominal times in (from, to] by looking at the wall clock in every single minute.
func (d drawn) walk(from, to time.Time, loc *time.Location) []string {
	var found []string
	asWall := func(t time.Time) time.Time {
		l := t.In(loc)
		return time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), 0, 0, time.UTC)
	}
	seen := map[time.Time]bool{}
	start := from.Truncate(time.Minute).Add(-48 * time.Hour) // far enough back to have seen what an overlap repeats
	last := asWall(start).Add(-time.Minute)
	for t := start; !t.After(to); t = t.Add(time.Minute) {
		w := asWall(t)
		hit := d.matches(w)
		if !d.absolute {
			hit = hit && !seen[w]
			skipped := map[string][]time.Time{}
			for gap := last.Add(time.Minute); gap.Before(w); gap = gap.Add(time.Minute) {
				skipped[gap.Format(time.DateOnly)] = append(skipped[gap.Format(time.DateOnly)], gap)
			}
			for _, walls := range skipped {
				if len(walls) < 24*60 && slices.ContainsFunc(walls, d.matches) {
					hit = true
				}
			}
		}
		seen[w], last = true, w
		if hit && t.After(from) {
			found = append(found, t.UTC().Format(time.RFC3339))
		}
	}
	return found
}

// moments lie around shifts of the clocks.
var moments = []struct{ zone, around string }{
	{"Africa/Abidjan", "2025-01-24T12:00:00Z"},
	{"America/Sao_Paulo", "2018-02-18T02:00:00Z"},
	{"America/Sao_Paulo", "2018-11-04T03:00:00Z"},
	{"America/New_York", "2026-11-01T06:00:00Z"},
	{"America/New_York", "2026-03-08T07:00:00Z"},
	{"Australia/Lord_Howe", "2026-04-04T15:00:00Z"},
	{"Australia/Lord_Howe", "2026-10-03T15:30:00Z"},
	{"Asia/Kathmandu", "2025-06-01T00:00:00Z"},
	{"America/St_Johns", "2010-11-07T02:31:00Z"}, // at 00:01 back to 23:01 of the day before
	{"Pacific/Apia", "2011-12-30T10:00:00Z"},     // a date left out
	{"Africa/Casablanca", "2026-02-15T02:00:00Z"},
	{"Africa/Casablanca", "2026-03-22T02:00:00Z"},
}

func TestEnumerationEqualsMinuteWalk(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t, true)
		c, err := cron.Parse(d.text)
		if err != nil {
			if strings.Contains(err.Error(), "never comes") {
				return // the walk would find nothing either
			}
			t.Fatal(err)
		}
		m := rapid.SampledFrom(moments).Draw(t, "moment")
		loc, err := time.LoadLocation(m.zone)
		if err != nil {
			t.Fatal(err)
		}
		around, err := time.Parse(time.RFC3339, m.around)
		if err != nil {
			t.Fatal(err)
		}
		from := around.Add(-time.Duration(rapid.IntRange(0, 30*3600).Draw(t, "seconds before")) * time.Second)
		to := around.Add(time.Duration(rapid.IntRange(0, 30*3600).Draw(t, "seconds after")) * time.Second)

		var forward []string
		for nominal := range c.Between(from, to, loc) {
			forward = append(forward, nominal.Format(time.RFC3339))
			if !c.Contains(nominal, loc) {
				t.Fatalf("%s is enumerated but not contained", nominal)
			}
		}
		if diff := cmp.Diff(d.walk(from, to, loc), forward); diff != "" {
			t.Fatalf("%s in %s, minute walk (-) against Between (+):\n%s", d.text, m.zone, diff)
		}
		var backward []string
		for nominal := c.Prev(to.Add(1), loc); nominal.After(from); nominal = c.Prev(nominal, loc) {
			backward = append(backward, nominal.Format(time.RFC3339))
		}
		slices.Reverse(backward)
		if diff := cmp.Diff(forward, backward); diff != "" {
			t.Fatalf("%s in %s, Between (-) against Prev (+):\n%s", d.text, m.zone, diff)
		}
	})
}

func TestNextEqualsRobfigInFixedZones(t *testing.T) {
	t.Parallel()
	parser := robfig.NewParser(robfig.Minute | robfig.Hour | robfig.Dom | robfig.Month | robfig.Dow)
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t, false) // robfig does not take a stepped star for a star, Vixie cron does
		ours, err := cron.Parse(d.text)
		if err != nil {
			if strings.Contains(err.Error(), "never comes") {
				return
			}
			t.Fatal(err)
		}
		theirs, err := parser.Parse(d.text)
		if err != nil {
			t.Fatal(err)
		}
		for i, field := range strings.Fields(d.text) {
			if (i == 2 || i == 4) && strings.Contains(field, "*") && !strings.HasPrefix(field, "*") {
				return // robfig looks for a star in the whole list, Vixie cron at its beginning
			}
		}
		zone := time.FixedZone("", rapid.IntRange(-12*4, 14*4).Draw(t, "quarter hours")*900)
		at := time.Date(2020, 1, 1, 0, 0, 0, 0, zone).Add(time.Duration(rapid.IntRange(0, 4*366*24*3600).Draw(t, "second")) * time.Second)
		for range 20 {
			want := theirs.Next(at)
			if want.IsZero() {
				return // robfig gives up after five years
			}
			if got := ours.Next(at, zone); !got.Equal(want) {
				t.Fatalf("%s after %s: %s, robfig says %s", d.text, at, got, want)
			}
			at = want
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"59 23 * * *", "0 * * * *", "*/5 8-18/2 1,15 JAN-MAR MON-FRI", "@daily", "0 0 29 2 */7", "0 0 30 2 *", "0 0 8 * * *",
		"5/15 * * * *", "* * * * 5-0", "", "@", "0-59/60 0-23/24 * * 7", "CRON_TZ=UTC 0 0 * * *", "99999999999999999999 * * * *",
	} {
		f.Add(seed, int64(1_737_763_140))
	}
	loc, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		c, err := cron.Parse(text)
		if err != nil {
			return
		}
		again, err := cron.Parse(c.String())
		if err != nil || again != c {
			t.Fatalf("%q reads as %q, which reads as %+v, %v", text, c.String(), again, err)
		}
		at := time.Unix(unix%(1<<32), 0) // 1833 to 2106
		next := c.Next(at, loc)
		if next.IsZero() {
			return // only in gaps, or only beyond the horizon
		}
		if !next.After(at) || !c.Contains(next, loc) {
			t.Fatalf("%q: Next(%s) = %s", text, at, next)
		}
		if prev := c.Prev(next, loc); prev.After(at) {
			t.Fatalf("%q: Next(%s) = %s jumped over %s", text, at, next, prev)
		}
	})
}
