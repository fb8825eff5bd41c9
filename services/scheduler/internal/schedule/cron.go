package schedule

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// maxCronLength bounds what the parser looks at; the longest useful list of minutes is shorter.
const maxCronLength = 512

// Cron is a parsed five-field cron expression: minute, hour, day of month, month, day of week. The zero value never
// fires; make one with [ParseCron].
type Cron struct {
	text   string
	minute uint64 // bit n: minute n
	hour   uint64
	dom    uint64
	month  uint64
	dow    uint64 // bit 0: Sunday; 7 is folded into it
	// domStar and dowStar say that the field begins with "*". As in Vixie cron, a day must then match both fields;
	// when neither is a star, matching one of them is enough.
	domStar, dowStar bool
	// absolute says that the hour field has a wildcard or a step: the expression then means "every so often" and runs
	// by absolute time, not once per local time of day (see [Cron.Next]).
	absolute bool
}

// String is the expression in its normal form: five fields, single spaces, macros spelled out.
func (c Cron) String() string { return c.text }

// IsZero reports whether c was never parsed.
func (c Cron) IsZero() bool { return c.text == "" }

// field is the grammar of one of the five fields.
type field struct {
	name     string
	min, max int
	names    []string // names[i] is min+i
}

var (
	monthNames = []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
	dayNames   = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}

	minuteField = field{name: "minute", min: 0, max: 59}
	hourField   = field{name: "hour", min: 0, max: 23}
	domField    = field{name: "day of month", min: 1, max: 31}
	monthField  = field{name: "month", min: 1, max: 12, names: monthNames}
	dowField    = field{name: "day of week", min: 0, max: 7, names: dayNames}
)

// macros are the usual names of whole expressions. They stand for fixed hours; only @hourly runs by absolute time.
var macros = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

// ParseCron reads "minute hour day-of-month month day-of-week" with names (JAN, MON), ranges, steps and lists, or one of
// @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly. It refuses what other dialects would read
// differently (seconds, "?", "L", "5/15", ranges that wrap, a zone prefix) and expressions that could never fire.
func ParseCron(text string) (Cron, error) {
	if len(text) > maxCronLength {
		return Cron{}, fmt.Errorf("cron expression is longer than %d characters", maxCronLength)
	}
	if strings.HasPrefix(strings.TrimSpace(text), "@") {
		full, ok := macros[strings.ToLower(strings.TrimSpace(text))]
		if !ok {
			return Cron{}, fmt.Errorf("cron %q: only @yearly, @monthly, @weekly, @daily and @hourly are known; write five fields instead", text)
		}
		text = full
	}
	fields := strings.Fields(text)
	if err := checkShape(text, fields); err != nil {
		return Cron{}, err
	}
	c := Cron{text: strings.Join(fields, " ")}
	for i, f := range []struct {
		grammar field
		into    *uint64
	}{{minuteField, &c.minute}, {hourField, &c.hour}, {domField, &c.dom}, {monthField, &c.month}, {dowField, &c.dow}} {
		set, err := f.grammar.parse(fields[i])
		if err != nil {
			return Cron{}, fmt.Errorf("cron %q: %s %q: %w", c.text, f.grammar.name, fields[i], err)
		}
		*f.into = set
	}
	c.dow = (c.dow | c.dow>>7) & 0x7f
	c.domStar, c.dowStar = strings.HasPrefix(fields[2], "*"), strings.HasPrefix(fields[4], "*")
	c.absolute = strings.ContainsAny(fields[1], "*/")
	if !c.possible() {
		return Cron{}, fmt.Errorf("cron %q never fires: none of its months has such a day", c.text)
	}
	return c, nil
}

func checkShape(text string, fields []string) error {
	if strings.Contains(text, "TZ=") {
		return fmt.Errorf("cron %q: a zone does not belong here, it is the tenant's timezone", text)
	}
	if len(fields) == 6 {
		return fmt.Errorf("cron %q has 6 fields: there is no field for seconds, write minute, hour, day of month, month, day of week", text)
	}
	if len(fields) != 5 {
		return fmt.Errorf("cron %q has %d fields, not 5: minute, hour, day of month, month, day of week", text, len(fields))
	}
	return nil
}

// longestMonth has the most days that a month can have; index 0 is unused.
var longestMonth = [13]int{0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// possible reports whether some date matches. Every weekday meets every date within 400 years, so only the combination of
// month and day of month can be impossible, and only where the day of month must match.
func (c Cron) possible() bool {
	if !c.domStar && !c.dowStar {
		return true // the day of week alone is enough
	}
	firstDay := bits.TrailingZeros64(c.dom)
	for m := 1; m <= 12; m++ {
		if has(c.month, m) && firstDay <= longestMonth[m] {
			return true
		}
	}
	return false
}

// parse reads a comma-separated list into a bit set.
func (f field) parse(text string) (uint64, error) {
	var set uint64
	for part := range strings.SplitSeq(text, ",") {
		s, err := f.parsePart(part)
		if err != nil {
			return 0, err
		}
		set |= s
	}
	return set, nil
}

// parsePart reads "*", "a", "a-b", each but the second with an optional "/step".
func (f field) parsePart(text string) (uint64, error) {
	span, stepText, stepped := strings.Cut(text, "/")
	low, high, err := f.parseSpan(span)
	if err != nil {
		return 0, err
	}
	step := 1
	if stepped {
		if span != "*" && !strings.Contains(span, "-") {
			return 0, fmt.Errorf("a step needs a range: write %s-%d/%s", span, f.max, stepText)
		}
		if step, err = number(stepText); err != nil {
			return 0, fmt.Errorf("step: %w", err)
		}
		if step < 1 || step > high-low+1 {
			return 0, fmt.Errorf("step %d must be between 1 and %d", step, high-low+1)
		}
	}
	var set uint64
	for v := low; v <= high; v += step {
		set |= 1 << v
	}
	return set, nil
}

func (f field) parseSpan(text string) (low, high int, err error) {
	if text == "*" {
		high = f.max
		if f.max == 7 {
			high = 6 // 7 is Sunday again: a step over it would meet Sunday twice
		}
		return f.min, high, nil
	}
	from, to, isRange := strings.Cut(text, "-")
	if low, err = f.value(from); err != nil {
		return 0, 0, err
	}
	if !isRange {
		return low, low, nil
	}
	if high, err = f.value(to); err != nil {
		return 0, 0, err
	}
	if high < low && f.max == 7 && high == 0 {
		high = 7 // FRI-SUN
	}
	if high < low {
		return 0, 0, fmt.Errorf("range %s runs backwards: write %s-%d,%d-%s", text, from, f.max, f.min, to)
	}
	return low, high, nil
}

func (f field) value(text string) (int, error) {
	for i, name := range f.names {
		if strings.EqualFold(name, text) {
			return f.min + i, nil
		}
	}
	v, err := number(text)
	if err != nil {
		return 0, err
	}
	if v < f.min || v > f.max {
		return 0, fmt.Errorf("%d is not between %d and %d", v, f.min, f.max)
	}
	return v, nil
}

var errNumber = errors.New(`expected a number, a name, "*", a range a-b, a step /n or a list of them`)

// number reads one or two plain digits: no sign, no spaces.
func number(text string) (int, error) {
	if len(text) == 0 || len(text) > 2 || strings.Trim(text, "0123456789") != "" {
		return 0, errNumber
	}
	return strconv.Atoi(text)
}

func has(set uint64, v int) bool { return set>>v&1 == 1 }

// nextBit is the smallest member that is at least v.
func nextBit(set uint64, v int) (int, bool) {
	if v > 63 {
		return 0, false
	}
	rest := set >> v
	return v + bits.TrailingZeros64(rest), rest != 0
}

// prevBit is the largest member that is at most v.
func prevBit(set uint64, v int) (int, bool) {
	if v < 0 {
		return 0, false
	}
	rest := set << (63 - v)
	return v - bits.LeadingZeros64(rest), rest != 0
}
