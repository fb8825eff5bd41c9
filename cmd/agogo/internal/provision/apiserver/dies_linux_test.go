//go:build apiserver

package apiserver_test

import "syscall"

// withUs has a child end when the thread that started it does, which a kill of this process ends too.
func withUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
