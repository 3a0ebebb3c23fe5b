package session

import (
	"encoding/json"
	"time"
)

// code is what a client may branch on.
type code string

const (
	badRequest      code = "bad_request"
	unauthenticated code = "unauthenticated"
	forbidden       code = "forbidden"
	notJoined       code = "not_joined"
	tooLarge        code = "too_large"
	rateLimited     code = "rate_limited"
	unavailable     code = "unavailable"
	unknownEvent    code = "unknown_event"
	internal        code = "internal"
)

// fault is an error as a client sees it.
type fault struct {
	Code         code   `json:"code"`
	Message      string `json:"message"`
	RetryAfterMs int64  `json:"retryAfterMs,omitempty"`
}

// away is the fault of what could not be decided or done now.
var away = fault{Code: unavailable, Message: "Not possible right now, try again", RetryAfterMs: 1000}

// acker answers one client event; nil if the client did not ask for an answer.
type acker func(json []byte)

// ok answers with an object that has "ok":true itself.
func (a acker) ok(answer any) {
	if a == nil {
		return
	}
	b, err := json.Marshal(answer)
	if err != nil {
		a.refuse(fault{Code: internal, Message: "The answer could not be written"})
		return
	}
	a(b)
}

func (a acker) refuse(f fault) {
	if a == nil {
		return
	}
	b, err := json.Marshal(struct {
		OK    bool  `json:"ok"`
		Error fault `json:"error"`
	}{false, f})
	if err != nil {
		b = []byte(`{"ok":false,"error":{"code":"internal","message":"The answer could not be written"}}`)
	}
	a(b)
}

// bucket limits a socket's events. The zero value is full.
type bucket struct {
	used float32 // events taken and not refilled
	last uint32  // Unix milliseconds, the lowest 32 bits: what is wrong by 49 days has been refilled before
}

// take returns 0 if an event may pass, else how long to wait.
func (b *bucket) take(now time.Time, rate, burst float64) time.Duration {
	at := uint32(now.UnixMilli())
	used := max(0, float64(b.used)-float64(at-b.last)/1e3*rate)
	b.last = at
	if used+1 > burst {
		b.used = float32(used)
		return time.Duration((used + 1 - burst) / rate * 1e9)
	}
	b.used = float32(used + 1)
	return 0
}
