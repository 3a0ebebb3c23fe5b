package engineio

import "strconv"

// Handshake is what the server tells in its `open` packet (section "Handshake").
type Handshake struct {
	SID          string // of characters that JSON and a query need not escape
	Upgrade      bool   // an upgrade to WebSocket is offered
	PingInterval int64  // milliseconds
	PingTimeout  int64  // milliseconds
	MaxPayload   int64  // bytes of a polling payload or a message that the server takes
}

// AppendOpen appends the text form of the `open` packet.
func AppendOpen(dst []byte, h Handshake) []byte {
	dst = append(dst, `0{"sid":"`...)
	dst = append(dst, h.SID...)
	dst = append(dst, `","upgrades":[`...)
	if h.Upgrade {
		dst = append(dst, `"websocket"`...)
	}
	dst = append(dst, `],"pingInterval":`...)
	dst = strconv.AppendInt(dst, h.PingInterval, 10)
	dst = append(dst, `,"pingTimeout":`...)
	dst = strconv.AppendInt(dst, h.PingTimeout, 10)
	dst = append(dst, `,"maxPayload":`...)
	dst = strconv.AppendInt(dst, h.MaxPayload, 10)
	return append(dst, '}')
}

// Action is what a packet from a client asks its session to do.
type Action uint8

// What Receive and Probe.Receive return.
const (
	Ignore      Action = iota // nothing
	Deliver                   // hand Data to the user of the session
	Beat                      // a pong: count it with Heartbeat.Pong
	End                       // the client leaves: close the session
	AnswerProbe               // write ProbeAnswer on the new transport, and release a waiting poll with a Noop
	Switch                    // the new transport is the session's from now on
)

// Receive decides what a packet from a client means on a session's current transport, an open session assumed.
// The error is ErrDirection or ErrPacketData; the session ends with it.
//
// A Noop is ignored, as the reference does. Data behind a type without data is refused, except with a pong, which echoes the ping's.
func Receive(p Packet) (Action, error) {
	switch p.Type {
	case Message:
		return Deliver, nil
	case Pong:
		return Beat, nil
	case Close:
		if len(p.Data) > 0 {
			return Ignore, ErrPacketData
		}
		return End, nil
	case Noop:
		if len(p.Data) > 0 {
			return Ignore, ErrPacketData
		}
		return Ignore, nil
	default:
		return Ignore, ErrDirection
	}
}

// ProbeAnswer is the packet that answers a probe, in its text form.
const ProbeAnswer = "3probe"

// Probe is the state of a WebSocket that a polling session is to move to (section "Upgrade"). The zero value waits for `2probe`.
type Probe struct{ step uint8 }

// Receive takes the next packet of the new transport: `2probe` is AnswerProbe, `5` after it is Switch. Anything else is ErrProbe:
// the new transport is closed, the session stays where it is.
func (p *Probe) Receive(packet Packet) (Action, error) {
	switch {
	case p.step == 0 && packet.Type == Ping && string(packet.Data) == "probe":
		p.step = 1
		return AnswerProbe, nil
	case p.step == 1 && packet.Type == Upgrade && len(packet.Data) == 0:
		p.step = 2
		return Switch, nil
	default:
		p.step = 3
		return Ignore, ErrProbe
	}
}

// Answered reports whether the probe has been answered and the switch is awaited.
func (p *Probe) Answered() bool { return p.step == 1 }

// Heartbeat counts pings and pongs of one session (section "Heartbeat"): in revision 4 the server pings, and every ping is answered by one
// pong, in order. The caller owns the clock: it pings every interval, and ends the session when a ping is still unanswered a timeout later.
// More pings may be under way at once. The zero value is ready.
type Heartbeat struct{ sent, answered uint32 }

// Ping counts a ping that is being written and returns its number; numbers go up by one and wrap.
func (h *Heartbeat) Ping() uint32 {
	h.sent++
	return h.sent
}

// Pong counts a pong and returns the number of the ping that it answers. One too many answers nothing and is ignored.
func (h *Heartbeat) Pong() (answers uint32, ok bool) {
	if h.answered == h.sent {
		return 0, false
	}
	h.answered++
	return h.answered, true
}

// Expect counts pings that were sent before, by another owner of the session, and are to be answered first.
func (h *Heartbeat) Expect(pings uint32) { h.sent += pings }

// Next is the number that the next ping will have.
func (h *Heartbeat) Next() uint32 { return h.sent + 1 }

// Last is the number of the last ping that has its pong.
func (h *Heartbeat) Last() uint32 { return h.answered }

// Waiting is the number of pings without a pong.
func (h *Heartbeat) Waiting() uint32 { return h.sent - h.answered }

// Answered reports whether the ping with that number has its pong; true for one that was never sent in the last 2^31.
func (h *Heartbeat) Answered(ping uint32) bool { return int32(h.answered-ping) >= 0 }
