package session

import (
	"unique"

	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/gateway/internal/receipts"
	"github.com/edumatrix/interlink/services/gateway/internal/socket"
	"github.com/edumatrix/interlink/services/internal/room"
	"github.com/edumatrix/interlink/services/internal/sessionrecord"
)

// session is what the gateway holds of one socket. It belongs to the socket's shard. There are very many: what most of
// them don't need most of the time is in rare.
type session struct {
	member    hub.Member // with the user and the public id
	handler   *Handler
	socket    *socket.Socket // nil on its way here from another gateway
	name      string         // the user's, to show to others
	pid       string
	kept      *kept  // its record; nil: none is kept, or it is being written
	proof     *proof // nil: nothing but the name is needed to ask for permissions
	rare      *rare
	inbox     inbox
	expiry    func() bool           // cancels the timer of the end, nil: none is near
	userAgent unique.Handle[string] // many clients have the same
	issued    int64                 // when the token was, epoch milliseconds, 0: it does not say
	expires   int64                 // epoch milliseconds
	bucket    bucket
	since     uint32 // epoch seconds
	busy      int32  // events that are not answered yet
	shard     int16  // index
	state     state
	over      bool    // it has ended for good: nobody comes back with it
	later     bool    // its record is to be written when there is time
	displaced bool    // it goes on with another socket, and the roster knows
	ending    hub.End // why it has to go, if that came before its socket
}

// rare is what a session has for moments, or never.
type rare struct {
	typing  []room.Room
	joining []*joining
	idle    []func()    // called when all is answered
	denied  []room.Room // lost on the way from another gateway

	attempt *attempt              // its CONNECT, until that is answered
	writer  *sessionrecord.Writer // of its record, while there is something to write
	waiters []waiter              // for that

	track       receipts.Track // what it was given and has not proven to have
	feeds       []*feed
	opening     *opening
	held        []byte   // cursor of the position at which it is held
	behind      []func() // to be done when it is held no longer
	behindBytes int
	sinces      []*since    // the first is under way
	retry       func() bool // cancels the timer that looks into the inbox again
	leaving     bool        // about to go to another gateway
	pouring     bool        // feeds are being given
}

// empty reports whether nothing is in it.
func (r *rare) empty() bool {
	return len(r.typing)+len(r.joining)+len(r.idle)+len(r.denied)+r.track.Len()+len(r.feeds)+len(r.behind)+len(r.sinces) == 0 &&
		r.attempt == nil && r.writer == nil && len(r.waiters) == 0 && r.opening == nil && r.retry == nil && !r.leaving && !r.pouring
}

// some returns the rare part, to be filled.
func (st *session) some() *rare {
	if st.rare == nil {
		st.rare = &rare{}
	}
	return st.rare
}

// tidy drops the rare part if nothing is in it.
func (st *session) tidy() {
	if r := st.rare; r != nil && r.empty() && !st.member.Held() {
		st.rare = nil
	}
}

func (st *session) joining() []*joining {
	if st.rare == nil {
		return nil
	}
	return st.rare.joining
}

func (st *session) typing() []room.Room {
	if st.rare == nil {
		return nil
	}
	return st.rare.typing
}

type state uint8

const (
	connecting state = iota
	connected
	closed
)

func of(s *socket.Socket) *session {
	st, _ := s.State.(*session)
	return st
}
