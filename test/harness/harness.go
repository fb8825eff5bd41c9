// Package harness runs agogo as people do: as processes of a built binary, reached by the command line, gRPC, NATS and the
// simulator's control API. It knows nothing of what is inside, so that tests on it judge the product and not the code.
package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Root is the repository's root: tests run in a folder two levels below it.
func Root() (string, error) { return filepath.Abs(filepath.Join("..", "..")) }

// Example is the path of a file below examples/.
func Example(t testing.TB, name string) string {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "examples", filepath.FromSlash(name))
}

// Build builds agogo into dir, as the Makefile does, and returns the binary's path.
func Build(dir string, flags ...string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "agogo")
	build := exec.Command("go", append(append([]string{"build"}, flags...), "-o", binary, "./cmd/agogo")...)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/agogo: %w\n%s", err, out)
	}
	return binary, nil
}

// WriteFile writes a file of the test's own and returns its path.
func WriteFile(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Eventually polls until ok, and says what it last saw otherwise.
func Eventually(t testing.TB, within time.Duration, what string, ok func() (done bool, saw string)) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		done, saw := ok()
		if done {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("%s: not within %s; last seen: %s", what, within, saw)
		case <-poll.C:
		}
	}
}

// cleanEnv is this process's environment without what would lead agogo elsewhere.
func cleanEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		ours := func(prefix string) bool { return strings.HasPrefix(v, prefix) }
		if !slices.ContainsFunc([]string{"AGOGO_", "ORANGE_", "CIELO_", "OTEL_"}, ours) {
			env = append(env, v)
		}
	}
	return env
}
