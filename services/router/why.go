package router

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/router/internal/why"
)

// finder looks through what this router holds.
func (r *Router) finder() *why.Finder {
	return &why.Finder{Router: r.opts.ID, Topic: r.opts.topic(topicEvents), Logs: r.held}
}

// investigator asks everybody what became of an event.
func (r *Router) investigator() *why.Investigator {
	o := why.Options{Self: r.finder(), Addr: r.opts.ReplayAddr, Logger: r.opts.Logger,
		Now: func() (why.Topic, bool) {
			now := r.running.Load()
			if now == nil {
				return why.Topic{}, false
			}
			return why.Topic{Epoch: now.epoch, Partitions: now.partitions, Fleet: now.fleet}, true
		},
		Dial: func(addr string) (*grpc.ClientConn, error) {
			plain := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
			return grpc.NewClient("passthrough:///"+addr, append(plain, r.opts.DialOptions...)...)
		}}
	if r.opts.Presence != nil {
		o.Inbox = presencev1.NewPresenceClient(r.opts.Presence)
	}
	return why.New(o)
}
