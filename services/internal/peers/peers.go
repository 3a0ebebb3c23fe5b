// Package peers owns how one service finds and calls another over gRPC: a list of addresses or a name in the DNS, calls
// spread over all that answer, and a dead one noticed within seconds.
package peers

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

// maxMessage is the largest message from a peer, in bytes: a replay's or a full sync's.
const maxMessage = 64 << 20

// spread has the calls go to every address in turn.
const spread = `{"loadBalancingConfig":[{"round_robin":{}}]}`

// Dial makes a connection to all of targets: host:port each, or a single dns:///name:port. It does not block; calls
// fail with Unavailable, or wait if they say so, while nobody answers. The caller closes it.
func Dial(targets []string, c credentials.TransportCredentials) (*grpc.ClientConn, error) {
	if len(targets) == 0 {
		return nil, errors.New("no addresses are given")
	}
	if c == nil {
		c = insecure.NewCredentials()
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(c),
		grpc.WithDefaultServiceConfig(spread),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 3 * time.Second, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 3 * time.Second,
		}),
	}
	if len(targets) == 1 && strings.HasPrefix(targets[0], "dns:") {
		conn, err := grpc.NewClient(targets[0], options...)
		if err != nil {
			return nil, fmt.Errorf("peers %s: %w", targets[0], err)
		}
		return conn, nil
	}
	list := manual.NewBuilderWithScheme("interlink")
	state := resolver.State{}
	for _, target := range targets {
		// The name that a certificate must have, should TLS be spoken.
		name, _, _ := strings.Cut(target, ":")
		state.Addresses = append(state.Addresses, resolver.Address{Addr: target, ServerName: name})
	}
	list.InitialState(state)
	conn, err := grpc.NewClient("interlink:///peers", append(options, grpc.WithResolvers(list))...)
	if err != nil {
		return nil, fmt.Errorf("peers %s: %w", strings.Join(targets, ","), err)
	}
	return conn, nil
}
