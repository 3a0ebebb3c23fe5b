package recovery

import "testing"

func TestPooledConnectionsAreNoGoroutinesOfClients(t *testing.T) {
	const profile = `goroutine profile: total 42
24 @ 0x48dbee 0x469f65
#	0x1	github.com/segmentio/kafka-go.(*partitionWriter).writeBatches+0x34	writer.go:1

5 @ 0x1
#	0x1	google.golang.org/grpc/internal/transport.(*http2Server).keepalive+0x1	keepalive.go:1

3 @ 0x1
#	0x1	google.golang.org/grpc/internal/transport.(*recvBufferReader).readMessageHeaderClient+0xa8	transport.go:1
#	0x2	github.com/edumatrix/interlink/services/router/internal/attach.(*link).send+0x606	link.go:1

10 @ 0x1
#	0x1	net/http.(*conn).serve+0x1	server.go:1
`
	if n := unpooled(profile); n != 13 {
		t.Errorf("%d goroutines, want 13", n)
	}
	if n := unpooled("goroutine profile: total 7\n7 @ 0x1\n#	0x1	net/http.(*conn).serve+0x1	server.go:1\n"); n != 7 {
		t.Errorf("%d goroutines, want 7", n)
	}
}
