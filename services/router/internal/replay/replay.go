// Package replay serves interlink.replay.v1: the records of some rooms in a range of one partition, from the partition
// log, else from Kafka, within a budget of its own so that many sockets coming back cannot starve live delivery.
package replay

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	replayv1 "github.com/edumatrix/interlink/proto/replay/v1"
	"github.com/edumatrix/interlink/services/router/internal/history"
	"github.com/edumatrix/interlink/services/router/internal/partitionlog"
)

// Logs finds the log of a partition that this router owns.
type Logs interface {
	Log(partition int) (*partitionlog.Log, bool)
}

// Cursor reads on in Kafka.
type Cursor interface {
	Next() (history.Chunk, error)
	Close()
}

// History opens cursors in Kafka. OffsetAt is the first offset not older than a time.
type History interface {
	Open(ctx context.Context, partition int, from int64) (Cursor, error)
	OffsetAt(ctx context.Context, partition int, t time.Time) (int64, error)
}

// Options of a Server.
type Options struct {
	Logs      Logs
	History   History
	Observe   func(result string) // ok, bounds, gone, not_owned, late, failed
	AtOnce    int                 // replays from memory at once, default 32
	FromKafka int                 // replays from Kafka at once, default 4
	Wait      time.Duration       // how long the log may take to come as far as `to`, default 2 s
}

const chunkBytes = 256 << 10

// Server implements Replay.
type Server struct {
	replayv1.UnimplementedReplayServer
	opts   Options
	memory chan struct{}
	kafka  chan struct{}
}

// New makes a Server.
func New(o Options) *Server {
	if o.AtOnce <= 0 {
		o.AtOnce = 32
	}
	if o.FromKafka <= 0 {
		o.FromKafka = 4
	}
	if o.Wait <= 0 {
		o.Wait = 2 * time.Second
	}
	return &Server{opts: o, memory: make(chan struct{}, o.AtOnce), kafka: make(chan struct{}, o.FromKafka)}
}

var (
	errNotOwned = status.Error(codes.FailedPrecondition, "this router does not serve the partition")
	errLate     = status.Error(codes.Unavailable, "the partition log has not come that far yet")
	errEvents   = status.Error(codes.ResourceExhausted, "more than max_events")
	errBytes    = status.Error(codes.ResourceExhausted, "more than max_bytes")
)

// Fetch streams the records of [from, to). See the service's description for its errors.
func (s *Server) Fetch(req *replayv1.FetchRequest, stream grpc.ServerStreamingServer[replayv1.FetchResponse]) error {
	err := s.fetch(req, stream)
	s.opts.Observe(result(err))
	return err
}

func result(err error) string {
	switch status.Code(err) {
	case codes.OK:
		return "ok"
	case codes.ResourceExhausted:
		return "bounds"
	case codes.OutOfRange:
		return "gone"
	case codes.FailedPrecondition:
		return "not_owned"
	case codes.Unavailable:
		return "late"
	default:
		return "failed"
	}
}

func (s *Server) fetch(req *replayv1.FetchRequest, stream grpc.ServerStreamingServer[replayv1.FetchResponse]) error {
	ctx := stream.Context()
	partition := int(req.GetPartition())
	log, ok := s.opts.Logs.Log(partition)
	if !ok {
		return errNotOwned
	}
	if err := s.await(ctx, log, req.GetTo()); err != nil {
		return err
	}
	// Only who reads holds a slot: neither who waits for the log nor who waits for Kafka keeps others from memory.
	if err := take(ctx, s.memory); err != nil {
		return err
	}
	release := sync.OnceFunc(func() { <-s.memory })
	defer release()
	out := &out{stream: stream, events: bound(req.GetMaxEvents()), bytes: bound(req.GetMaxBytes())}
	want := make(map[uint64]struct{}, len(req.GetRooms()))
	for _, r := range req.GetRooms() {
		want[r] = struct{}{}
	}
	from, err := s.start(ctx, log, req)
	if err != nil {
		return err
	}
	if from < req.GetTo() {
		from, err = s.fromLog(log, from, req.GetTo(), want, out)
		if err == nil && from < req.GetTo() {
			release()
			err = s.fromKafka(ctx, partition, from, req.GetTo(), want, out)
		}
		if err != nil {
			return err
		}
	}
	return out.flush(true)
}

func take(ctx context.Context, slots chan struct{}) error {
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

func bound(n uint32) int64 {
	if n == 0 {
		return math.MaxInt64
	}
	return int64(n)
}

// await waits until the log has come as far as to: the asking gateway may have got there by another router.
func (s *Server) await(ctx context.Context, log *partitionlog.Log, to int64) error {
	if _, next, _ := log.Bounds(); next >= to {
		return nil
	}
	w := partitionlog.NewWatcher()
	log.Watch(w)
	defer log.Unwatch(w)
	late := time.NewTimer(s.opts.Wait)
	defer late.Stop()
	for {
		if _, next, _ := log.Bounds(); next >= to {
			return nil
		}
		select {
		case <-w.C:
		case <-late.C:
			return errLate
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

func (s *Server) start(ctx context.Context, log *partitionlog.Log, req *replayv1.FetchRequest) (int64, error) {
	if req.GetSinceMs() == 0 {
		return req.GetFrom(), nil
	}
	since := time.UnixMilli(req.GetSinceMs())
	if from, ok := log.Since(since); ok {
		return from, nil
	}
	from, err := s.opts.History.OffsetAt(ctx, int(req.GetPartition()), since)
	if err != nil {
		return 0, status.Errorf(codes.Unavailable, "look for %s: %v", since, err)
	}
	return from, nil
}

// fromLog sends what the log holds of [from, to) and returns how far that reached: from itself if the log does not reach back.
func (s *Server) fromLog(log *partitionlog.Log, from, to int64, want map[uint64]struct{}, out *out) (int64, error) {
	for from < to {
		part, ok := log.Read(from, to, want, chunkBytes)
		if !ok {
			return from, nil
		}
		if err := out.add(part.Records); err != nil {
			return from, err
		}
		from = part.To
	}
	return from, nil
}

func (s *Server) fromKafka(ctx context.Context, partition int, from, to int64, want map[uint64]struct{}, out *out) error {
	if err := take(ctx, s.kafka); err != nil {
		return err
	}
	defer func() { <-s.kafka }()
	cursor, err := s.opts.History.Open(ctx, partition, from)
	if err != nil {
		return gone(err)
	}
	defer cursor.Close()
	for from < to {
		chunk, err := cursor.Next()
		if err != nil {
			return gone(err)
		}
		var records [][]byte
		for i := range chunk.Entries {
			if e := &chunk.Entries[i]; e.Offset < to && partitionlog.Wanted(e.Rooms, want) {
				records = append(records, e.Record)
			}
		}
		if err := out.add(records); err != nil {
			return err
		}
		from = chunk.To
		if ctx.Err() != nil {
			return status.FromContextError(ctx.Err()).Err()
		}
	}
	return nil
}

func gone(err error) error {
	var expired *history.Expired
	if errors.As(err, &expired) {
		return status.Error(codes.OutOfRange, expired.Error())
	}
	return status.Errorf(codes.Unavailable, "read kafka: %v", err)
}

// out gathers records into responses and keeps the request's bounds.
type out struct {
	stream  grpc.ServerStreamingServer[replayv1.FetchResponse]
	events  int64
	bytes   int64
	records [][]byte
	size    int
}

func (o *out) add(records [][]byte) error {
	for _, r := range records {
		o.events--
		o.bytes -= int64(len(r))
		if o.events < 0 {
			return errEvents
		}
		if o.bytes < 0 {
			return errBytes
		}
		o.records = append(o.records, r)
		if o.size += len(r); o.size >= chunkBytes {
			if err := o.flush(false); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o *out) flush(complete bool) error {
	if len(o.records) == 0 && !complete {
		return nil
	}
	err := o.stream.Send(&replayv1.FetchResponse{Records: o.records, Complete: complete})
	o.records, o.size = nil, 0
	return err
}
