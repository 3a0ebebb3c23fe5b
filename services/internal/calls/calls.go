// Package calls has many small calls to the presence service travel as one. When many sockets connect at once, a gateway asks a few things for
// each of them; a gRPC call of its own for each costs more than all else of a connect.
package calls

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
)

const (
	most     = 64     // calls of one request
	queued   = 16_384 // calls that wait, above which more are refused
	inFlight = 4      // requests; what is called meanwhile goes with the next one
	within   = 3 * time.Second
)

const service = "/interlink.presence.v1.Presence/"

// combined are the methods that are called for each socket. None of them waits for anything but the store.
func combined(method string) bool {
	switch method {
	case "PutSession", "EndSession", "GetPermissions", "OpenInbox", "CloseInbox":
		return true
	}
	return false
}

// Conn is a connection to the presence service, for any number of goroutines. What is called while few requests are under way goes at once. A call whose context
// ends returns at once: it is not made if it still waited, else it may be done all the same.
type Conn struct {
	grpc.ClientConnInterface
	client presencev1.PresenceClient

	mu      sync.Mutex // guards what follows
	waiting []*call
	flying  int
}

type call struct {
	ctx     context.Context // the caller's: who has gone while his call waited needs no answer
	method  string
	request []byte
	kind    protoreflect.MessageType // of the request
	reply   proto.Message            // not the caller's, who may be gone
	done    chan error               // of one
}

// New returns a connection that makes its calls through c.
func New(c grpc.ClientConnInterface) *Conn {
	return &Conn{ClientConnInterface: c, client: presencev1.NewPresenceClient(c)}
}

// Invoke implements grpc.ClientConnInterface.
func (c *Conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	name, ok := cut(method)
	request, ok2 := args.(proto.Message)
	answer, ok3 := reply.(proto.Message)
	if !ok || !ok2 || !ok3 {
		return c.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
	}
	b, err := proto.Marshal(request)
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	made := &call{ctx: ctx, method: name, request: b, kind: request.ProtoReflect().Type(), reply: answer.ProtoReflect().New().Interface(), done: make(chan error, 1)}
	if !c.enter(made) {
		return status.Error(codes.Unavailable, "calls: too many wait for presence")
	}
	select {
	case err := <-made.done:
		if err == nil {
			proto.Merge(answer, made.reply)
		}
		return err
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

// cut returns the name of a method that can go with others.
func cut(method string) (name string, ok bool) {
	if len(method) <= len(service) || method[:len(service)] != service {
		return "", false
	}
	name = method[len(service):]
	return name, combined(name)
}

// enter reports whether there is room for one more call. With presence away calls gather whose callers have gone: they make room first.
func (c *Conn) enter(made *call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) >= queued {
		if c.waiting = slices.DeleteFunc(c.waiting, (*call).gone); len(c.waiting) >= queued {
			return false
		}
	}
	c.waiting = append(c.waiting, made)
	if c.flying < inFlight {
		c.flying++
		go c.fly() // ends when nothing waits, at the latest when the last request has timed out
	}
	return true
}

func (made *call) gone() bool { return made.ctx.Err() != nil }

// fly sends what waits until nothing does.
func (c *Conn) fly() {
	for {
		c.mu.Lock()
		n := min(len(c.waiting), most)
		if n == 0 {
			c.flying--
			c.mu.Unlock()
			return
		}
		list := c.waiting[:n:n]
		if c.waiting = c.waiting[n:]; len(c.waiting) == 0 {
			c.waiting = nil
		}
		c.mu.Unlock()
		if list = slices.DeleteFunc(list, (*call).gone); len(list) > 0 {
			c.send(list)
		}
	}
}

func (c *Conn) send(list []*call) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	request := &presencev1.CallsRequest{}
	for _, made := range list {
		request.Calls = append(request.Calls, &presencev1.Call{Method: made.method, Request: made.request})
	}
	answer, err := c.client.Calls(ctx, request)
	switch {
	case status.Code(err) == codes.Unimplemented: // an older presence service
		var each sync.WaitGroup
		for _, made := range list {
			each.Go(func() { made.done <- c.alone(ctx, made) })
		}
		each.Wait()
		return
	case err == nil && len(answer.Results) != len(list):
		err = status.Errorf(codes.Internal, "calls: %d results of %d calls", len(answer.Results), len(list))
	}
	for i, made := range list {
		if err == nil {
			made.done <- made.take(answer.Results[i])
		} else {
			made.done <- err
		}
	}
}

func (c *Conn) alone(ctx context.Context, made *call) error {
	request := made.kind.New().Interface()
	if err := proto.Unmarshal(made.request, request); err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return c.ClientConnInterface.Invoke(ctx, service+made.method, request, made.reply)
}

func (made *call) take(r *presencev1.CallResult) error {
	if r.Code != uint32(codes.OK) {
		return status.Error(codes.Code(r.Code), r.Message)
	}
	if err := proto.Unmarshal(r.Response, made.reply); err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return nil
}

// Serve does the calls of a request, as the methods of server would.
func Serve(ctx context.Context, server presencev1.PresenceServer, r *presencev1.CallsRequest) (*presencev1.CallsResponse, error) {
	if len(r.Calls) > most {
		return nil, status.Errorf(codes.InvalidArgument, "%d calls, more than %d", len(r.Calls), most)
	}
	answer := &presencev1.CallsResponse{Results: make([]*presencev1.CallResult, len(r.Calls))}
	var each sync.WaitGroup
	for i, made := range r.Calls {
		each.Go(func() {
			response, err := serve(ctx, server, made)
			s := status.Convert(err)
			answer.Results[i] = &presencev1.CallResult{Response: response, Code: uint32(s.Code()), Message: s.Message()}
		})
	}
	each.Wait()
	return answer, nil
}

func serve(ctx context.Context, server presencev1.PresenceServer, made *presencev1.Call) ([]byte, error) {
	if combined(made.Method) {
		for _, m := range presencev1.Presence_ServiceDesc.Methods {
			if m.MethodName != made.Method {
				continue
			}
			response, err := m.Handler(server, ctx, func(request any) error {
				if err := proto.Unmarshal(made.Request, request.(proto.Message)); err != nil {
					return status.Error(codes.InvalidArgument, err.Error())
				}
				return nil
			}, nil)
			if err != nil {
				return nil, err
			}
			return proto.Marshal(response.(proto.Message))
		}
	}
	return nil, status.Errorf(codes.Unimplemented, "calls: method %q does not go with others", made.Method)
}
