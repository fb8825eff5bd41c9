package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// down takes everything away: servers by their ids, in the reverse of the order in which they were started, containers with
// containerd's own command before it goes, then mounts, control groups and networks. It may be repeated.
func (c cluster) down(ctx context.Context) error {
	if _, err := os.Stat(c.dir); errors.Is(err, fs.ErrNotExist) {
		return nil // nothing of ours is there
	}
	all, err := c.processes()
	if err != nil {
		return err
	}
	var failed error
	for _, p := range slices.Backward(all) {
		if p.Name == "containerd" {
			c.containers(ctx)
		}
		failed = errors.Join(failed, end(ctx, p))
	}
	failed = errors.Join(failed, c.shims(ctx), unplug(ctx), c.unmount(), groups())
	if failed != nil {
		return failed
	}
	if left := c.mounts(); len(left) > 0 {
		return fmt.Errorf("still mounted, so nothing is removed: %v", left)
	}
	return os.RemoveAll(c.dir)
}

// containers ends what containerd runs. Nobody is left to start it anew.
func (c cluster) containers(ctx context.Context) {
	ctr := func(args ...string) string {
		out, _ := command(ctx, "ctr", append([]string{"-a", c.path("containerd.sock"), "-n", "k8s.io"}, args...)...) // shims that stay are ended by their ids
		return out
	}
	for _, id := range strings.Fields(ctr("tasks", "list", "-q")) {
		ctr("tasks", "delete", "-f", id)
	}
}

// shims ends the helpers of containers that containerd has lost.
func (c cluster) shims(ctx context.Context) (err error) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well formed
	for _, file := range files {
		raw, _ := os.ReadFile(file) // it may have ended meanwhile
		words := strings.Split(string(raw), "\x00")
		if !strings.HasPrefix(filepath.Base(words[0]), "containerd-shim") || !slices.Contains(words, c.path("containerd.sock")) {
			continue
		}
		var pid int
		if _, e := fmt.Sscanf(file, "/proc/%d/cmdline", &pid); e != nil {
			return e
		}
		err = errors.Join(err, end(ctx, process{"containerd-shim", pid, started(pid)}))
	}
	return err
}

// mounts are the mount points in our folder, the deepest first.
func (c cluster) mounts() (all []string) {
	raw, _ := os.ReadFile("/proc/self/mounts") // Linux has it
	for line := range strings.Lines(string(raw)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], c.dir+"/") {
			all = append(all, fields[1])
		}
	}
	slices.Reverse(all)
	return all
}

func (c cluster) unmount() (err error) {
	for _, at := range c.mounts() {
		err = errors.Join(err, syscall.Unmount(at, syscall.MNT_DETACH))
	}
	return err
}

// groups removes the control groups of pods, which are empty by now.
func groups() (err error) {
	for _, pattern := range []string{"/sys/fs/cgroup/*/kubepods", "/sys/fs/cgroup/kubepods"} {
		tops, _ := filepath.Glob(pattern)
		for _, top := range tops {
			var dirs []string
			_ = filepath.WalkDir(top, func(path string, d os.DirEntry, e error) error { // what is gone is gone
				if e == nil && d.IsDir() {
					dirs = append(dirs, path)
				}
				return nil
			})
			for _, dir := range slices.Backward(dirs) {
				if e := os.Remove(dir); e != nil && !errors.Is(e, os.ErrNotExist) {
					err = errors.Join(err, e)
				}
			}
		}
	}
	return err
}
