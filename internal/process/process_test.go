package process_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/process"
	"github.com/agogopay/agogo/internal/stream/natstest"
)

const tenants = `tenants:
  - id: lebenis
    timezone: Africa/Abidjan
    currency: XOF
    locale: fr-CI
    mode: sandbox
`

// TestMain is also the service that tests start as a child: signals and exit codes belong to whole processes.
func TestMain(m *testing.M) {
	if os.Getenv("AGOGO_TEST_CHILD") == "" {
		os.Exit(pgtest.Run(m))
	}
	os.Exit(process.Main(context.Background(), "payouts", checked, child))
}

// checked is what the child asks of its tenants file.
func checked(file *config.File) error {
	if file.Tenants[0].Timezone == "Asia/Tokyo" {
		return errors.New("nobody is paid there")
	}
	return nil
}

func child(ctx context.Context, p *process.Process) error {
	fmt.Println("running", p.File.Tenants[0].ID, p.NATS.IsConnected())
	switch os.Getenv("AGOGO_TEST_CHILD") {
	case "fails":
		return errors.New("books do not balance")
	case "waits":
		<-ctx.Done()
		return fmt.Errorf("waiting for the database: %w", ctx.Err())
	case "hangs":
		<-ctx.Done()
		fmt.Println("told to stop")
		select {}
	}
	<-ctx.Done()
	return nil
}

type started struct {
	*exec.Cmd
	out *bufio.Scanner
	err lines
}

func startChild(t *testing.T, behaviour string, env ...string) *started {
	t.Helper()
	c := &started{Cmd: exec.Command(os.Args[0])}
	c.Env = append(os.Environ(), append([]string{"AGOGO_TEST_CHILD=" + behaviour}, env...)...)
	c.Stderr = &c.err
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	c.out = bufio.NewScanner(out)
	return c
}

func (c *started) line(t *testing.T, want string) {
	t.Helper()
	if !c.out.Scan() || c.out.Text() != want {
		t.Fatalf("got %q, want %q; stderr: %s", c.out.Text(), want, c.err.String())
	}
}

func environment(t *testing.T) []string {
	t.Helper()
	node := natstest.Server(t)
	path := filepath.Join(t.TempDir(), "tenants.yaml")
	if err := os.WriteFile(path, []byte(tenants), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"AGOGO_CONFIG=" + path, "AGOGO_NATS_URL=" + node.URL, "AGOGO_NATS_CREDS=" + node.Creds, "AGOGO_POSTGRES_DSN=postgres://x@127.0.0.1/x"}
}

func TestASignalEndsTheServiceWell(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			c := startChild(t, "runs", environment(t)...)
			c.line(t, "running lebenis true")
			if err := c.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if err := c.Wait(); err != nil {
				t.Errorf("%v: %s", err, c.err.String())
			}
		})
	}
}

// A change while the service still waits for its database is an end like any other.
func TestAnEndWhileItWaitsIsNoFailure(t *testing.T) {
	t.Parallel()
	env := environment(t)
	path := strings.TrimPrefix(env[0], "AGOGO_CONFIG=")
	c := startChild(t, "waits", append(env, "AGOGO_WATCH="+path, "AGOGO_WATCH_SPREAD=0s")...)
	c.line(t, "running lebenis true")
	if err := os.WriteFile(path, []byte(strings.Replace(tenants, "fr-CI", "fr-FR", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("it failed: %v: %s", err, c.err.String())
	}
}

func TestASecondSignalEndsAServiceThatHangs(t *testing.T) {
	t.Parallel()
	c := startChild(t, "hangs", environment(t)...)
	c.line(t, "running lebenis true")
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.line(t, "told to stop")
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	// Its usual effect is given back to the signal just after the context ended, hence more than one.
	tick, end := time.NewTicker(20*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = c.Process.Signal(syscall.SIGTERM)
			continue
		case <-end:
			t.Fatal("it still hangs")
		case err := <-done:
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
				t.Errorf("got %v", err)
			}
		}
		return
	}
}

func TestAFailureIsLoggedAndExits1(t *testing.T) {
	t.Parallel()
	c := startChild(t, "fails", environment(t)...)
	c.line(t, "running lebenis true")
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != process.ExitFailed {
		t.Errorf("exit code %d", code)
	}
	if got := c.err.String(); !strings.Contains(got, "books do not balance") || !strings.Contains(got, "service=payouts") {
		t.Errorf("stderr: %s", got)
	}
}

func TestWrongSettingsExit2AndNameEachOfThem(t *testing.T) {
	t.Parallel()
	c := startChild(t, "runs", "AGOGO_CONFIG=", "AGOGO_POSTGRES_DSN=", "AGOGO_NATS_URL=http://x")
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != process.ExitMisused {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"payouts: ", "AGOGO_CONFIG is not set", "AGOGO_POSTGRES_DSN is not set", "AGOGO_NATS_URL"} {
		if !strings.Contains(c.err.String(), want) {
			t.Errorf("%q is missing in %s", want, c.err.String())
		}
	}
}

// Tokens that are hashes of the environment, as the chart gives them: a change of the Secret is a change of the folder.
func TestAChangedSecretHasTheProcessStartedAgain(t *testing.T) {
	t.Parallel()
	env := environment(t)
	dir := filepath.Join(t.TempDir(), "hashes")
	path := strings.TrimPrefix(env[0], "AGOGO_CONFIG=")
	put := func(name, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, name+".new"), []byte(text), 0o600), os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, []byte(tenants+"auth:\n  tokens:\n    - {name: ada, role: admin, tenants: [lebenis], token_sha256: \"${ADA}\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first, second := strings.Repeat("ab", 32), strings.Repeat("cd", 32)
	put("ADA", first)
	c := startChild(t, "runs", append(env, "ADA="+first, "AGOGO_WATCH="+dir, "AGOGO_WATCH_SPREAD=0s")...)
	c.line(t, "running lebenis true")
	put("ADA", "no hash")
	c.says(t, "going on with what they held before")
	put("ADA", second)
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("it did not end well: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("it goes on with a token that nobody should have any more")
	}
	if got := c.err.String(); !strings.Contains(got, "AGOGO_WATCH have changed") {
		t.Errorf("it does not say why it ended: %s", got)
	}
}

// What only the service itself asks of its file is asked before the process ends for it.
func TestWhatTheServiceWouldRefuseEndsNothing(t *testing.T) {
	t.Parallel()
	env := environment(t)
	path := strings.TrimPrefix(env[0], "AGOGO_CONFIG=")
	c := startChild(t, "runs", append(env, "AGOGO_WATCH="+path, "AGOGO_WATCH_SPREAD=0s")...)
	c.line(t, "running lebenis true")
	put := func(text string) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
	}
	put(strings.Replace(tenants, "Africa/Abidjan", "Asia/Tokyo", 1))
	c.says(t, "nobody is paid there")
	put(strings.Replace(tenants, "Africa/Abidjan", "Europe/Paris", 1))
	if err := c.Wait(); err != nil { // the test's own time bounds it
		t.Errorf("it did not end well: %v", err)
	}
	if got := c.err.String(); !strings.Contains(got, "AGOGO_WATCH have changed") {
		t.Errorf("it does not say why it ended: %s", got)
	}
}

// says waits for a line of the log.
func (c *started) says(t *testing.T, want string) {
	t.Helper()
	tick, end := time.NewTicker(20*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for !strings.Contains(c.err.String(), want) {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("it never says %q: %s", want, c.err.String())
		}
	}
}
