package poller

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Poller is an epoll set. Wait, Add, Interest belong to one goroutine; Wake may be called by any.
type Poller struct {
	file   *os.File // the epoll descriptor, registered with the runtime's poller
	raw    syscall.RawConn
	epoll  int
	wake   *os.File // an eventfd; a File, since Wake may come while another goroutine closes
	set    time.Time
	ready  []unix.EpollEvent
	n      int
	err    error
	pollFn func(uintptr) bool
}

// wakeToken is no token of an owner: its generation is never reached.
const wakeToken = ^uint64(0)

// New returns an empty set.
func New() (*Poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("poller: epoll_create1: %w", err)
	}
	// os.NewFile takes a non-blocking descriptor into the runtime's poller.
	if err := unix.SetNonblock(epoll, true); err != nil {
		_ = unix.Close(epoll)
		return nil, fmt.Errorf("poller: set non-blocking: %w", err)
	}
	p := &Poller{file: os.NewFile(uintptr(epoll), "epoll"), epoll: epoll, ready: make([]unix.EpollEvent, Batch)}
	p.pollFn = p.poll
	if p.raw, err = p.file.SyscallConn(); err == nil {
		err = p.file.SetReadDeadline(time.Time{}) // fails if the runtime does not poll it
	}
	if err == nil {
		err = p.addWake()
	}
	if err != nil {
		_ = p.Close()
		return nil, fmt.Errorf("poller: %w", err)
	}
	return p, nil
}

func (p *Poller) addWake() error {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return err
	}
	p.wake = os.NewFile(uintptr(fd), "eventfd")
	// Edge-triggered: each write is one event, and nothing has to be read back.
	return p.control(unix.EPOLL_CTL_ADD, fd, wakeToken, unix.EPOLLIN|unix.EPOLLET)
}

// Add watches a descriptor for reading. Closing the descriptor, if no duplicate is left, ends that.
func (p *Poller) Add(fd int, token uint64) error {
	return p.control(unix.EPOLL_CTL_ADD, fd, token, unix.EPOLLIN|unix.EPOLLRDHUP)
}

// Interest changes what a descriptor is watched for.
func (p *Poller) Interest(fd int, token uint64, write bool) error {
	mask := uint32(unix.EPOLLIN | unix.EPOLLRDHUP)
	if write {
		mask |= unix.EPOLLOUT
	}
	return p.control(unix.EPOLL_CTL_MOD, fd, token, mask)
}

func (p *Poller) control(op, fd int, token uint64, mask uint32) error {
	e := unix.EpollEvent{Events: mask, Fd: int32(uint32(token)), Pad: int32(uint32(token >> 32))}
	if err := unix.EpollCtl(p.epoll, op, fd, &e); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// Wait blocks until a descriptor is ready, Wake is called, or the deadline has come (the zero time is none), and fills events.
// It returns 0 after a Wake and at the deadline.
func (p *Poller) Wait(events []Event, deadline time.Time) (int, error) {
	if !deadline.IsZero() && time.Until(deadline) <= 0 {
		p.poll(0)
	} else {
		if !deadline.Equal(p.set) {
			if err := p.file.SetReadDeadline(deadline); err != nil {
				return 0, fmt.Errorf("poller: %w", err)
			}
			p.set = deadline
		}
		if err := p.raw.Read(p.pollFn); errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, nil
		} else if err != nil {
			return 0, fmt.Errorf("poller: %w", err)
		}
	}
	if p.err != nil {
		return 0, fmt.Errorf("poller: epoll_wait: %w", p.err)
	}
	return p.fill(events), nil
}

// poll asks for events without waiting; it reports whether to stop waiting.
func (p *Poller) poll(uintptr) bool {
	p.n, p.err = unix.EpollWait(p.epoll, p.ready, 0)
	for p.err == unix.EINTR {
		p.n, p.err = unix.EpollWait(p.epoll, p.ready, 0)
	}
	return p.n != 0 || p.err != nil
}

func (p *Poller) fill(events []Event) int {
	n := 0
	for _, e := range p.ready[:p.n] {
		token := uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32
		if token == wakeToken {
			continue
		}
		broken := e.Events&(unix.EPOLLERR|unix.EPOLLHUP) != 0
		events[n] = Event{
			Token: token,
			Read:  broken || e.Events&(unix.EPOLLIN|unix.EPOLLRDHUP) != 0,
			Write: broken || e.Events&unix.EPOLLOUT != 0,
		}
		n++
	}
	return n
}

// Wake ends the present or the next Wait. Any goroutine; does not block.
func (p *Poller) Wake() error {
	var one = [8]byte{1}
	if _, err := p.wake.Write(one[:]); err != nil {
		return fmt.Errorf("poller: wake: %w", err)
	}
	return nil
}

// Close releases the set; the descriptors in it stay open. A Wake that comes later fails.
func (p *Poller) Close() error {
	err := p.file.Close()
	if p.wake != nil {
		err = errors.Join(err, p.wake.Close())
	}
	return err
}
