package attach

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/placement"
)

// outbox holds what is to be written to one router. It is bounded by what the core says: one snapshot, a delta at a
// time, a seek per partition at a time, a position per partition that the router says to own; credit adds up. What a
// router that does not read makes it hold goes with the stream, when the watchdog ends it.
type outbox struct {
	gateway, incarnation string

	mu     sync.Mutex // guards queue and credit
	queue  []*deliveryv1.AttachResponse
	credit int64
	wake   chan struct{}
}

func newOutbox(gateway, incarnation string) *outbox {
	return &outbox{gateway: gateway, incarnation: incarnation, wake: make(chan struct{}, 1)}
}

// Say implements hub.Outbox.
func (o *outbox) Say(m placement.Message) {
	r := &deliveryv1.AttachResponse{}
	switch m := m.(type) {
	case placement.Snapshot:
		s := &deliveryv1.Snapshot{Gateway: o.gateway, Incarnation: o.incarnation, Number: m.Number, Rooms: m.Rooms}
		for _, p := range m.Positions {
			s.Positions = append(s.Positions, &deliveryv1.Position{Partition: p.Partition, Offset: p.Offset})
		}
		r.Kind = &deliveryv1.AttachResponse_Snapshot{Snapshot: s}
	case placement.Delta:
		r.Kind = &deliveryv1.AttachResponse_Delta{Delta: &deliveryv1.Delta{Number: m.Number, Add: m.Add, Remove: m.Remove}}
	case placement.Seek:
		r.Kind = &deliveryv1.AttachResponse_Seek{Seek: &deliveryv1.Seek{Partition: m.Partition, Offset: m.Offset, Number: m.Number}}
	case placement.Position:
		r.Kind = &deliveryv1.AttachResponse_Position{Position: &deliveryv1.Position{Partition: m.Partition, Offset: m.Offset}}
	}
	o.mu.Lock()
	o.queue = append(o.queue, r)
	o.mu.Unlock()
	o.signal()
}

// Credit implements hub.Outbox.
func (o *outbox) Credit(bytes int) {
	o.mu.Lock()
	o.credit += int64(bytes)
	o.mu.Unlock()
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take empties the outbox.
func (o *outbox) take() []*deliveryv1.AttachResponse {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := o.queue
	o.queue = nil
	if o.credit > 0 {
		out = append(out, &deliveryv1.AttachResponse{Kind: &deliveryv1.AttachResponse_Credit{Credit: &deliveryv1.Credit{Bytes: o.credit}}})
		o.credit = 0
	}
	return out
}

func (o *outbox) write(ctx context.Context, stream grpc.BidiStreamingServer[deliveryv1.AttachRequest, deliveryv1.AttachResponse], w *watch) error {
	for {
		select {
		case <-o.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
		for _, m := range o.take() {
			w.writing.Store(time.Now().UnixNano())
			if err := stream.Send(m); err != nil {
				return err
			}
			w.writing.Store(0)
		}
	}
}
