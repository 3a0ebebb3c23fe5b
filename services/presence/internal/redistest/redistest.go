// Package redistest starts real Redis servers for tests: redis-server from PATH, on a port of its own, keeping nothing
// on disk unless asked to, stopped when the test ends, however the test process ends.
package redistest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Server is one redis-server process. Its methods are for the test's goroutine.
type Server struct {
	Addr string // host:port

	tb   testing.TB
	path string
	args []string
	cmd  *exec.Cmd
	done chan error
}

// Available reports whether a redis-server is on PATH.
func Available() bool {
	_, err := exec.LookPath("redis-server")
	return err == nil
}

// Start runs a server with further arguments of redis-server and returns when it accepts connections.
// It fails the test if there is no redis-server: ask Available first.
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		tb.Fatal("no redis-server on PATH")
	}
	for range 5 {
		port := freePort(tb)
		s := &Server{Addr: net.JoinHostPort("127.0.0.1", port), tb: tb, path: path,
			args: append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", tb.TempDir()}, args...)}
		if err = s.launch(); err == nil {
			tb.Cleanup(s.Kill)
			return s
		}
	}
	tb.Fatalf("redis-server does not start: %v", err)
	return nil
}

// StartSentinel runs a sentinel with the given configuration, to which the port is added.
func StartSentinel(tb testing.TB, config string) *Server {
	tb.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		tb.Fatal("no redis-server on PATH")
	}
	port, dir := freePort(tb), tb.TempDir()
	file := dir + "/sentinel.conf"
	if err := os.WriteFile(file, []byte("port "+port+"\nbind 127.0.0.1\ndir "+dir+"\n"+config), 0o600); err != nil {
		tb.Fatal(err)
	}
	s := &Server{Addr: net.JoinHostPort("127.0.0.1", port), tb: tb, path: path, args: []string{file, "--sentinel"}}
	if err := s.launch(); err != nil {
		tb.Fatalf("sentinel does not start: %v", err)
	}
	tb.Cleanup(s.Kill)
	return s
}

// freePort asks the system for a port, below 55,000 since a cluster's bus uses the port 10,000 above.
func freePort(tb testing.TB) string {
	tb.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		if port < 55000 {
			return strconv.Itoa(port)
		}
	}
}

// launch starts the process and waits for the line by which it says that it is ready.
func (s *Server) launch() error {
	out, in := io.Pipe()
	s.cmd = exec.Command(s.path, s.args...)
	s.cmd.Stdout, s.cmd.Stderr = in, in
	// The kernel kills it with the thread that started it, which lives as long as the wait below.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s.done = make(chan error, 1)
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := s.cmd.Start()
		started <- err
		if err == nil {
			err = s.cmd.Wait()
		}
		_ = in.Close()
		s.done <- err
	}()
	if err := <-started; err != nil {
		return err
	}
	ready := make(chan error, 1)
	go watch(out, ready)
	return <-ready
}

// watch reports once whether the server got ready and reads on, since the pipe must not fill.
func watch(out io.Reader, ready chan<- error) {
	var lines []string
	said := false
	scan := bufio.NewScanner(out)
	for scan.Scan() {
		line := scan.Text()
		if !said && (strings.Contains(line, "Ready to accept connections") || strings.Contains(line, "Sentinel ID is")) {
			said = true
			ready <- nil
		}
		if !said {
			lines = append(lines, line)
		}
	}
	if !said {
		ready <- errors.New(strings.Join(lines, "\n"))
	}
}

// Kill ends the server at once, as kill -9 does. Killing twice does nothing.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.done
	s.cmd = nil
}

// Restart starts the server again, killed before, on the same port.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Kill()
	if err := s.launch(); err != nil {
		s.tb.Fatalf("redis-server does not start again: %v", err)
	}
}

// Freeze stops the process without ending it: connections stay, nothing answers. Thaw undoes it.
func (s *Server) Freeze() { _ = s.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() { _ = s.cmd.Process.Signal(syscall.SIGCONT) }
