package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Spec says how to start a process.
type Spec struct {
	Name string   // names its log file
	Path string   // the program
	Args []string // without the program
	Env  []string // added to a minimal environment
	Dir  string   // working directory, "" for the caller's
	CPUs string   // list for taskset, "" for all

	Stdin  *os.File // nil for none
	Stdout *os.File // nil for the log
}

// Process is one life after another of one program: Restart starts it again with the same Spec and appends to the same log.
type Process struct {
	spec Spec
	log  string

	mu   sync.Mutex // guards cmd, done and err
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
	err  error         // how it ended
}

// Start starts a program in a process group of its own. It ends with this process, at the latest (PR_SET_PDEATHSIG).
func Start(spec Spec, logDir string) (*Process, error) {
	if err := os.MkdirAll(logDir, 0o755); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	p := &Process{spec: spec, log: filepath.Join(logDir, spec.Name+".log")}
	return p, p.Restart()
}

// Restart starts the program again after it has ended.
func (p *Process) Restart() error {
	if p.Alive() {
		return fmt.Errorf("restart %s: it still runs", p.spec.Name)
	}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.spec.Name, err)
	}
	defer out.Close()
	path, args := p.spec.Path, p.spec.Args
	if p.spec.CPUs != "" {
		path, args = "taskset", append([]string{"-c", p.spec.CPUs, p.spec.Path}, p.spec.Args...)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(environment(), p.spec.Env...)
	cmd.Dir = p.spec.Dir
	cmd.Stdout, cmd.Stderr = out, out
	if p.spec.Stdin != nil {
		cmd.Stdin = p.spec.Stdin
	}
	if p.spec.Stdout != nil {
		cmd.Stdout = p.spec.Stdout
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := startOnLastingThread(cmd); err != nil {
		return fmt.Errorf("start %s: %w", p.spec.Name, err)
	}
	done := make(chan struct{})
	p.mu.Lock()
	p.cmd, p.done, p.err = cmd, done, nil
	p.mu.Unlock()
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(done)
	}()
	return nil
}

// environment is what every process gets: nothing of the caller's that Interlink reads.
func environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TZ=UTC"}
}

// Name returns the name of the Spec.
func (p *Process) Name() string { return p.spec.Name }

// Log returns the path of the log file.
func (p *Process) Log() string { return p.log }

// PID returns the process id of the present or the last life.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Done is closed when the present life has ended.
func (p *Process) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// Err returns how the last life ended: nil for exit code 0, or while it runs.
func (p *Process) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Alive tells whether it runs. A frozen process is alive.
func (p *Process) Alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal sends a signal to the whole process group.
func (p *Process) Signal(s syscall.Signal) error {
	if !p.Alive() {
		return fmt.Errorf("signal %s: %w", p.spec.Name, os.ErrProcessDone)
	}
	return syscall.Kill(-p.PID(), s)
}

// Freeze stops it where it is (SIGSTOP).
func (p *Process) Freeze() error { return p.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on (SIGCONT).
func (p *Process) Thaw() error { return p.Signal(syscall.SIGCONT) }

// Kill ends it with SIGKILL and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.Done()
	return nil
}

// Terminate asks it to end (SIGTERM) and waits; after the grace it is killed, which is an error.
func (p *Process) Terminate(grace time.Duration) error {
	if !p.Alive() {
		return nil
	}
	if err := errors.Join(p.Thaw(), p.Signal(syscall.SIGTERM)); err != nil {
		return err
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.Done():
		return nil
	case <-timer.C:
		return errors.Join(fmt.Errorf("%s does not end within %v of SIGTERM", p.spec.Name, grace), p.Kill())
	}
}

// WaitReady polls probe until it answers nil, ctx ends or the process does.
func (p *Process) WaitReady(ctx context.Context, probe func(context.Context) error) error {
	err := Eventually(ctx, func(ctx context.Context) error {
		if !p.Alive() {
			return final{fmt.Errorf("it ended: %v", p.Err())}
		}
		return probe(ctx)
	})
	if err != nil {
		return fmt.Errorf("%s is not ready: %w\n%s", p.spec.Name, err, tail(p.log, 2000))
	}
	return nil
}

func tail(path string, n int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > n {
		_, _ = f.Seek(-n, 2)
	}
	b := make([]byte, n)
	got, _ := f.Read(b)
	return string(b[:got])
}

// The signal that ends a child with its parent is bound to the thread that started it, so one thread starts them all
// and lasts as long as the process.
var starter = sync.OnceValue(func() chan<- startRequest {
	requests := make(chan startRequest)
	go func() {
		runtime.LockOSThread()
		for r := range requests {
			r.done <- r.cmd.Start()
		}
	}()
	return requests
})

type startRequest struct {
	cmd  *exec.Cmd
	done chan error
}

func startOnLastingThread(cmd *exec.Cmd) error {
	r := startRequest{cmd: cmd, done: make(chan error, 1)}
	starter() <- r
	return <-r.done
}
