package engine

import (
	"bufio"
	"errors"
	"net/http"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/engineio"
	"github.com/edumatrix/interlink/services/gateway/internal/wsframe"
)

// serveWebSocket opens a session on a WebSocket, or lets one take over a polling session, here or of another gateway. All refusals come
// before the upgrade.
func (e *Engine) serveWebSocket(w http.ResponseWriter, r *http.Request, sid string) {
	key, err := wsframe.CheckHandshake(r.Method, r.ProtoMajor, r.ProtoMinor, r.Header)
	if err != nil {
		e.refuseHandshake(w, err)
		return
	}
	response := wsframe.AppendSwitching(nil, key, "")
	switch {
	case sid == "":
		e.openWebSocket(w, r, response)
	case e.stray(sid):
		e.adoptWebSocket(w, r, sid, response)
	default:
		e.upgradeWebSocket(w, sid, response)
	}
}

func (e *Engine) refuseHandshake(w http.ResponseWriter, err error) {
	e.hooks.Refused(RefusedRequest)
	status := http.StatusBadRequest
	var refused wsframe.HandshakeError
	if errors.As(err, &refused) {
		status = refused.Status()
	}
	if status == http.StatusUpgradeRequired {
		w.Header().Set("Sec-WebSocket-Version", "13")
	}
	respond(w, StrayResponse{Status: status, ContentType: jsonType, Body: []byte(`{"code":3,"message":"` + err.Error() + `"}`)})
}

// openWebSocket begins a session. The response to the upgrade and the open packet leave in one write.
func (e *Engine) openWebSocket(w http.ResponseWriter, r *http.Request, response []byte) {
	if !e.admit(w) {
		return
	}
	h := e.handshake(r)
	c, early, err := e.hijack(w)
	if err != nil {
		e.release()
		e.refuse(w, engineio.BadRequest, "The connection cannot be upgraded")
		return
	}
	s := &Session{id: newID(e.options.IDPrefix), conn: c}
	s.shard = e.shardOf(s.id)
	c.consumer = s
	first := wsframe.AppendFrame(response, wsframe.Text, e.openPacket(s.id, false))
	taken := s.shard.post(func() {
		if !s.shard.attach(c) {
			e.release()
			return
		}
		s.Send(rawFrame(first))
		e.begin(s, h)
		c.feedEarly(early)
	})
	if !taken {
		e.release()
		c.discard()
	}
}

// upgradeWebSocket lets a WebSocket take over a session of this engine.
func (e *Engine) upgradeWebSocket(w http.ResponseWriter, sid string, response []byte) {
	s, sh, known := e.Lookup(sid)
	if !known {
		e.refuse(w, engineio.UnknownSID, engineio.UnknownSID.Error())
		return
	}
	can := make(chan bool, 1)
	if !sh.post(func() { can <- s.upgradable() }) || !<-can {
		e.refuse(w, engineio.BadRequest, "The session has upgraded, or is about to")
		return
	}
	c, early, err := e.hijack(w)
	if err != nil {
		e.refuse(w, engineio.BadRequest, "The connection cannot be upgraded")
		return
	}
	taken := sh.post(func() {
		if !s.upgradable() {
			c.discard()
			return
		}
		p := &probe{session: s, conn: c}
		c.consumer = p
		if sh.attach(c) {
			s.startProbe(p, response)
			c.feedEarly(early)
		}
	})
	if !taken {
		c.discard()
	}
}

// hijack takes the connection from net/http: its descriptor if it has one, else the connection itself, and what the client sent right behind its
// request, which the server's reader holds already.
func (e *Engine) hijack(w http.ResponseWriter) (c *conn, early []byte, err error) {
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	early = buffered(rw.Reader)
	if !e.options.Portable && e.shards[0].epoll != nil {
		if fd, ok := descriptor(nc, e.options.SendBuffer); ok {
			_ = nc.Close() // the duplicate keeps the connection
			return &conn{fd: fd}, early, nil
		}
	}
	_ = nc.SetDeadline(time.Time{})
	return &conn{fd: -1, stream: newStream(nc, e.options.SendBuffer)}, early, nil
}

func buffered(r *bufio.Reader) []byte {
	n := r.Buffered()
	if n == 0 {
		return nil
	}
	held, _ := r.Peek(n) // no more than what is there: it cannot fail
	return append([]byte(nil), held...)
}

// feedEarly hands over what came before the connection was the shard's.
func (c *conn) feedEarly(early []byte) {
	if len(early) > 0 && !c.closed {
		c.feed(early, len(early))
	}
}

// discard closes a connection that no shard has taken.
func (c *conn) discard() {
	c.closed = true
	if c.stream != nil {
		_ = c.stream.conn.Close()
		return
	}
	closeFD(c.fd)
}
