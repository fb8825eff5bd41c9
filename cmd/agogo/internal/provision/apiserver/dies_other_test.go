//go:build apiserver && !linux

package apiserver_test

import "syscall"

// withUs asks for nothing: only Linux ends a child whose parent was killed.
func withUs() *syscall.SysProcAttr { return nil }
