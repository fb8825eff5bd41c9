package pgserver

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
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
	return nil, errors.New("Postgres refuses to run as root, and there is neither a user postgres nor nobody: start as another user")
}

func give(path string, to *syscall.Credential) error {
	if to == nil {
		return nil
	}
	return os.Lchown(path, int(to.Uid), int(to.Gid))
}

// relocated is where clusters live that the child could not reach in the user's data directory.
const relocated = "/var/lib/agogo"

// homeOf is the folder of pgdata: DataDir, unless the child's user cannot get there, as with root's home. Then it is a
// folder under /var/lib/agogo, remembered in DataDir, so that removing DataDir still means to begin anew.
func homeOf(o Options, u *syscall.Credential) (string, error) {
	if u == nil || reachable(o.DataDir, u) {
		return o.DataDir, nil
	}
	note := filepath.Join(o.DataDir, "location")
	if b, err := os.ReadFile(note); err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	home := filepath.Join(relocated, "postgres-"+strings.ToLower(rand.Text()[:10]))
	if err := os.MkdirAll(home, 0o711); err != nil {
		return "", fmt.Errorf("user %d, who runs Postgres because root may not, cannot reach %s: choose another data directory: %w", u.Uid, o.DataDir, err)
	}
	o.Logger.Info("postgres keeps its data elsewhere, for its user cannot reach the data directory", "data", home, "uid", u.Uid)
	return home, os.WriteFile(note, []byte(home+"\n"), 0o600)
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
