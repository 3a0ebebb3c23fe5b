package service

import (
	"context"

	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/internal/calls"
)

// Calls does several calls at once; each has its own time.
func (s *Service) Calls(ctx context.Context, r *presencev1.CallsRequest) (*presencev1.CallsResponse, error) {
	return calls.Serve(ctx, s, r)
}
