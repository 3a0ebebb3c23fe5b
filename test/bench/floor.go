package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// floor is the least that a server in Go can do: it answers the handshake with what the client wants to hear, reads
// nothing after that, and writes each message to every descriptor in one loop. What it costs is what the kernel costs.
// Messages that wait at once are written at once.
func floor(public, control string) error {
	limit := unix.Rlimit{Cur: 20_000, Max: 20_000}
	_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	listener, err := net.Listen("tcp", public)
	if err != nil {
		return err
	}
	commands, err := net.Listen("tcp", control)
	if err != nil {
		return err
	}
	var f floorServer
	go f.accept(listener)
	conn, err := commands.Accept()
	if err != nil {
		return err
	}
	return f.serve(conn)
}

type floorServer struct {
	mu  sync.Mutex // guards fds
	fds []int
}

func (f *floorServer) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			if fd, err := pretend(conn); err == nil {
				f.mu.Lock()
				f.fds = append(f.fds, fd)
				f.mu.Unlock()
			}
		}()
	}
}

// pretend goes through the client's states and hands over a non-blocking descriptor of its own.
func pretend(conn net.Conn) (fd int, err error) {
	defer conn.Close()
	buffer := make([]byte, 4096)
	steps := [][]byte{
		append([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"), text(`0{"sid":"floor","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`)...),
		text(`40{"sid":"floor"}`),
		text(`430[{"ok":true}]`),
	}
	for _, answer := range steps {
		if _, err := conn.Read(buffer); err != nil {
			return 0, err
		}
		if _, err := conn.Write(answer); err != nil {
			return 0, err
		}
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	err = errors.Join(raw.Control(func(original uintptr) {
		fd, err = unix.FcntlInt(original, unix.F_DUPFD_CLOEXEC, 0)
	}), err)
	return fd, err
}

// text makes an unmasked text frame (RFC 6455, 5.2) of less than 64 KB.
func text(payload string) []byte {
	if len(payload) < 126 {
		return append([]byte{0x81, byte(len(payload))}, payload...)
	}
	return append([]byte{0x81, 126, byte(len(payload) >> 8), byte(len(payload))}, payload...)
}

// serve writes the lines of the control connection to every descriptor.
func (f *floorServer) serve(control io.Reader) error {
	lines := make(chan []byte, 64)
	failed := make(chan error, 1)
	go func() {
		defer close(lines)
		in := bufio.NewScanner(control)
		for in.Scan() {
			lines <- bytes.Clone(in.Bytes())
		}
		failed <- in.Err()
	}()
	for line := range lines {
		out := message(line)
		for more := true; more; {
			select {
			case line, ok := <-lines:
				if more = ok; ok {
					out = append(out, message(line)...)
				}
			default:
				more = false
			}
		}
		if err := f.write(out); err != nil {
			return err
		}
	}
	return <-failed
}

// message has the size that Interlink's has, cursor included.
func message(line []byte) []byte {
	return text(fmt.Sprintf(`42["message:new",%s,{"id":"b-00000","time":1700000000000,"room":"%s"},"AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGhI"]`, line, benchRoom))
}

func (f *floorServer) write(out []byte) error {
	f.mu.Lock()
	fds := f.fds
	f.mu.Unlock()
	for _, fd := range fds {
		for rest := out; len(rest) > 0; {
			n, err := syscall.Write(fd, rest)
			switch {
			case err == nil:
				rest = rest[n:]
			case errors.Is(err, syscall.EAGAIN):
				if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1); err != nil && !errors.Is(err, unix.EINTR) {
					return err
				}
			case errors.Is(err, syscall.EINTR):
			default:
				rest = nil // it is gone
			}
		}
	}
	return nil
}
