package pgserver

import (
	"context"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

const logLimit = 8 << 20 // the log of earlier runs beyond this is thrown away at a start

// child is a running postmaster.
type child struct {
	pid     int
	done    chan struct{} // closed after err is set
	err     error
	logFile string
	logFrom int64
}

// startChild runs the program. Its output goes to a file and not through a pipe of ours: the server must be able to
// write its last lines when we are gone.
func startChild(ctx context.Context, path string, args []string, extra []*os.File, user *syscall.Credential, logFile string) (*child, error) {
	log, from, err := openLog(logFile)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the child has its own copy

	cmd := exec.Command(path, args...) //nolint:noctx // the server outlives the context of its start
	cmd.Dir, cmd.Env = "/", childEnv()
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, extra
	cmd.SysProcAttr = attributes(user)
	// Ctrl-C in a terminal goes to the whole process group; the database must be the last to hear of it.
	cmd.SysProcAttr.Setpgid = true

	c := &child{done: make(chan struct{}), logFile: logFile, logFrom: from}
	started := make(chan error, 1)
	go func() {
		// The death signal is sent when the thread that forked ends, so that thread must stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(c.done)
		if err := cmd.Start(); err != nil {
			c.err = err
			started <- err
			return
		}
		c.pid = cmd.Process.Pid
		started <- nil
		c.err = cmd.Wait()
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, ctx.Err()
}

func openLog(file string) (*os.File, int64, error) {
	if fi, err := os.Stat(file); err == nil && fi.Size() > logLimit {
		if err := os.Truncate(file, 0); err != nil {
			return nil, 0, err
		}
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, 0, err
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, end, nil
}

// kill ends a server that did not come up.
func (c *child) kill() {
	if c == nil {
		return
	}
	_ = syscall.Kill(c.pid, syscall.SIGQUIT)
	<-c.done
}

// tail is the end of what this child wrote.
func (c *child) tail() string {
	f, err := os.Open(c.logFile)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.NewSectionReader(f, c.logFrom, logLimit))
	if err != nil {
		return err.Error()
	}
	return lastLines(string(b))
}

func lastLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}
