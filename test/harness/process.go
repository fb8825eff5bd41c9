package harness

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a running agogo.
type Process struct {
	// ReadyAfter is how long it took from the start to the line that begins with "ready".
	ReadyAfter time.Duration

	cmd    *exec.Cmd
	began  time.Time
	ready  chan struct{}
	exited chan struct{}
	err    error
	stdout buffer
	stderr buffer
}

// buffer is what a process has written so far; it may be read while the process writes.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// launch starts a process without waiting for anything.
func launch(binary string, env []string, args ...string) (*Process, error) {
	p := &Process{cmd: exec.Command(binary, args...), began: time.Now(), ready: make(chan struct{}), exited: make(chan struct{})}
	p.cmd.Env, p.cmd.Stderr = env, &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			_, _ = p.stdout.Write(append(lines.Bytes(), '\n')) // never fails
			if strings.HasPrefix(lines.Text(), "ready") && p.ReadyAfter == 0 {
				p.ReadyAfter = time.Since(p.began)
				close(p.ready)
			}
		}
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// start launches a process that ends with the test at the latest.
func start(t testing.TB, binary string, env []string, args ...string) *Process {
	t.Helper()
	p, err := launch(binary, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// AwaitReady waits for the line that begins with "ready".
func (p *Process) AwaitReady(t testing.TB) {
	t.Helper()
	select {
	case <-p.ready:
	case <-p.exited:
		t.Fatalf("the process ended before it was ready: %v\n%s", p.err, p.Log())
	case <-time.After(time.Minute):
		t.Fatalf("not ready after a minute\n%s", p.Log())
	}
}

// AwaitOutput waits for a text on standard output for as long as the process runs: what it does until then has no time of its own to
// keep, and a machine that is busy with other tests takes several times as long for it. The test's -timeout ends a process that hangs.
func (p *Process) AwaitOutput(t testing.TB, text string) {
	t.Helper()
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for !strings.Contains(p.Output(), text) {
		select {
		case <-p.exited:
			t.Fatalf("the process ended without saying %q: %v\n%s%s", text, p.err, p.Output(), p.Log())
		case <-poll.C:
		}
	}
}

// Interrupt sends Ctrl-C, waits for a clean end, and returns how long that took.
func (p *Process) Interrupt(t testing.TB) time.Duration {
	t.Helper()
	took, err := p.interrupt()
	if err != nil {
		t.Fatalf("an interrupt must end it cleanly, within half a minute: %v\n%s", err, p.Log())
	}
	return took
}

func (p *Process) interrupt() (time.Duration, error) {
	began := time.Now()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		return 0, err
	}
	select {
	case <-p.exited:
		return time.Since(began), p.err
	case <-time.After(30 * time.Second):
		return time.Since(began), errors.New("still running")
	}
}

// AwaitKilled waits until somebody has killed the process with SIGKILL, as an armed crash point does.
func (p *Process) AwaitKilled(t testing.TB, within time.Duration) {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(within):
		t.Fatalf("the process still runs after %s: its crash point was not reached\n%s", within, p.Log())
	}
	var exit *exec.ExitError
	if !errors.As(p.err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the process ended otherwise than by SIGKILL: %v\n%s", p.err, p.Log())
	}
}

// AwaitExit waits for the process to end by itself and returns its exit code.
func (p *Process) AwaitExit(t testing.TB, within time.Duration) int {
	t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		t.Fatalf("still running after %s\n%s", within, p.Log())
		return 0
	}
}

// Kill is kill -9.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.exited
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Output is what it wrote to standard output.
func (p *Process) Output() string { return p.stdout.String() }

// Log is what it wrote to standard error.
func (p *Process) Log() string { return p.stderr.String() }
