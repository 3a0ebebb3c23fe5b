package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
)

const partitions = 12

// router speaks the router's side of Delivery.Attach to one gateway and owns all partitions of a topic that exists only
// here. It confirms interest numbers at once and sends empty ranges every 250 ms, as a real one does.
type router struct {
	conn   *grpc.ClientConn
	stream grpc.BidiStreamingClient[deliveryv1.AttachRequest, deliveryv1.AttachResponse]
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex // guards what follows, and sending
	number   uint64
	position [partitions]int64
	seek     [partitions]uint64
	err      error
}

const emptyEvery = 250 * time.Millisecond

func attach(addr string) (*router, error) {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &router{conn: conn, cancel: cancel}
	r.stream, err = deliveryv1.NewDeliveryClient(conn).Attach(ctx, grpc.WaitForReady(true))
	if err != nil {
		r.close()
		return nil, err
	}
	hello := &deliveryv1.Hello{Router: "bench", ReplayAddr: "127.0.0.1:1", Topic: "bench", TopicEpoch: "bench/12", Partitions: partitions}
	for p := range uint32(partitions) {
		hello.Owned = append(hello.Owned, &deliveryv1.Ownership{Partition: p})
	}
	if err := r.stream.Send(&deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Hello{Hello: hello}}); err != nil {
		r.close()
		return nil, err
	}
	r.wg.Go(r.listen)
	r.wg.Go(func() { r.keep(ctx) })
	return r, nil
}

// listen applies what the gateway says.
func (r *router) listen() {
	for {
		m, err := r.stream.Recv()
		if err != nil {
			r.mu.Lock()
			r.err = fmt.Errorf("the gateway ended the stream: %w", err)
			r.mu.Unlock()
			return
		}
		r.mu.Lock()
		switch k := m.Kind.(type) {
		case *deliveryv1.AttachResponse_Snapshot:
			r.number = k.Snapshot.Number
			for _, p := range k.Snapshot.Positions {
				r.position[p.Partition] = p.Offset
			}
			r.sendEmpty()
		case *deliveryv1.AttachResponse_Delta:
			r.number = k.Delta.Number
			r.sendEmpty()
		case *deliveryv1.AttachResponse_Seek:
			r.position[k.Seek.Partition], r.seek[k.Seek.Partition] = k.Seek.Offset, k.Seek.Number
		case *deliveryv1.AttachResponse_Position:
			r.position[k.Position.Partition] = k.Position.Offset
		}
		r.mu.Unlock()
	}
}

func (r *router) keep(ctx context.Context) {
	ticker := time.NewTicker(emptyEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			r.mu.Lock()
			r.sendEmpty()
			r.mu.Unlock()
		}
	}
}

// sendEmpty is called with the lock held.
func (r *router) sendEmpty() {
	var list []*deliveryv1.Range
	for p := range uint32(partitions) {
		list = append(list, &deliveryv1.Range{Partition: p, From: r.position[p], To: r.position[p], Seek: r.seek[p]})
	}
	r.send(list...)
}

func (r *router) send(list ...*deliveryv1.Range) {
	ranges := &deliveryv1.Ranges{Number: r.number, Ranges: list}
	if err := r.stream.Send(&deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Ranges{Ranges: ranges}}); err != nil && r.err == nil {
		r.err = err
	}
}

// emit appends one record for the room.
func (r *router) emit(n int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	const p = 0
	now := time.Now()
	record, err := proto.Marshal(&deliveryv1.Record{
		Offset: r.position[p], Id: fmt.Sprintf("b-%d", n), Event: "message:new", Rooms: []string{benchRoom}, Data: data(n, now),
		TimeMs: now.UnixMilli(), SingleRoom: true,
	})
	if err != nil {
		return err
	}
	r.send(&deliveryv1.Range{Partition: p, From: r.position[p], To: r.position[p] + 1, Seek: r.seek[p], Records: [][]byte{record}})
	r.position[p]++
	return r.err
}

func (r *router) close() {
	r.cancel()
	r.wg.Wait()
	r.conn.Close()
}
