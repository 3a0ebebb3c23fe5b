package engine

import (
	"context"
	"testing"

	"golang.org/x/sys/unix"
)

type ignoring struct{}

func (ignoring) Message(*Session, []byte) {}
func (ignoring) Binary(*Session, []byte)  {}
func (ignoring) Pinging(*Session) *Frame  { return nil }
func (ignoring) Ponged(*Session)          {}
func (ignoring) Closed(*Session, Reason)  {}

// BenchmarkRoom delivers one frame to a room of sockets on socket pairs, which are read empty between: what a delivery costs besides TCP.
func BenchmarkRoom(b *testing.B) {
	const members = 200
	e, err := New(Options{Open: func(*Session, Handshake) Handler { return ignoring{} }, Shards: 1})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	sh := e.shards[0]
	var peers []int
	var room []*Session
	ready := make(chan bool)
	for range members {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			b.Fatal(err)
		}
		peers = append(peers, fds[1])
		s := &Session{shard: sh, id: newID(""), conn: &conn{fd: fds[0]}}
		s.conn.consumer = s
		e.sockets.Add(1)
		room = append(room, s)
		sh.Post(func() { sh.attach(s.conn); e.begin(s, Handshake{}); ready <- true })
		<-ready
	}
	payload := make([]byte, 200)
	buf := make([]byte, 1<<16)
	b.ReportAllocs()
	for b.Loop() {
		f := TextFrame(Durable, payload)
		sh.Post(func() {
			for _, s := range room {
				s.Send(f)
			}
		})
		for _, fd := range peers {
			for n, _ := unix.Read(fd, buf); n < f.Len(); n, _ = unix.Read(fd, buf) {
				sh.Post(func() { ready <- true }) // behind the flush
				<-ready
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*members), "ns/delivery")
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	for _, fd := range peers {
		unix.Close(fd)
	}
}
