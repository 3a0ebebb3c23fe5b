// Command protocol-server serves the gateway's engine alone, for the test suites of the Engine.IO and Socket.IO protocol documents.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/edumatrix/interlink/services/gateway/protocolserver"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:3000", "listen here")
	interval := flag.Duration("ping-interval", 300*time.Millisecond, "time between pings")
	timeout := flag.Duration("ping-timeout", 200*time.Millisecond, "time for a pong")
	payload := flag.Int64("max-payload", 1_000_000, "bytes of a message or request body")
	connect := flag.Duration("connect-timeout", time.Second, "time for a Socket.IO CONNECT")
	portable := flag.Bool("portable", false, "serve connections with goroutines instead of a poller")
	flag.Parse()
	if err := run(*addr, protocolserver.Options{
		PingInterval: *interval, PingTimeout: *timeout, MaxPayload: *payload, ConnectTimeout: *connect, Portable: *portable,
	}); err != nil {
		fmt.Fprintln(os.Stderr, "protocol-server:", err)
		os.Exit(1)
	}
}

func run(addr string, options protocolserver.Options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	options.Listener = listener
	server, err := protocolserver.New(options)
	if err != nil {
		return err
	}
	fmt.Println("listening on", listener.Addr())
	return server.Run(ctx)
}
