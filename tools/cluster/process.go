package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// process is a server that was started. Its start time tells it from another one that the system gave the same id since.
type process struct {
	Name    string `json:"name"`
	PID     int    `json:"pid"`
	Started string `json:"started"`
}

// started is when a process began, in the kernel's words; "" when there is none.
func started(pid int) string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(raw[strings.LastIndex(string(raw), ")")+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}

func (c cluster) processes() (all []process, err error) {
	raw, err := os.ReadFile(c.path("processes.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &all)
	}
	return all, err
}

// start starts a server that outlives this command, and writes down which it is.
func (c cluster) start(ctx context.Context, name string, user *syscall.Credential, program string, args ...string) error {
	if err := os.MkdirAll(c.path("logs"), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(c.path("logs", name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: user}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	all, err := c.processes()
	if err != nil {
		return err
	}
	all = append(all, process{name, cmd.Process.Pid, started(cmd.Process.Pid)})
	raw, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(c.path("processes.json"), raw, 0o600), cmd.Process.Release())
}

// inside starts a server in the node's network.
func (c cluster) inside(ctx context.Context, name, program string, args ...string) error {
	return c.start(ctx, name, nil, "nsenter", append([]string{"--net=" + netns, program}, args...)...)
}

// end ends a process, gently first.
func end(ctx context.Context, p process) error {
	alive := func() bool { return p.Started != "" && started(p.PID) == p.Started }
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if !alive() {
			return nil
		}
		if err := syscall.Kill(p.PID, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		if until(ctx, 20*time.Second, func() bool { return !alive() }) == nil || ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return fmt.Errorf("%s (%d) does not end", p.Name, p.PID)
}

// until waits for something to be true, or for whoever waits to give up.
func until(ctx context.Context, patience time.Duration, ok func() bool) error {
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(200 * time.Millisecond) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %s", patience)
		}
	}
	return nil
}

// command runs a program to its end and returns what it says; an error has all of it.
func command(ctx context.Context, program string, args ...string) (string, error) {
	return commandWith(ctx, nil, "", program, args...)
}

func commandWith(ctx context.Context, env []string, stdin, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	// helm writes down that it was interrupted; killed, it would leave a release that nobody may touch.
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(os.Interrupt) }, 20*time.Second
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = strings.NewReader(stdin)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w: %s%s", filepath.Base(program), strings.Join(args, " "), err, out, errs.String())
	}
	return string(out), nil
}

// each runs commands one after the other, up to the first that fails.
func each(ctx context.Context, commands ...string) error {
	for _, line := range commands {
		words := strings.Fields(line)
		if _, err := command(ctx, words[0], words[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// await waits for a server, and says what it has written when it does not come.
func (c cluster) await(ctx context.Context, name string, patience time.Duration, ok func() bool) error {
	if err := until(ctx, patience, ok); err != nil {
		raw, _ := os.ReadFile(c.path("logs", name+".log")) // the failure is told anyway
		return fmt.Errorf("%s: %w:\n%s", name, err, raw[max(0, len(raw)-3000):])
	}
	return nil
}
