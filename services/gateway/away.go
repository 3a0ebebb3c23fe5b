package gateway

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// away is a connection to a service that is not configured: every call fails as if it could not be reached.
type away struct{}

func (away) Invoke(context.Context, string, any, any, ...grpc.CallOption) error {
	return status.Error(codes.Unavailable, "not configured")
}

func (away) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unavailable, "not configured")
}

func orAway(c grpc.ClientConnInterface) grpc.ClientConnInterface {
	if c == nil {
		return away{}
	}
	return c
}
