package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/agogopay/agogo/internal/clock"
)

// lockDir takes the data directory for this process. The kernel gives it back when the process ends, however it ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder := make([]byte, 20)
		n, _ := f.Read(holder) // only for the message
		_ = f.Close()
		return nil, fmt.Errorf("%w: %s is held by process %s: stop it, or choose another directory", ErrInUse, dir, strings.TrimSpace(string(holder[:n])))
	}
	if err := errors.Join(f.Truncate(0), write(f, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func write(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

// clearRemains stops the server that a killed predecessor left running, and removes a pid file that would stop ours.
// We hold the lock, so whatever runs on this cluster is nobody's.
func (cl cluster) clearRemains(ctx context.Context) error {
	file := filepath.Join(cl.dir, "postmaster.pid")
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if pid := firstLine(string(b)); pid > 1 && cl.runs(ctx, pid) {
		return cl.stopOrphan(ctx, pid)
	}
	// The number may belong to any process by now, and then Postgres would refuse to start.
	return os.Remove(file)
}

// firstLine of postmaster.pid is the process.
func firstLine(s string) int {
	line, _, _ := strings.Cut(s, "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return 0
	}
	return pid
}

// runs reports whether process pid is a Postgres of this very cluster. A server works inside its data directory; where the
// system does not tell, its command line must name the directory as spawn writes it.
func (cl cluster) runs(ctx context.Context, pid int) bool {
	if runtime.GOOS == "linux" {
		proc := filepath.Join("/proc", strconv.Itoa(pid))
		cwd, err := os.Readlink(filepath.Join(proc, "cwd"))
		name, nerr := os.ReadFile(filepath.Join(proc, "comm"))
		return err == nil && nerr == nil && cwd == cl.dir && strings.HasPrefix(string(name), "postgres")
	}
	out, err := exec.CommandContext(ctx, "ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	line := strings.TrimSpace(string(out))
	return err == nil && strings.Contains(line, "postgres") && strings.Contains(line+" ", "-D "+cl.dir+" ")
}

func (cl cluster) stopOrphan(ctx context.Context, pid int) error {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT} {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop the Postgres (process %d) that an earlier run left in %s: %w", pid, cl.dir, err)
		}
		for range int(fastStop/pollInterval) + 1 {
			if !cl.runs(ctx, pid) {
				return nil
			}
			if err := clock.Real().Sleep(ctx, pollInterval); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("an earlier run left Postgres (process %d) in %s and it did not stop within %s: kill it", pid, cl.dir, 2*fastStop.Round(time.Second))
}
