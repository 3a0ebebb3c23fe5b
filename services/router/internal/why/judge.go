package why

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
)

// Outcome is what became of an event for one user, or at one socket. A closed set.
type Outcome string

// The outcomes.
const (
	Received  Outcome = "received"        // one of the user's sockets has it: a receipt came
	Delivered Outcome = "delivered"       // handed to a socket that is in the room
	Pending   Outcome = "pending"         // the gateway of a socket that is in the room has not come so far yet
	Queued    Outcome = "queued"          // waits in the inbox
	NotMember Outcome = "not_a_member"    // connected, but in none of the event's rooms
	Later     Outcome = "connected_later" // in the room, but connected after the event
	Slow      Outcome = "slow_closed"     // the socket could not keep up and was closed; it may resume
	Offline   Outcome = "offline"         // no socket
	Excepted  Outcome = "excepted"        // the event says: not to this user, or socket
	Unknown   Outcome = "unknown"         // a gateway did not answer, and no other has a socket of the user
)

// User is what became of an event for one user.
type User struct {
	User    string   `json:"user"`
	Outcome Outcome  `json:"outcome"`
	Detail  string   `json:"detail"`
	Inbox   string   `json:"inbox,omitempty"` // expected, waiting, reported or taken, if the event was queued for the user
	Sockets []Socket `json:"sockets"`
}

// Socket is one that the user has, or had until lately.
type Socket struct {
	Socket  string  `json:"socket"`
	Gateway string  `json:"gateway"`
	Outcome Outcome `json:"outcome"`
	Since   string  `json:"since,omitempty"`
	Closed  string  `json:"closed,omitempty"` // when it went
	Reason  string  `json:"reason,omitempty"` // and why
}

// facts are what is known of one event.
type facts struct {
	record   *deliveryv1.Record
	epoch    string // of the topic where offset means anything
	offset   int64
	timeMs   int64 // time fingerprint of the Kafka record
	gateways []*deliveryv1.OutcomeResponse
	silent   bool // a gateway did not answer
}

var inboxWords = map[presencev1.Look_State]string{
	presencev1.Look_EXPECTED: "expected", presencev1.Look_WAITING: "waiting",
	presencev1.Look_REPORTED: "reported", presencev1.Look_TAKEN: "taken",
}

// judge says what became of an event for a user. look is unspecified if the event was not queued for him, or presence
// did not answer.
func judge(f facts, user string, look presencev1.Look_State) User {
	u := User{User: user, Inbox: inboxWords[look], Sockets: f.sockets(user)}
	best := Socket{}
	for _, s := range u.Sockets { // the best of the sockets counts: one copy is enough
		if best.Outcome == "" || rank(s.Outcome) < rank(best.Outcome) {
			best = s
		}
	}
	switch {
	case slices.Contains(f.record.GetExceptUsers(), user):
		u.Outcome, u.Detail = Excepted, "the event names this user under except.users"
	case look == presencev1.Look_TAKEN:
		u.Outcome, u.Detail = Received, "it is not in the inbox any more: one of the user's sockets has it, or it was there for longer than INTERLINK_INBOX_TTL"
	case best.Outcome == Delivered || best.Outcome == Pending:
		u.Outcome, u.Detail = best.Outcome, detail(best)
	case look == presencev1.Look_WAITING:
		u.Outcome, u.Detail = Queued, "it waits in the inbox and is given at the next connect"
	case look == presencev1.Look_REPORTED:
		u.Outcome, u.Detail = Queued, "it waits in the inbox and was reported on the undelivered topic"
	case best.Outcome != "":
		u.Outcome, u.Detail = best.Outcome, detail(best)
	case f.silent:
		u.Outcome, u.Detail = Unknown, "no gateway that answered has a socket of this user, and one did not answer"
	default:
		u.Outcome, u.Detail = Offline, "no gateway has, or had lately, a socket of this user"
	}
	return u
}

// rank orders outcomes of sockets: what proves most comes first.
func rank(o Outcome) int {
	return slices.Index([]Outcome{Delivered, Pending, Slow, NotMember, Later, Excepted, Offline}, o)
}

func detail(s Socket) string {
	switch s.Outcome {
	case Delivered:
		return "handed to a socket that is in the room, by a gateway that has come past the event; whether the browser's handler ran is not known"
	case Pending:
		return "gateway " + s.Gateway + " has not come as far as the event yet"
	case Slow:
		return "its socket could not keep up and was closed; it gets the event when it resumes, within the resume window"
	case NotMember:
		return "connected, but in none of the event's rooms now"
	case Later:
		return "in the room, but connected only after the event"
	case Excepted:
		return "the event names its socket under except.sockets"
	case Offline:
		return fmt.Sprintf("its socket went (%s) and none has come since; if it resumes within the window, it gets the event then", s.Reason)
	}
	return ""
}

// sockets are those of a user at all gateways: live ones by age, then those that went, the latest first.
func (f facts) sockets(user string) []Socket {
	live, gone := []Socket{}, []Socket{}
	for _, g := range f.gateways {
		for _, s := range g.GetSockets() {
			if s.GetUser() == user {
				live = append(live, Socket{Socket: s.GetSocket(), Gateway: g.GetGateway(), Since: stamp(s.GetSinceMs()), Outcome: f.live(g, s)})
			}
		}
		for _, s := range g.GetClosed() {
			if s.GetUser() == user && s.GetAtMs() >= f.timeMs {
				gone = append(gone, Socket{Socket: s.GetSocket(), Gateway: g.GetGateway(), Closed: stamp(s.GetAtMs()), Reason: s.GetReason(), Outcome: closed(s.GetReason())})
			}
		}
	}
	slices.SortFunc(live, func(a, b Socket) int { return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.Socket, b.Socket)) })
	slices.SortFunc(gone, func(a, b Socket) int { return cmp.Or(cmp.Compare(b.Closed, a.Closed), cmp.Compare(a.Socket, b.Socket)) })
	gone = slices.DeleteFunc(gone, func(g Socket) bool { // it is back, here or elsewhere
		return slices.ContainsFunc(live, func(l Socket) bool { return l.Socket == g.Socket })
	})
	return append(live, gone...)
}

func closed(reason string) Outcome {
	if reason == "slow" {
		return Slow
	}
	return Offline
}

func (f facts) live(g *deliveryv1.OutcomeResponse, s *deliveryv1.SocketOutcome) Outcome {
	switch {
	case !s.GetMember():
		return NotMember
	case slices.Contains(f.record.GetExceptSockets(), s.GetSocket()):
		return Excepted
	case s.GetSinceMs() > f.timeMs:
		return Later
	case g.GetTopicEpoch() != f.epoch || g.GetPosition() <= f.offset:
		return Pending
	default:
		return Delivered
	}
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00") }
