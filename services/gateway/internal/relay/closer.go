package relay

import (
	"context"
	"log/slog"
	"sync"
	"time"

	relayv1 "github.com/edumatrix/interlink/proto/relay/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/peers"
)

const (
	closersAtOnce = 16
	closeWithin   = 2 * time.Second
)

// Closer has other gateways close sockets whose sessions go on here, so that they don't hang there until their pings
// are not answered. It is best effort: a gateway that can't be asked, or too many at once, and they hang.
type Closer struct {
	Locator Locator
	Conns   *peers.Conns
	Logger  *slog.Logger

	once  sync.Once
	queue chan closing
}

type closing struct {
	gateway, user, socket string
	version               uint64
}

const closingsWaiting = 4096

func (c *Closer) init() { c.once.Do(func() { c.queue = make(chan closing, closingsWaiting) }) }

// CloseSocket never blocks.
func (c *Closer) CloseSocket(gateway, user, socket string, version uint64) {
	c.init()
	select {
	case c.queue <- closing{gateway, user, socket, version}:
	default:
	}
}

// Run works until ctx ends.
func (c *Closer) Run(ctx context.Context) error {
	c.init()
	var running sync.WaitGroup
	for range closersAtOnce {
		running.Go(func() {
			for {
				select {
				case next := <-c.queue:
					if err := c.close(ctx, next); err != nil {
						c.Logger.Debug("old socket not closed", "gateway", next.gateway, "error", err)
					}
				case <-ctx.Done():
					return
				}
			}
		})
	}
	running.Wait()
	return nil
}

func (c *Closer) close(ctx context.Context, next closing) error {
	ctx, cancel := context.WithTimeout(ctx, closeWithin)
	defer cancel()
	addr, known, err := c.Locator.Locate(ctx, next.gateway)
	if err != nil || !known {
		return err
	}
	conn, err := c.Conns.Get(addr)
	if err != nil {
		return err
	}
	_, err = relayv1.NewRelayClient(conn).Close(ctx, &relayv1.CloseRequest{User: next.user, Socket: next.socket, Version: next.version})
	return err
}
