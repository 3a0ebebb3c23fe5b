package service

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/internal/sessionrecord"
	"github.com/edumatrix/interlink/services/presence/internal/store"
)

// maxEntry bounds a room of a record: its name and what its gateway notes beside it, in bytes.
const maxEntry = maxName + 32

// sessionTTL is for records that come without one.
const sessionTTL = 10 * time.Minute

var outcomes = map[sessionrecord.Outcome]presencev1.SessionOutcome{
	sessionrecord.Written: presencev1.SessionOutcome_WRITTEN, sessionrecord.NeedWhole: presencev1.SessionOutcome_NEED_WHOLE,
	sessionrecord.Taken: presencev1.SessionOutcome_TAKEN, sessionrecord.Gone: presencev1.SessionOutcome_GONE,
	sessionrecord.Moved: presencev1.SessionOutcome_MOVED, sessionrecord.Untrusted: presencev1.SessionOutcome_UNTRUSTED,
}

// readRecord checks a record that a gateway sends.
func readRecord(in *presencev1.SessionRecord) (sessionrecord.Record, error) {
	for field, name := range map[string]string{"record.session": in.GetSession(), "record.life": in.GetLife()} {
		if err := named(field, name); err != nil {
			return sessionrecord.Record{}, err
		}
	}
	if !plain(in.GetUser(), maxName) || !plain(in.GetSocket(), maxName) {
		return sessionrecord.Record{}, status.Error(codes.InvalidArgument, "record.user, record.socket: too long or with control characters")
	}
	if len(in.GetBefore()) > sessionrecord.MaxBefore || len(in.GetStart())+len(in.GetExtra()) > maxVector {
		return sessionrecord.Record{}, status.Errorf(codes.InvalidArgument,
			"record: at most %d lives before and %d bytes", sessionrecord.MaxBefore, maxVector)
	}
	out := sessionrecord.Record{Session: in.GetSession(), Socket: in.GetSocket(), User: in.GetUser(), Life: sessionrecord.Life(in.GetLife()),
		Rooms: in.GetRooms(), Start: in.GetStart(), Extra: in.GetExtra(), Era: in.GetEra()}
	for _, l := range in.GetBefore() {
		if err := named("record.before", l); err != nil {
			return out, err
		}
		out.Before = append(out.Before, sessionrecord.Life(l))
	}
	return out, checkRooms(in.GetRooms())
}

func checkRooms(lists ...[]string) error {
	for _, rooms := range lists {
		if len(rooms) > maxRooms {
			return status.Errorf(codes.InvalidArgument, "rooms: at most %d", maxRooms)
		}
		for _, room := range rooms {
			if !plain(room, maxEntry) || room == "" {
				return status.Errorf(codes.InvalidArgument, "rooms: each 1 to %d bytes without control characters", maxEntry)
			}
		}
	}
	return nil
}

// PutSession writes a session record.
func (s *Service) PutSession(ctx context.Context, in *presencev1.PutSessionRequest) (*presencev1.PutSessionResponse, error) {
	record, err := readRecord(in.GetRecord())
	if err == nil {
		err = checkRooms(in.GetAdd(), in.GetRemove())
	}
	if err != nil {
		return nil, err
	}
	w := sessionrecord.Write{Kind: sessionrecord.Delta, Record: record, Add: in.GetAdd(), Base: in.GetBase(), Run: in.GetRun()}
	for _, room := range in.GetRemove() {
		if !slices.Contains(in.GetAdd(), room) {
			w.Remove = append(w.Remove, room)
		}
	}
	if in.GetWhole() {
		w.Kind = sessionrecord.Whole
	}
	done, err := s.writeSession(ctx, w, in.GetTtlMs())
	return &presencev1.PutSessionResponse{Outcome: outcomes[done.Outcome], Version: done.Version, Run: done.Run}, err
}

// TakeSession gives a session to another life.
func (s *Service) TakeSession(ctx context.Context, in *presencev1.TakeSessionRequest) (*presencev1.TakeSessionResponse, error) {
	record, err := readRecord(in.GetRecord())
	if err != nil {
		return nil, err
	}
	w := sessionrecord.Write{Kind: sessionrecord.Take, Record: record, Base: in.GetVersion(),
		Cursor: sessionrecord.Cursor{Life: sessionrecord.Life(in.GetCursorLife()), Era: in.GetCursorEra()}}
	done, err := s.writeSession(ctx, w, in.GetTtlMs())
	return &presencev1.TakeSessionResponse{Outcome: outcomes[done.Outcome], Version: done.Version, Run: done.Run}, err
}

func (s *Service) writeSession(ctx context.Context, w sessionrecord.Write, ttlMs int64) (done store.SessionWritten, err error) {
	err = s.call(ctx, func(ctx context.Context) (err error) {
		done, err = s.o.Store.WriteSession(ctx, w, ttlOf(ttlMs, sessionTTL))
		return err
	})
	return done, err
}

// GetSession reads a session record and judges it.
func (s *Service) GetSession(ctx context.Context, in *presencev1.GetSessionRequest) (*presencev1.GetSessionResponse, error) {
	if err := named("session", in.GetSession()); err != nil {
		return nil, err
	}
	var got store.SessionRead
	err := s.call(ctx, func(ctx context.Context) (err error) {
		got, err = s.o.Store.ReadSession(ctx, in.GetSession())
		return err
	})
	if err != nil {
		return nil, err
	}
	r := got.Record
	out := &presencev1.SessionRecord{Session: r.Session, Socket: r.Socket, User: r.User, Life: string(r.Life), Rooms: r.Rooms,
		Start: r.Start, Extra: r.Extra, Version: r.Version, Era: r.Era, Run: r.Run}
	for _, l := range r.Before {
		out.Before = append(out.Before, string(l))
	}
	cursor := sessionrecord.Cursor{Life: sessionrecord.Life(in.GetCursorLife()), Era: in.GetCursorEra()}
	return &presencev1.GetSessionResponse{Record: out, Run: got.Run, Resumable: sessionrecord.Resumable(&r, cursor, got.Run)}, nil
}

// EndSession lets a record expire sooner.
func (s *Service) EndSession(ctx context.Context, in *presencev1.EndSessionRequest) (*presencev1.EndSessionResponse, error) {
	if err := named("session", in.GetSession()); err != nil {
		return nil, err
	}
	var ended bool
	err := s.call(ctx, func(ctx context.Context) (err error) {
		ended, err = s.o.Store.EndSession(ctx, in.GetSession(), sessionrecord.Life(in.GetLife()), in.GetVersion(), ttlOf(in.GetTtlMs(), 0))
		return err
	})
	return &presencev1.EndSessionResponse{Ended: ended}, err
}
