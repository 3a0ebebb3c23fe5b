//go:build !linux

package store

import (
	"os"
	"syscall"
)

func childAttributes() *syscall.SysProcAttr { return nil }

func terminate(p *os.Process) error { return p.Signal(os.Interrupt) }
