package engineio

import (
	"net/url"
	"strconv"
	"strings"
)

// Version is the protocol revision that a request names in its query, `EIO=4`.
const Version = "4"

// Transport is a way of carrying packets (section "Transports"). WebTransport is not spoken.
type Transport uint8

// The two transports.
const (
	Polling Transport = iota
	WebSocket
)

// String is the name in the query parameter `transport`.
func (t Transport) String() string {
	if t == WebSocket {
		return "websocket"
	}
	return "polling"
}

// Refusal is why a request is not served: the codes of the reference server, which clients show to their users.
type Refusal uint8

// The reference server's codes.
const (
	UnknownTransport    Refusal = 0
	UnknownSID          Refusal = 1
	BadHandshakeMethod  Refusal = 2
	BadRequest          Refusal = 3
	Forbidden           Refusal = 4
	UnsupportedProtocol Refusal = 5
)

// Error is the reference server's message.
func (r Refusal) Error() string {
	switch r {
	case UnknownTransport:
		return "Transport unknown"
	case UnknownSID:
		return "Session ID unknown"
	case BadHandshakeMethod:
		return "Bad handshake method"
	case Forbidden:
		return "Forbidden"
	case UnsupportedProtocol:
		return "Unsupported protocol version"
	default:
		return "Bad request"
	}
}

// Status is the HTTP status that goes with the refusal.
func (r Refusal) Status() int {
	if r == Forbidden {
		return 403
	}
	return 400
}

// AppendJSON appends the response body, `{"code":1,"message":"Session ID unknown"}`.
func (r Refusal) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"code":`...)
	dst = strconv.AppendUint(dst, uint64(r), 10)
	dst = append(dst, `,"message":"`...)
	dst = append(dst, r.Error()...)
	return append(dst, `"}`...)
}

// Request is what a query says about a request.
type Request struct {
	Transport Transport
	SID       string // empty: a handshake
	Stamp     string // parameter `t`, which clients make up anew for each polling request, as it was sent; empty: none
}

// MaxSID bounds a session id in a query, in bytes; a longer one is of no session.
const MaxSID = 128

// ParseRequest checks method and query of a request, in the reference server's order (transport, session, method, version); upgrade tells
// that it asks for a WebSocket. The error is a Refusal. What remains for the caller: whether the session exists (UnknownSID), whether
// it is on that transport (BadRequest), and whether the origin is allowed (Forbidden).
//
// Stricter than the reference: the version is needed with every request, not only with the handshake; a parameter of ours given twice,
// or one that cannot be unescaped, is a BadRequest; a session is read with GET and POST only.
func ParseRequest(method, rawQuery string, upgrade bool) (Request, error) {
	q, err := parseQuery(rawQuery)
	if err != nil {
		return Request{}, err
	}
	r := Request{SID: q.sid, Stamp: q.stamp}
	switch q.transport {
	case "polling":
	case "websocket":
		r.Transport = WebSocket
	default:
		return Request{}, UnknownTransport
	}
	if r.SID == "" && method != "GET" {
		return Request{}, BadHandshakeMethod
	}
	if q.version != Version {
		return Request{}, UnsupportedProtocol
	}
	switch {
	case len(r.SID) > MaxSID:
		return Request{}, UnknownSID
	case upgrade != (r.Transport == WebSocket):
		return Request{}, BadRequest
	case r.Transport == WebSocket && method != "GET", method != "GET" && method != "POST":
		return Request{}, BadRequest
	}
	return r, nil
}

type query struct{ transport, sid, version, stamp string }

func parseQuery(raw string) (query, error) {
	var q query
	var seen [3]bool
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		key, value, _ := strings.Cut(pair, "=")
		var to *string
		var n int
		switch key {
		case "transport":
			to, n = &q.transport, 0
		case "sid":
			to, n = &q.sid, 1
		case "EIO":
			to, n = &q.version, 2
		case "t":
			q.stamp = value
			continue
		default:
			continue
		}
		unescaped, err := url.QueryUnescape(value)
		if err != nil || seen[n] {
			return query{}, BadRequest
		}
		*to, seen[n] = unescaped, true
	}
	return q, nil
}
