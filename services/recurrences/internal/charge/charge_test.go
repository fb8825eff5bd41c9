package charge

import (
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/event"
)

func TestACycleHasOneCharge(t *testing.T) {
	t.Parallel()
	one := ID("wallclub", "rec-001", "2025-10-30")
	if again := ID("wallclub", "rec-001", "2025-10-30"); again != one {
		t.Errorf("planning twice gave %s and %s", one, again)
	}
	for _, other := range []uuid.UUID{ID("wallclub", "rec-00", "12025-10-30"), ID("wallclub", "rec-001", "2025-11-30"), ID("lebenis", "rec-001", "2025-10-30")} {
		if other == one {
			t.Error("two cycles share a charge")
		}
	}
}

func TestReferencesAreWhatGatewaysTake(t *testing.T) {
	t.Parallel()
	allowed := regexp.MustCompile(`^[0-9A-Za-z]{1,50}$`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := ID("wallclub", rapid.String().Draw(t, "a"), "2025-10-30"), ID("wallclub", rapid.String().Draw(t, "b"), "2025-10-30")
		n, m := rapid.IntRange(1, 1_000_000).Draw(t, "n"), rapid.IntRange(1, 1_000_000).Draw(t, "m")
		one, other := Reference(a, n), Reference(b, m)
		if !allowed.MatchString(one) {
			t.Fatalf("%q is no reference", one)
		}
		if (one == other) != (a == b && n == m) {
			t.Fatalf("attempt %d of %s and %d of %s: %q and %q", n, a, m, b, one, other)
		}
	})
	if got := Reference(uuid.MustParse("00112233-4455-6677-8899-aabbccddeeff"), 1); got != "00112233445566778899aabbccddeeff01" {
		t.Errorf("the first attempt is %q", got)
	}
}

func TestStatesAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	ours := map[string]bool{}
	for _, s := range states() {
		ours[string(s)] = true
	}
	table := map[string]bool{}
	for _, s := range event.Charge.States() {
		table[s] = true
	}
	if diff := cmp.Diff(table, ours); diff != "" {
		t.Errorf("states (-table +ours):\n%s", diff)
	}
}

func states() []State {
	return []State{Due, Submitting, Processing, Unknown, ManualReview, Succeeded, FailedSoft, FailedHard, RequiresAction, Exhausted, Cancelled}
}
