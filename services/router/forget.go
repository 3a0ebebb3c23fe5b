package router

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
)

const (
	forgetQueue = 4096
	forgetAgain = time.Second
	forgetCall  = 5 * time.Second
	// forgetFirst is how long a membership change is held back for presence to forget; after a failure none is, for a while.
	forgetFirst = 250 * time.Millisecond
	forgetAway  = 5 * time.Second
)

// forgetter drops cached permissions of users whose membership changed, also when no gateway has the room or the user:
// a member who was removed while away must not be let in by what the cache remembers. It has the cache keep who was
// removed, so that every gateway knows that grants in older tokens are void.
type forgetter struct {
	client presencev1.PresenceClient // nil: nothing is cached
	queue  chan *presencev1.DropPermissionsRequest
	away   atomic.Int64 // until when presence is not waited for, Unix nanoseconds
	logger *slog.Logger
}

func newForgetter(conn grpc.ClientConnInterface, logger *slog.Logger) *forgetter {
	f := &forgetter{queue: make(chan *presencev1.DropPermissionsRequest, forgetQueue), logger: logger}
	if conn != nil {
		f.client = presencev1.NewPresenceClient(conn)
	}
	return f
}

// forget drops cached permissions before the record that changes them is delivered: else a gateway that has acted on it
// could be asked by the user again and admit him by what the cache still says. It blocks for a moment at most: live
// delivery does not depend on presence. What could not be done at once is tried again by run; with presence away so long
// that the queue is full, the cache's own time to live has to do.
func (f *forgetter) forget(req *presencev1.DropPermissionsRequest) {
	if f.client == nil {
		return
	}
	if time.Now().UnixNano() >= f.away.Load() {
		ctx, cancel := context.WithTimeout(context.Background(), forgetFirst)
		_, err := f.client.DropPermissions(ctx, req)
		cancel()
		if err == nil {
			return
		}
		f.away.Store(time.Now().Add(forgetAway).UnixNano())
	}
	select {
	case f.queue <- req:
	default:
		f.logger.Warn("too many membership changes wait for presence, one is left to the cache's time to live")
	}
}

func (f *forgetter) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case req := <-f.queue:
			f.drop(ctx, req)
		}
	}
}

// drop tries until presence has taken it.
func (f *forgetter) drop(ctx context.Context, req *presencev1.DropPermissionsRequest) {
	for told := false; ctx.Err() == nil; {
		call, cancel := context.WithTimeout(ctx, forgetCall)
		_, err := f.client.DropPermissions(call, req)
		cancel()
		if err == nil {
			return
		}
		if !told && ctx.Err() == nil {
			f.logger.WarnContext(ctx, "presence does not drop permissions, trying again", "error", err)
			told = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(forgetAgain):
		}
	}
}
