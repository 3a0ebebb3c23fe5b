package engine

import (
	"net"

	"golang.org/x/sys/unix"
)

const errAgain = unix.EAGAIN

// descriptor duplicates the descriptor of a TCP connection and prepares it for a poller: sends at once, keeps at most sendBuffer bytes
// (the kernel doubles that for its own needs), never blocks. ok is false for a connection without one, TLS for instance.
func descriptor(nc net.Conn, sendBuffer int) (fd int, ok bool) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return -1, false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return -1, false
	}
	fd = -1
	if err := raw.Control(func(of uintptr) { fd, err = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 3) }); err != nil {
		return -1, false
	}
	if err != nil {
		return -1, false
	}
	// net has set TCP_NODELAY and O_NONBLOCK; both belong to the connection, not to the descriptor.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer); err != nil {
		_ = unix.Close(fd)
		return -1, false
	}
	return fd, true
}

func readFD(fd int, b []byte) (int, error) {
	for {
		n, err := unix.Read(fd, b)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

func writeFD(fd int, b []byte) (int, error) {
	for {
		n, err := unix.Write(fd, b)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

func closeFD(fd int) { _ = unix.Close(fd) }
