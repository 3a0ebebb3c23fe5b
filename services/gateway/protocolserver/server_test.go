package protocolserver_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/edumatrix/interlink/services/gateway/protocolserver"
)

func TestServerServesBothProtocolsAndStops(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, err := protocolserver.New(protocolserver.Options{Listener: listener, PingInterval: 300 * time.Millisecond, MaxPayload: 1234})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- server.Run(ctx) }()
	for _, path := range []string{"/engine.io/", "/engine.io", "/socket.io/", "/socket.io"} {
		response, err := http.Get("http://" + listener.Addr().String() + path + "?EIO=4&transport=polling")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != 200 || !strings.Contains(string(body), `"upgrades":["websocket"],"pingInterval":300,"pingTimeout":20000,"maxPayload":1234}`) {
			t.Errorf("%s: %d %s", path, response.StatusCode, body)
		}
	}
	if server.Sessions() != 4 {
		t.Errorf("%d sessions", server.Sessions())
	}
	cancel()
	if err := <-done; err != nil || server.Sessions() != 0 {
		t.Errorf("Run: %v, %d sessions left", err, server.Sessions())
	}
}
