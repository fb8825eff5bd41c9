package pgserver

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
)

// childUser is who runs Postgres when we are root, which Postgres refuses to be: postgres, else nobody. nil: ourselves.
func childUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uerr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gerr := strconv.ParseUint(u.Gid, 10, 32)
		if uerr == nil && gerr == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("root may not run Postgres, and there is neither a user postgres nor nobody: start as another user")
}

func give(path string, to *syscall.Credential) error {
	if to == nil {
		return nil
	}
	return os.Lchown(path, int(to.Uid), int(to.Gid))
}

// handlePath names the first extra file of a child. Opening it needs no rights on the folders above, unlike its path.
const handlePath = "/proc/self/fd/3"

// dataArg is how the child finds its data directory: by path, or, when its user may not pass the folders above, as with
// root's home, by a handle that we opened. Only Linux lets a path go through a handle.
func (cl cluster) dataArg(dir string) (arg string, extra []*os.File, err error) {
	if cl.user == nil || reachable(filepath.Dir(dir), cl.user) {
		return dir, nil, nil
	}
	if runtime.GOOS != "linux" {
		return "", nil, fmt.Errorf("user %d, who runs Postgres because root may not, cannot reach %s: choose another data directory", cl.user.Uid, dir)
	}
	f, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return handlePath, []*os.File{f}, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // read only, and the child has its own copy
	}
}

// reachable reports whether u may pass through every folder down to dir.
func reachable(dir string, u *syscall.Credential) bool {
	for {
		fi, err := os.Stat(dir)
		if err != nil || !mayPass(fi, u) {
			return false
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		return true
	}
}

func mayPass(fi os.FileInfo, u *syscall.Credential) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return false
	case st.Uid == u.Uid:
		return fi.Mode()&0o100 != 0
	case st.Gid == u.Gid:
		return fi.Mode()&0o010 != 0
	}
	return fi.Mode()&0o001 != 0
}
