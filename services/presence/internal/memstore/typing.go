package memstore

import (
	"context"
	"time"

	"github.com/edumatrix/interlink/services/presence/internal/store"
)

type place struct{ room, user string }

// typist is someone typing, or, with ends zero, what is kept of one for the throttle.
// Invariant: shown exactly if the last thing that the room was told is typing:start.
type typist struct {
	socket, name string
	ends         time.Time
	told         time.Time
	shown        bool
	step         time.Time // when it is looked at next
}

func (s *Store) schedule(e *typist) {
	e.step = e.ends
	if again := e.told.Add(s.settings.TypingThrottle); !e.shown && (e.ends.IsZero() || again.Before(e.ends)) {
		e.step = again
	}
}

// Type starts or stops typing; see redisstore.
func (s *Store) Type(ctx context.Context, t store.Typist, typing bool) ([]store.Told, error) {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	at := place{t.Room, t.User}
	if !typing {
		return s.stopTyping(at, t.Socket, now), nil
	}
	e := s.typing[at]
	if e == nil {
		e = &typist{}
		s.typing[at] = e
	}
	defer s.schedule(e)
	e.ends, e.socket, e.name = now.Add(s.settings.TypingTTL), t.Socket, t.Name
	if now.Sub(e.told) < s.settings.TypingThrottle {
		return nil, nil
	}
	e.told, e.shown = now, true
	return []store.Told{{Room: t.Room, User: t.User, Name: t.Name, Typing: true, At: now}}, nil
}

func (s *Store) stopTyping(at place, socket string, now time.Time) []store.Told {
	e := s.typing[at]
	if e == nil || e.ends.IsZero() || (socket != "" && e.socket != "" && e.socket != socket) {
		return nil
	}
	shown := e.shown
	e.ends, e.shown = time.Time{}, false
	if e.told.Add(s.settings.TypingThrottle).After(now) {
		s.schedule(e)
	} else {
		delete(s.typing, at)
	}
	if !shown {
		return nil
	}
	return []store.Told{{Room: at.room, User: at.user, Name: e.name, At: now}}
}

// typingAt finds where a socket types. The caller stops it there.
func (s *Store) typingAt(o owned, now time.Time) []store.Typist {
	var out []store.Typist
	for at, e := range s.typing {
		if at.user == o.user && e.socket == o.socket && e.ends.After(now) {
			out = append(out, store.Typist{Room: at.room, User: at.user, Socket: o.socket})
		}
	}
	return out
}

// TypingTick takes the next steps that are due; see redisstore.
func (s *Store) TypingTick(ctx context.Context, limit int) (steps []store.Told, more bool, err error) {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return nil, false, err
	}
	defer leave()
	taken := 0
	for at, e := range s.typing {
		if e.step.After(now) {
			continue
		}
		if taken == limit {
			return steps, true, nil
		}
		taken++
		if !e.ends.After(now) {
			delete(s.typing, at)
			if e.shown {
				steps = append(steps, store.Told{Room: at.room, User: at.user, Name: e.name, At: now})
			}
			continue
		}
		if !e.shown && now.Sub(e.told) >= s.settings.TypingThrottle {
			e.told, e.shown = now, true
			steps = append(steps, store.Told{Room: at.room, User: at.user, Name: e.name, Typing: true, At: now})
		}
		s.schedule(e)
	}
	return steps, false, nil
}
