package store

import (
	"os"
	"syscall"
)

// childAttributes puts the child into a group of its own, so that a Ctrl-C in the terminal reaches it through us and in
// order, and ends it when this process is killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
