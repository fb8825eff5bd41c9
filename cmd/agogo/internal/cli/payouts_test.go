package cli

import (
	"bytes"
	"strings"
	"testing"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

// What held a payout before it was taken over after a restore is told, and of all others nothing is.
func TestWhatHeldAPayoutThatWasTakenOverIsTold(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{"by_person": true, "": false} {
		var out bytes.Buffer
		a := &app{IO: IO{Out: &out}, output: "table"}
		if err := one(a, &payoutsv1.Payout{Id: "0b1c", State: "failed", HeldFor: code}, payoutDetail...); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), "held for"); got != want || !strings.Contains(out.String(), code) {
			t.Errorf("held for %q, told %t:\n%s", code, got, out.String())
		}
	}
}
