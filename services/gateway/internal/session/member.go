package session

import (
	"slices"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/internal/room"
)

// Send implements hub.Conn.
func (st *session) Send(f *engine.Frame) bool { return st.socket != nil && st.socket.Send(f) }

// Evicted implements hub.Conn.
func (st *session) Evicted(r room.Room) {
	st.stopTyping(r)
	st.noteRooms()
}

// Invited implements hub.Conn.
func (st *session) Invited(r room.Room) {
	if shown, _ := st.member.Rooms(); st.state == connected && shown < st.handler.options.RoomsPerSocket {
		st.ask([]room.Room{r}, func(outcomes []joined, _ []byte) {})
	}
}

// End implements hub.Conn.
func (st *session) End(why hub.End) {
	switch {
	case st.state == closed:
	case st.socket == nil: // on its way here from another gateway
		st.ending = why
	case why == hub.Restarted:
		st.socket.CloseTransport(engine.Server)
	case why == hub.Displaced:
		st.displace()
	case st.state == connecting:
		st.ending = why
	default:
		st.over = true
		st.socket.Disconnect()
	}
}

// displace makes way for another socket of the same session at this gateway, which is to be told of after this one.
func (st *session) displace() {
	if st.displaced = true; st.state == connected {
		st.handler.options.Roster.Offline(st.member.User, st.member.Socket, false)
	}
	st.forsakeRecord() // it is the other's
	st.socket.CloseTransport(engine.Server)
}

func (st *session) stopTyping(r room.Room) {
	if i := slices.Index(st.typing(), r); i >= 0 {
		st.rare.typing = slices.Delete(st.rare.typing, i, i+1)
		st.tidy()
		st.tell(r, false)
	}
}
