package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// field is a key that an object may have.
type field struct {
	name     string
	required bool
	read     func(at)
}

func required(name string, read func(at)) field { return field{name, true, read} }
func optional(name string, read func(at)) field { return field{name, false, read} }

// object reads a mapping strictly: every key is known and stands once, and every required one is there.
func (l *loader) object(v at, fields ...field) {
	for _, f := range fields {
		if l.known != nil {
			l.known[v.key(f.name, nil).generic] = true
		}
	}
	seen := map[string]int{}
	ok := l.pairs(v, func(key *yaml.Node, value at) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == key.Value })
		if i < 0 {
			l.unknownKey(v, key, fields)
			return
		}
		seen[key.Value] = key.Line
		fields[i].read(value)
	})
	if !ok {
		return
	}
	for _, f := range fields {
		if f.required && seen[f.name] == 0 {
			l.fail(v.at(f.name), "is missing: add it")
		}
	}
}

// pairs calls fn for each key of a mapping; ok is false when v is none.
func (l *loader) pairs(v at, fn func(key *yaml.Node, value at)) (ok bool) {
	if v.node.Kind != yaml.MappingNode {
		l.fail(v, "is %s: write keys with values, indented below it", shape(v.node))
		return false
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key, value := v.node.Content[i], v.key(v.node.Content[i].Value, v.node.Content[i+1])
		switch first, twice := lines[key.Value]; {
		case key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str":
			l.fail(at{node: key, path: v.path}, "a key is %s: keys are plain words", shape(key))
		case twice:
			l.fail(at{node: key, path: value.path}, "stands twice, first on line %d: keep one", first)
		case value.node.Kind == yaml.AliasNode || value.node.Anchor != "":
			l.fail(value, "anchors and aliases are not read here: repeat the value")
		default:
			lines[key.Value] = key.Line
			fn(key, value)
		}
	}
	return true
}

func (l *loader) unknownKey(v at, key *yaml.Node, fields []field) {
	where := at{node: key, path: v.join(key.Value)}
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	if near := nearest(key.Value, names); near != "" {
		l.fail(where, "is not a known key: did you mean %s?", near)
		return
	}
	slices.Sort(names)
	l.fail(where, "is not a known key: the keys here are %s", strings.Join(names, ", "))
}

// nearest is the name at most two typing errors away, or "".
func nearest(s string, names []string) string {
	best, at := 3, ""
	for _, name := range names {
		if d := distance(s, name); d < best && d < len(name) {
			best, at = d, name
		}
	}
	return at
}

// distance is Levenshtein's, for short words.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// list reads each element.
func (l *loader) list(read func(at)) func(at) {
	return func(v at) {
		if v.node.Kind != yaml.SequenceNode {
			l.fail(v, "is %s: write a list, such as [a, b]", shape(v.node))
			return
		}
		for i, n := range v.node.Content {
			item := v.item(i, n)
			if n.Kind == yaml.AliasNode || n.Anchor != "" {
				l.fail(item, "anchors and aliases are not read here: repeat the value")
				continue
			}
			read(item)
		}
	}
}

// scalar gives the text of a value with one of the tags, or reports its shape.
func (l *loader) scalar(v at, want string, tags ...string) (string, bool) {
	if v.node.Kind != yaml.ScalarNode || !slices.Contains(tags, v.node.ShortTag()) {
		l.fail(v, "is %s: write %s", shape(v.node), want)
		return "", false
	}
	return v.node.Value, true
}

// integer reads a whole number within bounds.
func integer[T int | int64](l *loader, dst *T, least, most int64) func(at) {
	return func(v at) {
		s, ok := l.scalar(v, "a whole number, without quotes", "!!int")
		if !ok {
			return
		}
		// YAML knows octal, hexadecimal and underscores; amounts of money should look like what they are.
		n, err := strconv.ParseInt(s, 10, 64)
		switch {
		case err != nil || s != strconv.FormatInt(n, 10):
			l.fail(v, "%s is not a plain whole number: write digits only", strconv.Quote(shorten(s)))
		case n < least || n > most:
			l.fail(v, "%d is out of bounds: %s", n, bounds(least, most))
		default:
			*dst = T(n)
		}
	}
}

func bounds(least, most int64) string {
	if most == math.MaxInt64 {
		return fmt.Sprintf("write at least %d", least)
	}
	return fmt.Sprintf("write %d to %d", least, most)
}

// fraction reads a share above 0 and up to 1.
func (l *loader) fraction(dst *float64) func(at) {
	return func(v at) {
		s, ok := l.scalar(v, "a share such as 0.2, without quotes", "!!float", "!!int")
		if !ok {
			return
		}
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || f <= 0 || f > 1 || math.IsNaN(f) {
			l.fail(v, "%s is out of bounds: write a share above 0 and up to 1, such as 0.2", shorten(s))
			return
		}
		*dst = f
	}
}

func (l *loader) boolean(dst *bool) func(at) {
	return func(v at) {
		if s, ok := l.scalar(v, "true or false, without quotes", "!!bool"); ok {
			*dst = strings.EqualFold(s, "true")
		}
	}
}

// duration reads Go's notation within (0, most].
func (l *loader) duration(dst *time.Duration, most time.Duration) func(at) {
	return func(v at) {
		s, ok := l.scalar(v, "a duration such as 30s, 5m or 24h", "!!str", "!!int", "!!float")
		if !ok {
			return
		}
		d, err := time.ParseDuration(s)
		switch {
		case err != nil:
			l.fail(v, "%s is not a duration: write a number with its unit, such as 30s, 5m or 24h", strconv.Quote(shorten(s)))
		case d <= 0 || d > most:
			l.fail(v, "%s is out of bounds: write more than 0s and at most %s", shorten(s), plain(most))
		default:
			*dst = d
		}
	}
}

// durationOrNone is duration where 0 has a meaning.
func (l *loader) durationOrNone(dst *time.Duration, most time.Duration) func(at) {
	return func(v at) {
		if v.node.Value == "0" || v.node.Value == "0s" {
			*dst = 0
			return
		}
		l.duration(dst, most)(v)
	}
}

// durations reads a list of at least so many rising durations.
func (l *loader) durations(dst *[]time.Duration, least int) func(at) {
	return func(v at) {
		*dst = []time.Duration{}
		l.list(func(item at) {
			var d time.Duration
			l.duration(&d, year)(item)
			if n := len(*dst); n > 0 && d > 0 && d < (*dst)[n-1] {
				l.fail(item, "%s comes after %s: write the delays in rising order", plain(d), plain((*dst)[n-1]))
			}
			*dst = append(*dst, d)
		})(v)
		if v.node.Kind == yaml.SequenceNode && len(*dst) < least {
			l.fail(v, "is empty: write at least one duration, such as [30s]")
		}
	}
}

const year = 366 * 24 * time.Hour

// plain writes 24h0m0s as 24h.
func plain(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// shorten bounds what a message repeats of the file.
func shorten(s string) string {
	const most = 60
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
