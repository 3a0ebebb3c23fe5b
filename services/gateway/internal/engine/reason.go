package engine

import "github.com/edumatrix/interlink/services/gateway/internal/engineio"

// Reason is why a session, and the sockets in it, ended.
type Reason uint8

// The reasons.
const (
	Left           Reason = iota + 1 // the client said so: DISCONNECT
	TransportClose                   // the client closed its transport
	TransportError                   // the transport broke, or a poll was given up or doubled
	PingTimeout                      // a ping was not answered in time
	Slow                             // the queue was full, or nothing could be written for the write deadline
	Malformed                        // bytes that are no packet, or a packet out of place
	TooLarge                         // a message over the payload limit
	Unauthorized                     // no CONNECT was accepted in time, or too many bytes came before
	Server                           // this server ended it: shutdown, drain, Disconnect
)

// String is the reason as a metric label.
func (r Reason) String() string {
	switch r {
	case Left:
		return "left"
	case TransportClose:
		return "transport_close"
	case TransportError:
		return "transport_error"
	case PingTimeout:
		return "ping_timeout"
	case Slow:
		return "slow"
	case Malformed:
		return "malformed"
	case TooLarge:
		return "too_large"
	case Unauthorized:
		return "unauthorized"
	case Server:
		return "server"
	default:
		return "unknown"
	}
}

// Transport is how a session's packets travel.
type Transport = engineio.Transport

// The transports.
const (
	Polling   = engineio.Polling
	WebSocket = engineio.WebSocket
)

// Refusal is why a request was turned away before it became a session.
type Refusal uint8

// The refusals.
const (
	RefusedSockets Refusal = iota + 1 // over MaxSockets
	RefusedRate                       // over ConnectRate
	RefusedBusy                       // Options.Busy said so
	RefusedOrigin                     // a foreign Origin
	RefusedRequest                    // not a request of the protocol
	RefusedClosing                    // the engine is shutting down
)

// String is the refusal as a metric label.
func (r Refusal) String() string {
	switch r {
	case RefusedSockets:
		return "sockets"
	case RefusedRate:
		return "rate"
	case RefusedBusy:
		return "busy"
	case RefusedOrigin:
		return "origin"
	case RefusedRequest:
		return "request"
	case RefusedClosing:
		return "closing"
	default:
		return "unknown"
	}
}

// Hooks are called as things happen, for metrics: from any goroutine, never blocking. Nil functions are skipped.
type Hooks struct {
	Opened   func(Transport)
	Upgraded func() // from polling to WebSocket, here
	Closed   func(Transport, Reason)
	Moved    func(Transport) // a session was frozen and left without a Closed
	Refused  func(Refusal)
	Dropped  func() // an ephemeral frame gave way
}

func (h Hooks) withDefaults() Hooks {
	if h.Opened == nil {
		h.Opened = func(Transport) {}
	}
	if h.Upgraded == nil {
		h.Upgraded = func() {}
	}
	if h.Closed == nil {
		h.Closed = func(Transport, Reason) {}
	}
	if h.Moved == nil {
		h.Moved = func(Transport) {}
	}
	if h.Refused == nil {
		h.Refused = func(Refusal) {}
	}
	if h.Dropped == nil {
		h.Dropped = func() {}
	}
	return h
}
