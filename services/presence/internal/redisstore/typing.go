package redisstore

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/edumatrix/interlink/services/presence/internal/store"
)

// Type starts or stops typing and returns what the room is to be told.
func (s *Store) Type(ctx context.Context, t store.Typist, typing bool) ([]store.Told, error) {
	flag := 0
	if typing {
		flag = 1
		// First the note at the user, by which the loss of the socket finds the room: the other order could leave one
		// typing whom nothing but the deadline stops.
		if err := s.noteTyping(ctx, t); err != nil {
			return nil, err
		}
	}
	base := s.roomBase(roomShard(t.Room))
	reply, err := s.runOne(ctx, call{"type", []string{base + "typing", base + "due"},
		[]any{s.stamp(), s.settings.TypingTTL.Milliseconds(), s.settings.TypingThrottle.Milliseconds(), flag,
			t.Room, t.User, t.Socket, t.Name}})
	if err != nil {
		return nil, err
	}
	return told((row{reply}).rows(0)), nil
}

func (s *Store) noteTyping(ctx context.Context, t store.Typist) error {
	if t.Socket == "" {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	key := s.userBase(userShard(t.User)) + "y:" + t.User
	_, err := s.client.Pipelined(limited, func(p redis.Pipeliner) error {
		p.SAdd(limited, key, t.Socket+"\n"+t.Room)
		p.PExpire(limited, key, s.settings.TypingTTL)
		return nil
	})
	return s.failed(ctx, "note typing", err)
}

// TypingTick takes the next steps that are due, at most limit of each shard; more says that some are left.
// Each is returned to one caller only, even if an error comes with it.
func (s *Store) TypingTick(ctx context.Context, limit int) (steps []store.Told, more bool, err error) {
	calls := make([]call, roomShards)
	for shard := range calls {
		base := s.roomBase(shard)
		calls[shard] = call{"typed", []string{base + "typing", base + "due"},
			[]any{s.stamp(), s.settings.TypingThrottle.Milliseconds(), limit}}
	}
	replies, err := s.runAll(ctx, calls)
	for _, reply := range replies {
		if r, ok := reply.([]any); ok {
			steps = append(steps, told(row(r).rows(0))...)
			more = more || row(r).number(1) == 1
		}
	}
	return steps, more, err
}
