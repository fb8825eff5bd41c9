// Command suite runs `go test -json` with the arguments given, shows only what failed, and closes with one line that says
// how many tests passed, failed and were skipped. A skipped test fails the suite: a promise nobody checked is not kept.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

type line struct {
	Action, Package, Test, Output string
}

type key struct{ pkg, test string }

type tally struct {
	passed, failed, skipped int
	output                  map[key][]string
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: suite NAME go-test-arguments…")
		os.Exit(2)
	}
	os.Exit(run(context.Background(), os.Args[1], os.Args[2:]))
}

func run(ctx context.Context, name string, args []string) int {
	began := time.Now()
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	t := tally{output: map[key][]string{}}
	t.read(out)
	err = cmd.Wait()
	verdict := "ok"
	if err != nil || t.failed > 0 || t.skipped > 0 || t.passed == 0 {
		verdict = "FAILED"
	}
	fmt.Printf("suite %-12s %-6s %6.1fs  %d passed, %d failed, %d skipped\n", name, verdict, time.Since(began).Seconds(), t.passed, t.failed, t.skipped)
	if verdict != "ok" {
		return 1
	}
	return 0
}

func (t *tally) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var l line
		if json.Unmarshal(lines.Bytes(), &l) != nil {
			fmt.Println(lines.Text())
			continue
		}
		t.take(l)
	}
}

func (t *tally) take(l line) {
	k := key{l.Package, l.Test}
	switch l.Action {
	case "output", "build-output":
		t.output[k] = append(t.output[k], l.Output)
		return
	case "pass":
		if l.Test != "" {
			t.passed++
		}
	case "fail", "build-fail":
		if l.Test != "" {
			t.failed++
		} else {
			t.showUnfinished(l.Package)
		}
		t.show(k)
	case "skip":
		// A package without test files is reported as skipped too; only a test counts.
		if l.Test != "" {
			t.skipped++
			fmt.Printf("SKIPPED %s %s\n", l.Package, l.Test)
			t.show(k)
		}
	default:
		return
	}
	delete(t.output, k)
}

// showUnfinished shows what the tests said that had not ended when their package did: one of them hung, or brought it down.
func (t *tally) showUnfinished(pkg string) {
	for k := range t.output {
		if k.pkg == pkg && k.test != "" {
			t.show(k)
		}
	}
}

func (t *tally) show(k key) {
	for _, o := range t.output[k] {
		fmt.Print(o)
	}
}
