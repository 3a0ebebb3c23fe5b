package engine

import (
	"context"
	"hash/fnv"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/engineio"
)

// maxPackets bounds the packets of one request body.
const maxPackets = 20_000

// polling is the state of a session on long-polling. It belongs to the session's shard.
type polling struct {
	parked  *poll
	probe   *probe // a WebSocket that is to take over
	moving  *timer // armed while an upgrade arrived at another gateway
	noops   bool   // polls end with a noop: the transport changes
	leaving bool   // the client has sent its close packet
	ending  *timer // armed while a parked poll is to end with a noop
	got     stamp  // of the last GET
	put     stamp  // of the last POST
}

// stamp tells a polling request from the one before, 0 if the client's requests carry none. A browser (and Go's HTTP client) sends a request
// again by itself, without a word to the page, when a connection that it had used before ends before the answer has come.
type stamp uint64

func stampOf(made string, body []byte) stamp {
	if made == "" {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(made))
	h.Write(body)
	return stamp(h.Sum64()) | 1
}

// again reports whether a request is the one before, sent again, and notes it.
func (s *stamp) again(next stamp) bool {
	repeated := next != 0 && next == *s
	*s = next
	return repeated
}

// poll is a GET that waits for frames. Its goroutine waits for the result, which is sent exactly once.
type poll struct {
	stamp  stamp
	result chan pollResult
}

// pollResult is the answer to a polling request. body wins over refusal.
type pollResult struct {
	status  int
	body    []byte
	refusal engineio.Refusal
}

// upgrading reports whether nothing may be written until the transport has changed or the change has failed.
func (p *polling) upgrading() bool { return p.noops }

// answer ends the parked poll, if there is one.
func (p *polling) answer(r pollResult) {
	if p.parked != nil {
		p.parked.result <- r
		p.parked = nil
	}
}

// release answers the parked poll with what is queued, as much as one response may hold.
func (p *polling) release(s *Session) {
	if p.parked == nil {
		return
	}
	most := int(s.shard.engine.options.MaxPayload)
	var body []byte
	for s.queue.len() > 0 {
		if len(body) > 0 && len(body)+s.queue.frames[s.queue.head].Len() > most {
			break
		}
		body = s.queue.take(&s.shard.spares).AppendPayload(body)
	}
	if len(body) > 0 {
		p.answer(pollResult{status: 200, body: body})
	}
}

// abandon closes a WebSocket that was to take over.
func (p *polling) abandon(s *Session) {
	if p.probe != nil {
		p.probe.conn.close(closeCode(TransportClose))
		p.probe.stop()
		p.probe = nil
	}
	for _, t := range [...]*timer{p.moving, p.ending} {
		if t != nil {
			s.shard.wheel.disarm(t)
		}
	}
}

// hold ends the parked poll, and every later one, with a noop, until the transport has changed or resume is called. It waits a moment with it:
// a client that says at once that the WebSocket takes over has its poll refused instead, as one that comes later.
func (p *polling) hold(s *Session) {
	p.noops = true
	if p.parked != nil {
		p.endSoon(s)
	}
}

// noopDelay is short against a round trip, which an upgrade takes anyway.
const noopDelay = 10 * time.Millisecond

func (p *polling) endSoon(s *Session) {
	if p.ending == nil {
		p.ending = &timer{fire: func() { p.answer(pollResult{status: 200, body: s.shard.engine.noop.text}) }}
	}
	s.shard.wheel.arm(p.ending, s.shard.now+int64(noopDelay))
}

// resume goes on polling after a change of transport that failed.
func (p *polling) resume(s *Session) {
	p.noops = false
	if p.ending != nil {
		s.shard.wheel.disarm(p.ending)
	}
	s.touch()
}

// park takes a GET (section "HTTP long-polling"). A second one at the same time ends the session: the first is told so, the second refused.
// So does one that was answered already and is sent again: what the answer held has not arrived, and the client knows nothing of it.
func (s *Session) park(p *poll) {
	switch {
	case s.closed:
		p.result <- pollResult{status: 400, refusal: engineio.UnknownSID}
	case s.polling == nil:
		p.result <- pollResult{status: 400, refusal: engineio.BadRequest}
	case s.polling.got.again(p.stamp) && s.polling.parked == nil:
		p.result <- pollResult{status: 400, refusal: engineio.BadRequest}
		s.Close(TransportError)
	case s.polling.parked != nil:
		s.polling.answer(pollResult{status: 200, body: s.shard.engine.bye.text})
		p.result <- pollResult{status: 400, refusal: engineio.BadRequest}
		s.Close(TransportError)
	case s.pings.Waiting() > 0 && s.overdue():
		p.result <- pollResult{status: 400, refusal: engineio.UnknownSID}
		s.Close(PingTimeout)
	case s.polling.leaving:
		p.result <- pollResult{status: 200, body: s.shard.engine.noop.text}
		s.Close(TransportClose)
	case s.polling.upgrading():
		s.polling.parked = p
		s.polling.endSoon(s)
	default:
		s.polling.parked = p
		s.flush()
	}
}

// overdue reports whether the ping timeout has passed, though the wheel has not come to it.
func (s *Session) overdue() bool { return s.beat.tick*int64(wheelTick) <= s.shard.engine.clock() }

// unpark takes a GET back whose client is gone. The session ends, also if the GET was just being answered: nobody knows what the client has read.
func (s *Session) unpark(p *poll) {
	if s.closed || s.polling == nil {
		return
	}
	if s.polling.parked == p {
		s.polling.parked = nil
	}
	s.Close(TransportError)
}

// accept takes the body of a POST. One that was taken already is answered, no more.
func (s *Session) accept(body []byte, sent stamp) pollResult {
	refused := pollResult{status: 400, refusal: engineio.BadRequest}
	if s.closed {
		return pollResult{status: 400, refusal: engineio.UnknownSID}
	}
	if s.polling == nil || s.polling.leaving {
		return refused
	}
	if s.polling.put.again(sent) {
		return pollResult{status: 200, body: okBody}
	}
	if !s.charge(len(body)) {
		s.Close(Unauthorized)
		return pollResult{status: 413}
	}
	polling := s.polling
	payload, err := engineio.NewPayload(body, int(s.shard.engine.options.MaxPayload), maxPackets)
	for err == nil && payload.More() && !s.closed {
		var packet engineio.Packet
		if packet, err = payload.Next(); err == nil {
			s.receive(packet)
		}
	}
	if err != nil {
		s.Close(Malformed)
	}
	if s.closed && !polling.leaving {
		return refused
	}
	return pollResult{status: 200, body: okBody}
}

// Poll serves one long-polling request to a session of this engine, as ServeHTTP does: for a request that another gateway passed on.
// It blocks: a GET until there are frames, at most until ctx is done, which ends the session.
func (e *Engine) Poll(ctx context.Context, sid string, r StrayRequest) StrayResponse {
	s, sh, known := e.Lookup(sid)
	if !known {
		return refusal(engineio.UnknownSID)
	}
	if r.Method == "POST" {
		return e.push(ctx, s, sh, r)
	}
	p := &poll{stamp: stampOf(r.Stamp, nil), result: make(chan pollResult, 1)}
	if !sh.post(func() { s.park(p) }) {
		return refusal(engineio.UnknownSID)
	}
	select {
	case result := <-p.result:
		return result.response()
	case <-ctx.Done():
		sh.post(func() { s.unpark(p) })
		return refusal(engineio.BadRequest)
	case <-e.stopped:
		return refusal(engineio.UnknownSID)
	}
}

// push delivers the body of a POST and waits until it has been processed.
func (e *Engine) push(ctx context.Context, s *Session, sh *Shard, r StrayRequest) StrayResponse {
	done, sent := make(chan pollResult, 1), stampOf(r.Stamp, r.Body)
	if !sh.post(func() { done <- s.accept(r.Body, sent) }) {
		return refusal(engineio.UnknownSID)
	}
	select {
	case result := <-done:
		return result.response()
	case <-ctx.Done():
		return refusal(engineio.BadRequest)
	case <-e.stopped:
		return refusal(engineio.UnknownSID)
	}
}

func (r pollResult) response() StrayResponse {
	if r.status == 200 {
		return StrayResponse{Status: 200, ContentType: textType, Body: r.body}
	}
	if r.status == 413 {
		return StrayResponse{Status: 413, ContentType: textType}
	}
	return refusal(r.refusal)
}
