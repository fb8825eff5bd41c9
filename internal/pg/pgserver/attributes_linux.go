package pgserver

import "syscall"

// attributes run the child as user and stop it, the fast way, when we die without having stopped it.
func attributes(user *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: user, Pdeathsig: syscall.SIGINT}
}
