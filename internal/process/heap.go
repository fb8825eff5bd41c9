package process

import (
	"math"
	"runtime/debug"
)

// heapGrowth is what the heap may grow by, in percent of what lives, before it is collected, in a process that is told how
// much memory it has. What services keep is small beside what they go through: at Go's 100 a fifth of their time is the
// collector's, in heaps of a few ten megabytes.
const heapGrowth = 400

// RelaxCollector has a process that knows its limit (GOMEMLIMIT) use it. Near the limit the runtime collects as often as it
// must, whatever this says; without one, and where whoever runs it has chosen by GOGC, nothing changes.
func RelaxCollector(getenv func(string) string) {
	if getenv("GOGC") == "" && debug.SetMemoryLimit(-1) < math.MaxInt64 {
		debug.SetGCPercent(heapGrowth)
	}
}
