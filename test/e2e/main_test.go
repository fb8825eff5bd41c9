package e2e_test

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/agogopay/agogo/test/harness"
)

// binary is the agogo under test, built once.
var binary string

// waiting is how long something may take that a machine with nothing else to do has done in a second or two.
const waiting = 30 * time.Second

// runEnds is how long a run may take to end: the page that a killed process held comes to another one when the sweeper has seen it stand still, or after a minute.
const runEnds = "3m"

func TestMain(m *testing.M) {
	// Tests mostly wait for processes of their own, so more of them than there are cores may wait at once. -parallel wins.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "agogo-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if binary, err = harness.Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer shared.end()
	return m.Run()
}
