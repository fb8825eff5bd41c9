// Package cron reads five-field cron expressions and enumerates their times in a time zone, also where its clocks are
// shifted. There is one dialect in the product: what the tenants file is checked with is what the scheduler fires by. It
// does no I/O and reads no clock.
package cron

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// maxLength bounds what the parser looks at; the longest useful list of minutes is shorter.
const maxLength = 512

// Expression is a parsed cron expression: minute, hour, day of month, month, day of week. The zero value has no times;
// make one with [Parse]. Two with the same text are equal by ==.
type Expression struct {
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
	// by absolute time, not once per local time of day (see [Expression.Next]).
	absolute bool
}

// String is the expression in its normal form: five fields, single spaces, macros spelled out.
func (e Expression) String() string { return e.text }

// IsZero reports whether e was never parsed.
func (e Expression) IsZero() bool { return e.text == "" }

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

// Parse reads "minute hour day-of-month month day-of-week" with names (JAN, MON), ranges, steps and lists, or one of
// @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly. It refuses what other dialects would read
// differently (seconds, "?", "L", "5/15", ranges that wrap, a zone prefix) and expressions that have no time at all. Its
// errors begin with the expression and say what to write instead.
func Parse(text string) (Expression, error) {
	if len(text) > maxLength {
		return Expression{}, fmt.Errorf("%.20q… is longer than %d characters: write it with ranges and steps", text, maxLength)
	}
	e, err := parse(text)
	if err != nil {
		return Expression{}, fmt.Errorf("%q %w", text, err)
	}
	return e, nil
}

func parse(text string) (Expression, error) {
	if name := strings.TrimSpace(text); strings.HasPrefix(name, "@") {
		full, ok := macros[strings.ToLower(name)]
		if !ok {
			return Expression{}, errors.New("is no known name: write @yearly, @monthly, @weekly, @daily, @hourly or five fields")
		}
		text = full
	}
	fields := strings.Fields(text)
	if err := checkShape(text, fields); err != nil {
		return Expression{}, err
	}
	e := Expression{text: strings.Join(fields, " ")}
	for i, f := range []struct {
		grammar field
		into    *uint64
	}{{minuteField, &e.minute}, {hourField, &e.hour}, {domField, &e.dom}, {monthField, &e.month}, {dowField, &e.dow}} {
		set, err := f.grammar.parse(fields[i])
		if err != nil {
			return Expression{}, err
		}
		*f.into = set
	}
	e.dow = (e.dow | e.dow>>7) & 0x7f
	e.domStar, e.dowStar = strings.HasPrefix(fields[2], "*"), strings.HasPrefix(fields[4], "*")
	e.absolute = strings.ContainsAny(fields[1], "*/")
	if !e.possible() {
		return Expression{}, errors.New("never comes, for none of its months has such a day: write another day or month")
	}
	return e, nil
}

const theFields = "minute, hour, day of month, month and day of week"

func checkShape(text string, fields []string) error {
	switch {
	case strings.Contains(text, "TZ="):
		return errors.New("names a time zone, which is the tenant's: write only the five fields")
	case len(fields) == 6:
		return errors.New("has 6 fields, and there is none for seconds: write " + theFields)
	case len(fields) != 5:
		return fmt.Errorf("has %d of 5 fields: write %s, such as \"59 23 * * *\"", len(fields), theFields)
	}
	return nil
}

// longestMonth has the most days that a month can have; index 0 is unused.
var longestMonth = [13]int{0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// possible reports whether some date matches. Every weekday meets every date within 400 years, so only the combination of
// month and day of month can be impossible, and only where the day of month must match.
func (e Expression) possible() bool {
	if !e.domStar && !e.dowStar {
		return true // the day of week alone is enough
	}
	firstDay := bits.TrailingZeros64(e.dom)
	for m := 1; m <= 12; m++ {
		if has(e.month, m) && firstDay <= longestMonth[m] {
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
			return 0, fmt.Errorf("has %s %q, %w", f.name, part, err)
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
			return 0, fmt.Errorf("where a step needs a range: write %s-%d/%s", span, f.max, stepText)
		}
		var ok bool
		if step, ok = number(stepText); !ok || step < 1 || step > high-low+1 {
			return 0, fmt.Errorf("a step out of bounds: write 1 to %d after the /", high-low+1)
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
		return 0, 0, fmt.Errorf("a range that runs backwards: write %s-%d,%d-%s", from, f.max, f.min, to)
	}
	return low, high, nil
}

func (f field) value(text string) (int, error) {
	for i, name := range f.names {
		if strings.EqualFold(name, text) {
			return f.min + i, nil
		}
	}
	v, ok := number(text)
	switch {
	case text == "?":
		return 0, errors.New(`which is another dialect: write "*" for any`)
	case !ok:
		return 0, fmt.Errorf(`which is not understood: write %s, "*", a range a-b, a step */n or a-b/n, or a list of them`, f.values())
	case v < f.min || v > f.max:
		return 0, fmt.Errorf("which is out of bounds: write %s", f.values())
	}
	return v, nil
}

// values says what may stand in the field.
func (f field) values() string {
	numbers := fmt.Sprintf("%d to %d", f.min, f.max)
	if len(f.names) == 0 {
		return numbers
	}
	return fmt.Sprintf("%s or %s to %s", numbers, f.names[0], f.names[len(f.names)-1])
}

// number reads one or two plain digits: no sign, no spaces.
func number(text string) (int, bool) {
	if len(text) > 2 || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	v, err := strconv.Atoi(text)
	return v, err == nil
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
