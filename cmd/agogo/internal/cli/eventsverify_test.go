package cli

import (
	"fmt"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/event"
)

// After a restore an aggregate goes on from a version that was told before, in a new epoch and without a gap there.
func TestVersionsOfEpochs(t *testing.T) {
	t.Parallel()
	type telling struct {
		epoch   int
		version int64
		words   string
	}
	for name, c := range map[string]struct {
		told        []telling
		gaps, forks int
	}{
		"goes on from the backup":               {[]telling{{0, 1, "a"}, {0, 2, "b"}, {0, 3, "c"}, {1, 3, "other"}, {1, 4, "d"}}, 0, 0},
		"begins anew":                           {[]telling{{0, 1, "a"}, {0, 2, "b"}, {1, 1, "a"}, {1, 2, "other"}}, 0, 0},
		"twice restored":                        {[]telling{{0, 1, "a"}, {0, 2, "b"}, {1, 3, "c"}, {2, 3, "other"}}, 0, 0},
		"told again after the restore":          {[]telling{{0, 1, "a"}, {0, 2, "b"}, {1, 2, "c"}, {0, 1, "a"}}, 0, 0},
		"a gap within an epoch":                 {[]telling{{0, 1, "a"}, {1, 2, "b"}, {1, 4, "c"}}, 1, 0},
		"begins where nobody was":               {[]telling{{0, 1, "a"}, {1, 3, "c"}}, 1, 0},
		"a version told twice in an epoch":      {[]telling{{0, 1, "a"}, {1, 2, "b"}, {1, 2, "c"}}, 0, 1},
		"an epoch of an aggregate not seen":     {[]telling{{1, 2, "b"}}, 1, 0},
		"the old epoch goes on with a hole":     {[]telling{{0, 1, "a"}, {1, 2, "b"}, {0, 3, "c"}}, 1, 0},
		"the old epoch is published to its end": {[]telling{{0, 1, "a"}, {1, 2, "b"}, {0, 2, "c"}}, 0, 0},
	} {
		v := versions{last: map[aggregate]told{}, fault: func(string, ...any) {}}
		for _, s := range c.told {
			e := event.New(t.Context(), "payouts", "lebenis", "payout.created", "p", s.version, s.epoch, time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC))
			v.see(e, fmt.Appendf(nil, "%q", s.words))
		}
		if v.gaps != c.gaps || v.forks != c.forks {
			t.Errorf("%s: %d gaps and %d forks, want %d and %d", name, v.gaps, v.forks, c.gaps, c.forks)
		}
	}
}
