package poller_test

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edumatrix/interlink/services/gateway/internal/poller"
)

func pair(t *testing.T) (here, there int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(os.NewSyscallError("socketpair", err))
	}
	return fds[0], fds[1]
}

func TestPollerTellsOfDescriptors(t *testing.T) {
	p, err := poller.New()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	here, there := pair(t)
	defer unix.Close(here)
	const token = 7 | 9<<32
	if err := p.Add(here, token); err != nil {
		t.Fatal(err)
	}
	events := make([]poller.Event, poller.Batch)
	want := func(step string, wanted ...poller.Event) {
		t.Helper()
		deadline := time.Time{}
		if len(wanted) == 0 {
			deadline = time.Now()
		}
		n, err := p.Wait(events, deadline)
		if err != nil || n != len(wanted) || n > 0 && events[0] != wanted[0] {
			t.Fatalf("%s: %v, %v; want %v", step, events[:n], err, wanted)
		}
	}
	want("nothing has come")
	if _, err := unix.Write(there, []byte("x")); err != nil {
		t.Fatal(err)
	}
	want("a byte has come", poller.Event{Token: token, Read: true})
	want("it was not read", poller.Event{Token: token, Read: true})
	if _, err := unix.Read(here, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	want("it was read")
	if err := p.Interest(here, token, true); err != nil {
		t.Fatal(err)
	}
	want("writing is of interest", poller.Event{Token: token, Write: true})
	if err := p.Interest(here, token, false); err != nil {
		t.Fatal(err)
	}
	want("writing is of interest no more")
	unix.Close(there)
	want("the other end is closed", poller.Event{Token: token, Read: true, Write: true})
}

func TestPollerForgetsAClosedDescriptor(t *testing.T) {
	p, err := poller.New()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	here, there := pair(t)
	defer unix.Close(there)
	if err := p.Add(here, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(there, []byte("x")); err != nil {
		t.Fatal(err)
	}
	unix.Close(here)
	if n, err := p.Wait(make([]poller.Event, poller.Batch), time.Now()); n != 0 || err != nil {
		t.Fatalf("Wait = %d, %v", n, err)
	}
	if err := p.Add(here, 1); err == nil {
		t.Fatal("a closed descriptor was added")
	}
}
