package peers_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	relayv1 "github.com/edumatrix/interlink/proto/relay/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/peers"
)

// pipes is a listener of in-memory connections; it takes none while it is away.
type pipes struct {
	away   atomic.Bool
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) dial(context.Context, string) (net.Conn, error) {
	if p.away.Load() {
		return nil, errors.New("nobody is there")
	}
	here, there := net.Pipe()
	p.conns <- there
	return here, nil
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func TestAPeerThatIsBackIsFoundWithinTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{conns: make(chan net.Conn, 16), closed: make(chan struct{})}
		p.away.Store(true)
		server := grpc.NewServer()
		relayv1.RegisterRelayServer(server, relayv1.UnimplementedRelayServer{})
		go func() { _ = server.Serve(p) }()
		defer server.Stop()
		conns := &peers.Conns{Dial: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(p.dial)}}
		defer conns.Close()
		conn, err := conns.Get("peer:1")
		if err != nil {
			t.Fatal(err)
		}
		ask := func() codes.Code {
			_, err := relayv1.NewRelayClient(conn).Probe(t.Context(), &relayv1.ProbeRequest{})
			return status.Code(err)
		}
		for range 600 { // a minute
			if got := ask(); got != codes.Unavailable {
				t.Fatalf("nobody is there, and %v", got)
			}
			time.Sleep(100 * time.Millisecond)
		}
		p.away.Store(false)
		back := time.Now()
		for ask() != codes.Unimplemented {
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(back); took > 2*time.Second {
			t.Errorf("found after %v", took)
		}
	})
}

func TestAPeerThatSaysNothingIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial := func(context.Context, string) (net.Conn, error) {
			here, there := net.Pipe()
			go drain(there)
			return here, nil
		}
		conns := &peers.Conns{Dial: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(dial)}}
		defer conns.Close()
		conn, err := conns.Get("peer:1")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = relayv1.NewRelayClient(conn).Probe(t.Context(), &relayv1.ProbeRequest{})
		if took := time.Since(began); status.Code(err) != codes.Unavailable || took > 15*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// drain answers with the settings of an HTTP/2 server and takes what comes, as a kernel does for a process that is stopped.
func drain(c net.Conn) {
	_, _ = c.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0})
	buf := make([]byte, 4096)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}
