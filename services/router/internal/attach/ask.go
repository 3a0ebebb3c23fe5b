package attach

import (
	"context"
	"slices"
	"sync"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
)

// Sockets asks every gateway and puts the answers together. silent names those that did not answer in time.
func (f *Fleet) Sockets(ctx context.Context, req *deliveryv1.SocketsRequest) (sockets []*deliveryv1.Socket, silent []string) {
	answers, silent := ask(f, func(c deliveryv1.DeliveryClient) (*deliveryv1.SocketsResponse, error) { return c.Sockets(ctx, req) })
	for _, a := range answers {
		sockets = append(sockets, a.GetSockets()...)
	}
	return sockets, silent
}

// Outcomes asks every gateway what became of an event there.
func (f *Fleet) Outcomes(ctx context.Context, req *deliveryv1.OutcomeRequest) (answers []*deliveryv1.OutcomeResponse, silent []string) {
	return ask(f, func(c deliveryv1.DeliveryClient) (*deliveryv1.OutcomeResponse, error) { return c.Outcome(ctx, req) })
}

// Routers asks every gateway which routers it knows: their addresses, each once, in order.
func (f *Fleet) Routers(ctx context.Context) (addrs, silent []string) {
	answers, silent := ask(f, func(c deliveryv1.DeliveryClient) (*deliveryv1.RoutersResponse, error) {
		return c.Routers(ctx, &deliveryv1.RoutersRequest{})
	})
	for _, a := range answers {
		addrs = append(addrs, a.GetAddrs()...)
	}
	slices.Sort(addrs)
	return slices.Compact(addrs), silent
}

// ask puts a question to all gateways at once.
func ask[T any](f *Fleet, question func(deliveryv1.DeliveryClient) (T, error)) (answers []T, silent []string) {
	var mu sync.Mutex // guards what is returned
	var wait sync.WaitGroup
	for _, l := range f.all() {
		wait.Go(func() {
			answer, err := question(deliveryv1.NewDeliveryClient(l.conn))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				silent = append(silent, l.addr)
				return
			}
			answers = append(answers, answer)
		})
	}
	wait.Wait()
	slices.Sort(silent)
	return answers, silent
}
