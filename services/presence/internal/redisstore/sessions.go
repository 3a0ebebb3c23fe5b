package redisstore

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/edumatrix/interlink/services/internal/sessionrecord"
	"github.com/edumatrix/interlink/services/presence/internal/store"
)

var sessionKinds = map[sessionrecord.Kind]string{
	sessionrecord.Delta: "delta", sessionrecord.Whole: "whole", sessionrecord.Take: "take",
}

var sessionOutcomes = map[string]sessionrecord.Outcome{
	"written": sessionrecord.Written, "whole": sessionrecord.NeedWhole, "taken": sessionrecord.Taken,
	"gone": sessionrecord.Gone, "moved": sessionrecord.Moved, "untrusted": sessionrecord.Untrusted,
}

func (s *Store) sessionKeys(session string) []string {
	base := s.userBase(userShard(session))
	return []string{base + "session:" + session, base + "rooms:" + session}
}

func joinLives(lives []sessionrecord.Life) string {
	out := make([]string, len(lives))
	for i, l := range lives {
		out[i] = string(l)
	}
	return strings.Join(out, "\t")
}

// WriteSession decides and does one write of a session record, which is then kept for ttl.
func (s *Store) WriteSession(ctx context.Context, w sessionrecord.Write, ttl time.Duration) (store.SessionWritten, error) {
	run, err := s.Run(ctx)
	if err != nil {
		return store.SessionWritten{}, err
	}
	r, adds := w.Record, w.Record.Rooms
	if w.Kind == sessionrecord.Delta {
		adds = w.Add
	}
	args := []any{run, ttl.Milliseconds(), sessionKinds[w.Kind], string(r.Life), joinLives(r.Before), r.Era, w.Base, w.Run,
		string(w.Cursor.Life), w.Cursor.Era, r.User, r.Socket, r.Start, r.Extra, len(adds)}
	for _, room := range adds {
		args = append(args, room)
	}
	if w.Kind == sessionrecord.Delta {
		for _, room := range w.Remove {
			args = append(args, room)
		}
	}
	reply, err := s.runOne(ctx, call{"session_write", s.sessionKeys(r.Session), args})
	if err != nil {
		return store.SessionWritten{}, err
	}
	answer, err := asRow(reply)
	if err != nil {
		return store.SessionWritten{}, s.failed(ctx, "session write", err)
	}
	return store.SessionWritten{Outcome: sessionOutcomes[answer.text(0)], Version: uint64(answer.number(1)), Run: answer.text(2)}, nil
}

// ReadSession reads a session record and the run of the server that has it, store.ErrNotFound if there is none.
func (s *Store) ReadSession(ctx context.Context, session string) (store.SessionRead, error) {
	run, err := s.Run(ctx)
	if err != nil {
		return store.SessionRead{}, err
	}
	reply, err := s.runOne(ctx, call{"session_read", s.sessionKeys(session), []any{run}})
	if err != nil {
		return store.SessionRead{}, err
	}
	answer, err := asRow(reply)
	switch {
	case err != nil:
		return store.SessionRead{}, s.failed(ctx, "session read", err)
	case len(answer) == 0:
		return store.SessionRead{}, store.ErrNotFound
	}
	fields := row(answer[0].([]any))
	out := store.SessionRead{Run: answer.text(2), Record: sessionrecord.Record{
		Session: session, Life: sessionrecord.Life(fields.text(3)), Run: fields.text(2), User: fields.text(5), Socket: fields.text(6),
		Start: []byte(fields.text(7)), Extra: []byte(fields.text(8)),
	}}
	out.Record.Version, _ = strconv.ParseUint(fields.text(0), 10, 64)
	out.Record.Era, _ = strconv.ParseUint(fields.text(1), 10, 64)
	for _, l := range strings.FieldsFunc(fields.text(4), func(r rune) bool { return r == '\t' }) {
		out.Record.Before = append(out.Record.Before, sessionrecord.Life(l))
	}
	out.Record.Rooms = sorted(answer.texts(1))
	return out, nil
}

// EndSession keeps a record for ttl more, or removes it if that is 0, if it still belongs to the life
// and is not of a later version.
func (s *Store) EndSession(ctx context.Context, session string, life sessionrecord.Life, version uint64, ttl time.Duration) (bool, error) {
	reply, err := s.runOne(ctx, call{"session_end", s.sessionKeys(session), []any{string(life), ttl.Milliseconds(), version}})
	return row{reply}.number(0) == 1, err
}
