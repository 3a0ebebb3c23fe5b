package router

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/router/internal/httpapi"
)

// presenceClient asks the presence service.
type presenceClient struct{ client presencev1.PresenceClient }

// presenceOf is nil without a connection.
func presenceOf(conn grpc.ClientConnInterface) httpapi.Presence {
	if conn == nil {
		return nil
	}
	return presenceClient{presencev1.NewPresenceClient(conn)}
}

// Query implements httpapi.Presence.
func (p presenceClient) Query(ctx context.Context, users []string) (map[string]*presencev1.State, error) {
	resp, err := p.client.Query(ctx, &presencev1.QueryRequest{Users: users})
	if err != nil {
		return nil, fmt.Errorf("ask presence: %w", err)
	}
	return resp.GetUsers(), nil
}
