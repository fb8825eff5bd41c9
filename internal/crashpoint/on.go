//go:build crashpoints

package crashpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Enabled tells whether this binary can be armed.
const Enabled = true

var (
	armed, nth = parse(os.Getenv("AGOGO_CRASHPOINT"))
	hits       atomic.Int64
)

// Hit kills the process, as kill -9 does, when AGOGO_CRASHPOINT is "<name>" or "<name>:<n>" (the n-th hit) and name is it.
func Hit(name string) {
	if name == armed && hits.Add(1) == nth {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

func parse(s string) (string, int64) {
	name, count, ok := strings.Cut(s, ":")
	if !ok {
		return name, 1
	}
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 {
		n = 1
	}
	return name, n
}
