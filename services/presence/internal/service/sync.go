package service

import (
	"context"

	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/presence/internal/store"
)

var kinds = map[presencev1.Change_Kind]store.ChangeKind{
	presencev1.Change_ONLINE: store.Online, presencev1.Change_LEFT: store.Left, presencev1.Change_LOST: store.Lost,
}

// Sync applies changes of a gateway's sockets. A change that names nothing usable is skipped and counted: refusing
// the batch would make the gateway send it again for ever.
func (s *Service) Sync(ctx context.Context, in *presencev1.SyncRequest) (*presencev1.SyncResponse, error) {
	life, err := lifeOf(in.GetGateway(), in.GetIncarnation())
	if err != nil {
		return nil, err
	}
	changes := make([]store.Change, 0, len(in.GetChanges()))
	for _, c := range in.GetChanges() {
		kind, known := kinds[c.GetKind()]
		if !known || named("user", c.GetUser()) != nil || named("socket", c.GetSocket()) != nil {
			s.o.Metrics.skipped.Inc()
			continue
		}
		changes = append(changes, store.Change{Kind: kind, User: c.GetUser(), Socket: c.GetSocket()})
	}
	limit := s.o.CallTimeout
	if in.GetFull() {
		limit = s.o.FullTimeout
	}
	var done store.Synced
	err = s.guard.do(ctx, limit, func(ctx context.Context) (err error) {
		done, err = s.o.Store.Sync(ctx, life, in.GetFull(), changes)
		return err
	})
	s.tellPresence(done.Transitions) // what was applied is told, whatever became of the rest
	s.stopTyping(ctx, done.Typing)
	return &presencev1.SyncResponse{Forgotten: done.Forgotten}, answer(err)
}

// stopTyping ends typing of sockets that have gone. What fails here ends by its deadline.
func (s *Service) stopTyping(ctx context.Context, typists []store.Typist) {
	for _, t := range typists {
		_ = s.guard.do(ctx, s.o.CallTimeout, func(ctx context.Context) error {
			told, err := s.o.Store.Type(ctx, t, false)
			s.tellTyping(told)
			return err
		})
	}
}

func (s *Service) tellPresence(transitions []store.Transition) {
	for _, t := range transitions {
		s.o.Tell.Event(presenceEvent(t))
		s.o.Tell.Record(lifecycleRecord(t))
	}
}

func (s *Service) tellTyping(told []store.Told) {
	for _, t := range told {
		s.o.Tell.Event(typingEvent(t))
	}
}
