package stream_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/stream"
)

// covers(a, b) must say yes exactly when every subject of b is one of a: checked against matching of drawn subjects.
func TestCovers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"a.>", "a.b", true},
		{"a.>", "a.b.c", true},
		{"a.>", "a", false},
		{"a.>", "a.>", true},
		{"a.>", "a.*.>", true},
		{"a.*", "a.b", true},
		{"a.*", "a.*", true},
		{"a.*", "a.>", false},
		{"a.*", "a.b.c", false},
		{"a.b", "a.*", false},
		{">", "a", true},
		{"a", "a", true},
		{"a", "b", false},
		{"a.b", "a", false},
		{"a", "a.b", false},
	} {
		if got := stream.Covers(c.a, c.b); got != c.want {
			t.Errorf("covers(%q, %q) = %v", c.a, c.b, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := pattern(t, "a"), pattern(t, "b")
		subject := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"x", "y"}), 1, 4).Draw(t, "subject"), ".")
		if stream.Covers(a, b) && matches(b, subject) && !matches(a, subject) {
			t.Fatalf("%q is said to cover %q, but not %q", a, b, subject)
		}
	})
}

func pattern(t *rapid.T, label string) string {
	tokens := rapid.SliceOfN(rapid.SampledFrom([]string{"x", "y", "*"}), 0, 3).Draw(t, label)
	if len(tokens) == 0 || rapid.Bool().Draw(t, label+" tail") {
		tokens = append(tokens, ">")
	}
	return strings.Join(tokens, ".")
}

func matches(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, tok := range p {
		switch {
		case tok == ">":
			return len(s) > i
		case i >= len(s) || tok != "*" && tok != s[i]:
			return false
		}
	}
	return len(p) == len(s)
}

func TestRetryDelaysGrowWithJitter(t *testing.T) {
	t.Parallel()
	backOff := []time.Duration{time.Minute, 2 * time.Minute, 10 * time.Minute}
	for delivered, want := range map[int]time.Duration{
		0: 2 * time.Second, 1: 2 * time.Second, 2: 10 * time.Second, 3: time.Minute, 4: 2 * time.Minute, 5: 10 * time.Minute, 50: 10 * time.Minute,
	} {
		seen := map[time.Duration]bool{}
		for range 50 {
			d := stream.RetryDelay(backOff, delivered)
			if d < want-want/8 || d > want+want/8+1 {
				t.Errorf("delivery %d: %v is far from %v", delivered, d, want)
			}
			seen[d] = true
		}
		if len(seen) < 2 {
			t.Errorf("delivery %d: no jitter", delivered)
		}
	}
}

func TestTheLastDeliveryLeavesRoomForCrashes(t *testing.T) {
	t.Parallel()
	for maxDeliver, want := range map[int]int{20: 15, 15: 12, 10: 8, 5: 4, 1: 1, -1: 10, 0: 10} {
		if got := stream.LastDelivery(maxDeliver); got != want {
			t.Errorf("of %d: %d, want %d", maxDeliver, got, want)
		}
	}
}

func TestMarkedErrorsStayWhatTheyAre(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	for name, err := range map[string]error{"permanent": stream.Permanent(cause), "after": stream.After(cause, time.Second)} {
		if !errors.Is(fmt.Errorf("while: %w", err), cause) || err.Error() != "cause" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if stream.Permanent(nil) != nil {
		t.Error("nothing became an error")
	}
	if stream.After(nil, time.Second) == nil {
		t.Error("a wait without a reason is still a wait")
	}
}
