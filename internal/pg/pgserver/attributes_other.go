//go:build unix && !linux

package pgserver

import "syscall"

// attributes run the child as user. Without a death signal it survives a kill of ours; the next start stops it.
func attributes(user *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: user}
}
