package process

import "runtime/debug"

// heapGrowth is what the heap may grow by, in percent of what lives, before it is collected. What services keep is small beside
// what they go through, and at Go's 100 a fifth of their time is the collector's.
const heapGrowth = 200

// RelaxCollector sets the process's collector, unless whoever runs it has chosen by GOGC.
func RelaxCollector(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
}
