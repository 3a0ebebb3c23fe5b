package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/authorize"
	"github.com/edumatrix/interlink/services/gateway/internal/cursor"
	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/gateway/internal/session"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
	"github.com/edumatrix/interlink/services/internal/sessionrecord"
)

// store is the presence service as the parts of a gateway ask it. All methods block until ctx ends at most.
type store struct{ client presencev1.PresenceClient }

// Query implements session.Presence.
func (s store) Query(ctx context.Context, users []string) (map[string]session.State, error) {
	answer, err := s.client.Query(ctx, &presencev1.QueryRequest{Users: users})
	if err != nil {
		return nil, err
	}
	out := make(map[string]session.State, len(answer.Users))
	for user, state := range answer.Users {
		out[user] = session.State{Online: state.Online, Status: state.Status, LastSeen: state.LastSeenMs, Sockets: state.Sockets}
	}
	return out, nil
}

// SetStatus implements session.Presence.
func (s store) SetStatus(ctx context.Context, user, status string) error {
	_, err := s.client.SetStatus(ctx, &presencev1.SetStatusRequest{User: user, Status: status})
	return err
}

// Typing implements session.Presence.
func (s store) Typing(ctx context.Context, r room.Room, user, socket, name string, typing bool) error {
	_, err := s.client.Typing(ctx, &presencev1.TypingRequest{Room: string(r), User: user, Socket: socket, Name: name, Typing: typing})
	return err
}

// PutBase implements hub.Bases.
func (s store) PutBase(ctx context.Context, id string, record []byte, ttl time.Duration) error {
	_, err := s.client.PutBase(ctx, &presencev1.PutBaseRequest{Base: id, Vector: record, TtlMs: ttl.Milliseconds()})
	return err
}

// Base implements session.Store.
func (s store) Base(ctx context.Context, id uint64) (cursor.Base, error) {
	answer, err := s.client.GetBase(ctx, &presencev1.GetBaseRequest{Base: hub.BaseID(id)})
	if err != nil {
		return cursor.Base{}, stored(err)
	}
	return cursor.ParseBase(answer.Vector)
}

// stored tells what a store says for good from what it may say otherwise a moment later.
func stored(err error) error {
	switch status.Code(err) {
	case codes.NotFound:
		return session.ErrNotStored
	case codes.InvalidArgument:
		return fmt.Errorf("%w: %w", session.ErrRefused, err)
	}
	return err
}

var outcomes = map[presencev1.SessionOutcome]sessionrecord.Outcome{
	presencev1.SessionOutcome_WRITTEN: sessionrecord.Written, presencev1.SessionOutcome_NEED_WHOLE: sessionrecord.NeedWhole,
	presencev1.SessionOutcome_TAKEN: sessionrecord.Taken, presencev1.SessionOutcome_GONE: sessionrecord.Gone,
	presencev1.SessionOutcome_MOVED: sessionrecord.Moved, presencev1.SessionOutcome_UNTRUSTED: sessionrecord.Untrusted,
}

// Write implements session.Store.
func (s store) Write(ctx context.Context, w sessionrecord.Write, ttl time.Duration) (session.Stored, error) {
	r := w.Record
	record := &presencev1.SessionRecord{
		Session: r.Session, Socket: r.Socket, User: r.User, Life: string(r.Life), Rooms: r.Rooms, Start: r.Start, Extra: r.Extra, Era: r.Era,
	}
	for _, life := range r.Before {
		record.Before = append(record.Before, string(life))
	}
	if w.Kind == sessionrecord.Take {
		answer, err := s.client.TakeSession(ctx, &presencev1.TakeSessionRequest{
			Record: record, Version: w.Base, CursorLife: string(w.Cursor.Life), CursorEra: w.Cursor.Era, TtlMs: ttl.Milliseconds(),
		})
		if err != nil {
			return session.Stored{}, stored(err)
		}
		return session.Stored{Outcome: outcomes[answer.Outcome], Version: answer.Version, Run: answer.Run}, nil
	}
	answer, err := s.client.PutSession(ctx, &presencev1.PutSessionRequest{
		Record: record, Whole: w.Kind == sessionrecord.Whole, Add: w.Add, Remove: w.Remove, Base: w.Base, Run: w.Run, TtlMs: ttl.Milliseconds(),
	})
	if err != nil {
		return session.Stored{}, stored(err)
	}
	return session.Stored{Outcome: outcomes[answer.Outcome], Version: answer.Version, Run: answer.Run}, nil
}

// Read implements session.Store.
func (s store) Read(ctx context.Context, id string) (sessionrecord.Record, string, error) {
	answer, err := s.client.GetSession(ctx, &presencev1.GetSessionRequest{Session: id})
	if err != nil {
		if err = stored(err); errors.Is(err, session.ErrRefused) {
			err = session.ErrNotStored // not a name that a session can have
		}
		return sessionrecord.Record{}, "", err
	}
	r := answer.Record
	out := sessionrecord.Record{
		Session: r.GetSession(), Socket: r.GetSocket(), User: r.GetUser(), Life: sessionrecord.Life(r.GetLife()), Rooms: r.GetRooms(),
		Start: r.GetStart(), Extra: r.GetExtra(), Version: r.GetVersion(), Era: r.GetEra(), Run: r.GetRun(),
	}
	for _, life := range r.GetBefore() {
		out.Before = append(out.Before, sessionrecord.Life(life))
	}
	return out, answer.Run, nil
}

// End implements session.Store.
func (s store) End(ctx context.Context, id string, life sessionrecord.Life, version uint64, ttl time.Duration) error {
	_, err := s.client.EndSession(ctx, &presencev1.EndSessionRequest{Session: id, Life: string(life), Version: version, TtlMs: ttl.Milliseconds()})
	return err
}

// Get implements authorize.Cache.
func (s store) Get(ctx context.Context, user string, rooms []room.Room) (authorize.Cached, error) {
	answer, err := s.client.GetPermissions(ctx, &presencev1.GetPermissionsRequest{User: user, Rooms: names(rooms)})
	if err != nil {
		return authorize.Cached{}, err
	}
	out := authorize.Cached{
		Sets: make(map[room.Room]permission.Set, len(answer.Permissions)), Removed: make(map[room.Room]time.Time, len(answer.RemovedMs)),
	}
	for name, set := range answer.Permissions {
		out.Sets[room.Room(name)] = permission.Set(set)
	}
	for name, ms := range answer.RemovedMs {
		out.Removed[room.Room(name)] = time.UnixMilli(ms)
	}
	return out, nil
}

func names(rooms []room.Room) []string {
	out := make([]string, len(rooms))
	for i, r := range rooms {
		out[i] = string(r)
	}
	return out
}

// Put implements authorize.Cache.
func (s store) Put(ctx context.Context, user string, r room.Room, set permission.Set, ttl time.Duration) error {
	_, err := s.client.PutPermission(ctx, &presencev1.PutPermissionRequest{
		User: user, Room: string(r), Permissions: uint32(set), TtlMs: ttl.Milliseconds(),
	})
	return err
}

// Drop implements authorize.Cache.
func (s store) Drop(ctx context.Context, r room.Room, users []string) error {
	_, err := s.client.DropPermissions(ctx, &presencev1.DropPermissionsRequest{Room: string(r), Users: users})
	return err
}
