package dev

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

var errLocked = errors.New("the directory is locked")

// lock keeps a second dev off a data directory. The kernel drops it with the process, so nothing is left after kill -9.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "dev.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another agogo dev uses %s: stop it, or give this one its own --data-dir (%w)", dir, errLocked)
		}
		return nil, err
	}
	return f, nil
}
