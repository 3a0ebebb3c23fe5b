package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// process is a store in a child process, which ends with this one, also when this one is killed (Linux).
type process struct {
	addr   string
	cancel context.CancelFunc // asks the child to end
	exited chan error         // one value
}

const (
	startPatience = 5 * time.Second
	stopPatience  = 2 * time.Second
	answerPause   = 10 * time.Millisecond
)

func startProcess(ctx context.Context, program, password string) (*process, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p := &process{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), exited: make(chan error, 1)}
	lifetime, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p.cancel = cancel
	cmd := exec.CommandContext(lifetime, path, "-")
	cmd.Cancel = func() error { return terminate(cmd.Process) }
	cmd.WaitDelay = stopPatience
	cmd.SysProcAttr = childAttributes()
	// Over standard input, so that the password is not in the list of processes.
	cmd.Stdin = strings.NewReader(fmt.Sprintf("port %d\nbind 127.0.0.1\nrequirepass %s\nsave \"\"\nappendonly no\nmaxmemory-policy noeviction\ndaemonize no\nloglevel warning\n", port, password))

	started := make(chan error, 1)
	go func() {
		// The kernel ends the child with the thread that made it, so that thread stays until the child is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		p.exited <- cmd.Wait()
	}()
	if err := <-started; err != nil {
		cancel()
		return nil, err
	}
	if err := p.awaitAnswer(ctx, password); err != nil {
		cancel()
		return nil, errors.Join(err, <-p.exited)
	}
	return p, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// awaitAnswer returns when the child takes the password: another program may have got the port in between.
func (p *process) awaitAnswer(ctx context.Context, password string) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		err := ping(ctx, p.addr, password)
		if err == nil {
			return nil
		}
		select {
		case exit := <-p.exited:
			p.exited <- exit
			return fmt.Errorf("it ended at once: %w", err)
		case <-ctx.Done():
			return err
		case <-time.After(answerPause):
		}
	}
}

func ping(ctx context.Context, addr, password string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := fmt.Fprintf(conn, "AUTH %s\r\n", password); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "+OK") {
		err = fmt.Errorf("it answers %q", strings.TrimSpace(line))
	}
	return err
}

func (p *process) run(ctx context.Context) error {
	defer p.cancel()
	select {
	case err := <-p.exited:
		return fmt.Errorf("the embedded store ended by itself: %w", errors.Join(errors.New("its process is gone"), err))
	case <-ctx.Done():
	}
	p.cancel()
	<-p.exited // however it took the end
	return nil
}
