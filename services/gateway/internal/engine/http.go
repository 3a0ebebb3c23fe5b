package engine

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/engineio"
	"github.com/edumatrix/interlink/services/gateway/internal/wsframe"
)

const (
	textType = "text/plain; charset=UTF-8"
	jsonType = "application/json"
)

var okBody = []byte("ok")

func parseRequest(r *http.Request) (engineio.Request, error) {
	return engineio.ParseRequest(r.Method, r.URL.RawQuery, wsframe.Asks(r.Header))
}

// admit reserves a place for one more session. The place is given back by Session.forget, or by release.
func (e *Engine) admit(w http.ResponseWriter) bool {
	if e.options.Busy != nil && e.options.Busy() {
		e.turnAway(w, RefusedBusy)
		return false
	}
	if n := e.sockets.Add(1); e.options.MaxSockets > 0 && n > int64(e.options.MaxSockets) {
		e.release()
		e.turnAway(w, RefusedSockets)
		return false
	}
	if e.limiter != nil && !e.limiter.Allow() {
		e.release()
		e.turnAway(w, RefusedRate)
		return false
	}
	return true
}

func (e *Engine) release() { e.sockets.Add(-1) }

// turnAway answers 503: the stock client tries again.
func (e *Engine) turnAway(w http.ResponseWriter, why Refusal) {
	e.hooks.Refused(why)
	respond(w, busy)
}

var busy = StrayResponse{Status: 503, ContentType: jsonType, Body: []byte(`{"code":3,"message":"Server is busy"}`)}

// refuse answers with the reference server's error body.
func (e *Engine) refuse(w http.ResponseWriter, r engineio.Refusal, message string) {
	why := RefusedRequest
	if r == engineio.Forbidden {
		why = RefusedOrigin
	}
	e.hooks.Refused(why)
	body := []byte(`{"code":` + strconv.Itoa(int(r)) + `,"message":"` + message + `"}`)
	respond(w, StrayResponse{Status: r.Status(), ContentType: jsonType, Body: body})
}

// refusal is the same for a request that another gateway may have passed on.
func refusal(r engineio.Refusal) StrayResponse {
	return StrayResponse{Status: r.Status(), ContentType: jsonType, Body: r.AppendJSON(nil)}
}

// UnknownSession is the answer to a request for a session that nobody has.
func UnknownSession() StrayResponse { return refusal(engineio.UnknownSID) }

func head(w http.ResponseWriter, r StrayResponse) {
	h := w.Header()
	h.Set("Content-Type", r.ContentType)
	h.Set("Content-Length", strconv.Itoa(len(r.Body)))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(r.Status)
}

func respond(w http.ResponseWriter, r StrayResponse) {
	head(w, r)
	_, _ = w.Write(r.Body) // a client that is gone shows on its next request
}

// answer responds to who may be slow to read: when nothing of a piece was taken for the write deadline, the connection goes, and with it the
// goroutine and the body that it held. The deadline is lifted behind it: the connection's next request may be for somebody else.
func (e *Engine) answer(w http.ResponseWriter, r StrayResponse) {
	c := http.NewResponseController(w)
	head(w, r)
	for body := r.Body; len(body) > 0; {
		piece := body[:min(len(body), writeRoom)]
		body = body[len(piece):]
		_ = c.SetWriteDeadline(time.Now().Add(e.options.WriteTimeout)) // best effort, as what follows: not every server can
		if _, err := w.Write(piece); err != nil || c.Flush() != nil {
			return
		}
	}
	_ = c.SetWriteDeadline(time.Time{})
}

// openPolling begins a session (section "Handshake").
func (e *Engine) openPolling(w http.ResponseWriter, r *http.Request) {
	if !e.admit(w) {
		return
	}
	id := newID(e.options.IDPrefix)
	sh := e.shardOf(id)
	h := e.handshake(r)
	opened := make(chan struct{})
	s := &Session{shard: sh, id: id, polling: &polling{}}
	if !sh.post(func() { e.begin(s, h); close(opened) }) {
		e.release()
		e.turnAway(w, RefusedClosing)
		return
	}
	<-opened // a post that was taken is run
	e.answer(w, StrayResponse{Status: 200, ContentType: textType, Body: e.openPacket(id, true)})
}

func (e *Engine) openPacket(id string, upgrade bool) []byte {
	return engineio.AppendOpen(nil, engineio.Handshake{
		SID: id, Upgrade: upgrade, MaxPayload: e.options.MaxPayload,
		PingInterval: e.options.PingInterval.Milliseconds(), PingTimeout: e.options.PingTimeout.Milliseconds(),
	})
}

// begin makes a session known and hands it to the user of the engine. On its shard.
func (e *Engine) begin(s *Session, h Handshake) {
	s.shard.add(s)
	s.startBeat()
	s.handler = e.options.Open(s, h)
	e.hooks.Opened(s.Transport())
	if e.closing.Load() {
		s.Close(Server)
	}
}

// servePoll serves a GET or POST of a session.
func (e *Engine) servePoll(w http.ResponseWriter, r *http.Request, asked engineio.Request) {
	sid := asked.SID
	s, _, known := e.Lookup(sid)
	if !known && !e.stray(sid) {
		e.refuse(w, engineio.UnknownSID, engineio.UnknownSID.Error())
		return
	}
	if r.Method == http.MethodPost && known {
		if !s.posting.CompareAndSwap(false, true) {
			s.shard.post(func() { s.Close(TransportError) })
			e.refuse(w, engineio.BadRequest, "POST requests overlap")
			return
		}
		response := e.polled(w, r, asked, s)
		s.posting.Store(false) // before the response, which lets the client send the next one
		e.answer(w, response)
		return
	}
	e.answer(w, e.polled(w, r, asked, s))
}

// polled answers a GET or POST of a session, which is here, or of another gateway if s is nil.
func (e *Engine) polled(w http.ResponseWriter, r *http.Request, asked engineio.Request, s *Session) StrayResponse {
	request := StrayRequest{Method: r.Method, ContentType: r.Header.Get("Content-Type"), Origin: r.Header.Get("Origin"), Stamp: asked.Stamp}
	if r.Method == http.MethodPost {
		if s == nil {
			room, ok := e.borrow(r.ContentLength)
			if !ok {
				e.hooks.Refused(RefusedBusy)
				return busy
			}
			defer e.strayBytes.Add(-room)
		}
		body, status := e.readBody(w, r, s)
		if status != 0 {
			e.hooks.Refused(RefusedRequest)
			return StrayResponse{Status: status, ContentType: textType}
		}
		request.Body = body
	}
	if s != nil {
		return e.Poll(r.Context(), asked.SID, request)
	}
	request.RemoteAddr = e.remote(r).String()
	response, err := e.options.Stray.Poll(r.Context(), asked.SID, request)
	if err != nil {
		return StrayResponse{Status: 503, ContentType: jsonType, Body: []byte(`{"code":3,"message":"Owner of the session is out of reach"}`)}
	}
	return response
}

// maxStrays bounds the bodies that are on their way to other gateways, in payloads. Nothing here tells who sends them: whoever has made up a sid
// may send a whole payload.
const maxStrays = 64

// borrow reserves room for such a body, of the announced length, -1 if there is none.
func (e *Engine) borrow(announced int64) (room int64, ok bool) {
	room = e.options.MaxPayload
	if announced >= 0 {
		room = min(room, announced)
	}
	if e.strayBytes.Add(room) > maxStrays*e.options.MaxPayload {
		e.strayBytes.Add(-room)
		return 0, false
	}
	return room, true
}

// readBody reads a POST's body, at most as much as the session may send now. status is not 0 if that failed.
func (e *Engine) readBody(w http.ResponseWriter, r *http.Request, s *Session) (body []byte, status int) {
	limit := e.options.MaxPayload
	if s != nil && !s.trusted.Load() {
		limit = min(limit, e.options.ConnectBytes)
	}
	if r.Header.Get("Content-Type") == "application/octet-stream" {
		return nil, http.StatusBadRequest // binary packets travel as base64
	}
	if r.ContentLength > limit {
		e.tooLarge(s)
		return nil, http.StatusRequestEntityTooLarge
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(e.options.BodyTimeout)) // best effort: not every server can
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			e.tooLarge(s)
			return nil, http.StatusRequestEntityTooLarge
		}
		return nil, http.StatusBadRequest
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return body, 0
}

// tooLarge ends a session whose client sends more than it may.
func (e *Engine) tooLarge(s *Session) {
	if s == nil {
		return
	}
	reason := TooLarge
	if !s.trusted.Load() {
		reason = Unauthorized
	}
	s.shard.post(func() { s.Close(reason) })
}
