package process

import (
	"math"
	"runtime/debug"
	"testing"
)

// TestRelaxCollector sets what is the process's: no other test of the package minds.
func TestRelaxCollector(t *testing.T) {
	usual, unlimited := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetGCPercent(usual); debug.SetMemoryLimit(unlimited) })
	for name, c := range map[string]struct {
		limit int64
		gogc  string
		want  int
	}{
		"a limit":                     {1 << 40, "", heapGrowth},
		"no limit":                    {math.MaxInt64, "", 100},
		"a limit and a chosen growth": {1 << 40, "100", 100},
	} {
		debug.SetGCPercent(100)
		debug.SetMemoryLimit(c.limit)
		RelaxCollector(func(key string) string { return map[string]string{"GOGC": c.gogc}[key] })
		if got := debug.SetGCPercent(100); got != c.want {
			t.Errorf("%s: the heap grows by %d %%, want %d", name, got, c.want)
		}
	}
}
