package router

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	emitv1 "github.com/edumatrix/interlink/proto/emit/v1"
	"github.com/edumatrix/interlink/services/router/internal/attach"
	"github.com/edumatrix/interlink/services/router/internal/envelope"
	"github.com/edumatrix/interlink/services/router/internal/httpapi"
	"github.com/edumatrix/interlink/services/router/internal/producer"
	"github.com/edumatrix/interlink/services/router/internal/readymade"
)

// emitServer implements interlink.emit.v1 for the other services.
type emitServer struct {
	emitv1.UnimplementedEmitServer
	r *Router
}

const maxEntries = 10_000

// Publish appends entries to our own topics. An unknown topic is INVALID_ARGUMENT; what the brokers say is in each result.
func (s *emitServer) Publish(ctx context.Context, req *emitv1.PublishRequest) (*emitv1.PublishResponse, error) {
	if len(req.GetEntries()) > maxEntries {
		return nil, status.Errorf(codes.InvalidArgument, "at most %d entries, have %d", maxEntries, len(req.GetEntries()))
	}
	records := make([]producer.Record, len(req.GetEntries()))
	for i, e := range req.GetEntries() {
		if !publishable(e.GetTopic()) {
			return nil, status.Errorf(codes.InvalidArgument, "entries[%d]: topic %q is not one of Interlink's", i, e.GetTopic())
		}
		records[i] = producer.Record{Topic: s.r.opts.topic(e.GetTopic()), Key: e.GetKey(), Value: e.GetValue()}
		for k, v := range e.GetHeaders() {
			records[i].Headers = append(records[i].Headers, envelope.Header{Key: k, Value: []byte(v)})
		}
	}
	out := &emitv1.PublishResponse{Results: make([]*emitv1.Result, len(records))}
	for i, r := range s.r.producer.Write(ctx, records) {
		out.Results[i] = &emitv1.Result{Partition: uint32(r.Partition), Offset: r.Offset}
		if r.Err != nil {
			out.Results[i] = &emitv1.Result{Error: r.Err.Error()}
		}
	}
	return out, nil
}

// Push hands ephemeral records to the gateways that have their rooms.
func (s *emitServer) Push(ctx context.Context, req *emitv1.PushRequest) (*emitv1.PushResponse, error) {
	running := s.r.running.Load()
	if running == nil {
		return nil, status.Error(codes.Unavailable, "kafka has not answered yet")
	}
	out := make([]attach.Ephemeral, 0, len(req.GetRecords()))
	for i, b := range req.GetRecords() {
		var rec deliveryv1.Record
		if err := proto.Unmarshal(b, &rec); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "records[%d]: %v", i, err)
		}
		for _, b := range s.r.shape(ctx, b, &rec) {
			out = append(out, attach.EphemeralOf(b, rec.GetRooms()))
		}
	}
	running.fleet.Push(out)
	return &emitv1.PushResponse{}, nil
}

// Ready publishes ready-made events, one after the other, up to the first that has to wait.
func (s *emitServer) Ready(ctx context.Context, req *emitv1.ReadyRequest) (*emitv1.ReadyResponse, error) {
	if len(req.GetEvents()) > maxEntries {
		return nil, status.Errorf(codes.InvalidArgument, "at most %d events, have %d", maxEntries, len(req.GetEvents()))
	}
	out := &emitv1.ReadyResponse{}
	for _, e := range req.GetEvents() {
		result := s.ready(ctx, e)
		if out.Results = append(out.Results, result); result.Outcome == emitv1.ReadyResult_AWAY {
			break
		}
	}
	for len(out.Results) < len(req.GetEvents()) {
		out.Results = append(out.Results, &emitv1.ReadyResult{Outcome: emitv1.ReadyResult_AWAY, Error: "behind one that has to wait"})
	}
	return out, nil
}

func (s *emitServer) ready(ctx context.Context, e *emitv1.ReadyEvent) *emitv1.ReadyResult {
	all, err := s.r.ready.Envelopes(ctx, readymade.Event{Name: e.GetEvent(), ID: e.GetId(), Data: e.GetData(), Target: e.GetTarget()})
	if err != nil {
		return &emitv1.ReadyResult{Outcome: emitv1.ReadyResult_REFUSED, Error: err.Error()}
	}
	var durable []*envelope.Envelope
	for _, one := range all {
		if !one.Volatile {
			durable = append(durable, one)
		} else if err := s.r.publish.Push([]*envelope.Envelope{one}); err != nil {
			return &emitv1.ReadyResult{Outcome: emitv1.ReadyResult_AWAY, Error: err.Error()}
		}
	}
	for _, published := range s.r.publish.Publish(ctx, durable) {
		switch {
		case errors.Is(published.Err, httpapi.ErrTooLarge):
			return &emitv1.ReadyResult{Outcome: emitv1.ReadyResult_REFUSED, Error: published.Err.Error()}
		case published.Err != nil:
			return &emitv1.ReadyResult{Outcome: emitv1.ReadyResult_AWAY, Error: published.Err.Error()}
		}
	}
	return &emitv1.ReadyResult{}
}
