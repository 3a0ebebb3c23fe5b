package session

import (
	"encoding/json"
	"strconv"

	"github.com/edumatrix/interlink/services/gateway/internal/receipts"
	"github.com/edumatrix/interlink/services/gateway/internal/socket"
)

// Receipts is told what browsers have. It never blocks.
type Receipts interface {
	Arrived(user string, e *receipts.Event, by receipts.By)
	// Said names events of which nothing more than the ids is known here.
	Said(user string, ids []string)
}

// Queued implements socket.Tagged: an event whose arrival somebody wants to know of was queued. A ping follows it, if it
// concerns this user.
func (h *Handler) Queued(s *socket.Socket, tag any, ping uint32) bool {
	st := of(s)
	e, ok := tag.(*receipts.Event)
	if st == nil || !ok || e.Of(st.member.User) == (receipts.Concern{}) {
		return false
	}
	st.some().track.Given(e, ping)
	return true
}

// Ponged implements socket.Handler: what lies before the ping has arrived.
func (h *Handler) Ponged(s *socket.Socket) {
	st := of(s)
	if st == nil || st.state != connected {
		return
	}
	// Pings behind events postpone those of the heartbeat.
	st.watchExpiry()
	st.touch()
	if st.rare == nil {
		return
	}
	for _, e := range st.rare.track.Ponged(s.Session().Answered()) {
		h.options.Receipts.Arrived(st.member.User, e, receipts.Pong)
	}
	st.pour()
	st.tidy()
}

// received serves message:received.
func received(st *session, _ string, arg json.RawMessage, a acker) {
	var in struct {
		IDs []string `json:"ids"`
	}
	if json.Unmarshal(arg, &in) != nil || len(in.IDs) > maxIDs {
		a.refuse(fault{Code: badRequest, Message: "Say {ids}, at most " + strconv.Itoa(maxIDs)})
		return
	}
	unknown := in.IDs
	if st.rare != nil {
		var proven []*receipts.Event
		proven, unknown = st.rare.track.Received(in.IDs)
		for _, e := range proven {
			st.handler.options.Receipts.Arrived(st.member.User, e, receipts.Client)
		}
		st.tidy()
	}
	if len(unknown) > 0 {
		st.handler.options.Receipts.Said(st.member.User, unknown)
	}
	a.ok(yes{true})
}

// nobody is told nothing.
type nobody struct{}

func (nobody) Arrived(string, *receipts.Event, receipts.By) {}
func (nobody) Said(string, []string)                        {}
