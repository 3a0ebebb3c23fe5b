package load

import (
	"fmt"
	"time"

	"github.com/edumatrix/interlink/test/client"
	"github.com/edumatrix/interlink/test/harness"
)

// Target is the system under load.
type Target struct {
	Root    string   // the repository's
	Logs    string   // folder for the logs of worker processes
	URLs    []string // http://host:port of what clients connect to: one balancer, or gateways to be taken in turn
	Emit    []string // http://host:port of what takes POST /v1/emit, taken in turn
	Brokers []string // plain listeners of Kafka
	Topic   string
	Key     string // of the HTTP API

	// Set for producers that connect with TLS and SCRAM-SHA-512: TLSBrokers stands for Brokers then.
	TLSBrokers     []string
	CAFile         string
	User, Password string
}

// TargetOf is a running system. Clients connect to urls, or to its gateways in turn if there are none.
func TargetOf(s *harness.System, urls ...string) Target {
	t := Target{Root: s.Root, Logs: s.Artifacts, URLs: urls, Brokers: s.Kafka.Brokers, Topic: "interlink.events", Key: harness.APIKey}
	for _, g := range s.Gateways {
		if len(urls) == 0 {
			t.URLs = append(t.URLs, "http://"+g.Public)
		}
	}
	for _, r := range s.Routers {
		t.Emit = append(t.Emit, "http://"+r.HTTP)
	}
	return t
}

// Plan is the size and the shape of the load.
type Plan struct {
	Name           string // begins every user's name and every record's id
	JS, Go         int    // clients of each kind: the official library's, and our own in Go
	Library        int    // clients of zishang520/socket.io, in Go: by WebSocket or polling, without an upgrade
	Rivals         int    // clients of Centrifugo's library, which is under load then; each of their rooms is judged by itself
	Workers        int    // Node processes that the JS clients are spread over
	Rooms          int
	RoomsPerSocket int
	Rate           int  // records a second, Kafka and HTTP together
	WebSocketOnly  bool // else a third each: WebSocket, polling, polling and an upgrade
	Token          func(user string, rooms ...string) string
	Backoff        time.Duration // least delay before a client connects again, 0 for 1 s; it grows to five times as much
	RetryFor       time.Duration // how long a publisher sends one record again, 0 for 2 min; an id counts for twice the resume window
	OpenTimeout    time.Duration // until a server has opened a connection, 0 for 20 s as in the stock client
}

// member is one client of the plan.
type member struct {
	index     int
	user      string
	url       string
	rooms     []string
	transport client.Transport
	kind      kind
}

// kind is what library a client uses.
type kind uint8

const (
	official kind = iota
	own
	ported
	rival
)

// kindOf returns the kind of a client by its number: the official ones first, the ported ones last.
func (p Plan) kindOf(i int) kind {
	switch {
	case i < p.JS:
		return official
	case i < p.JS+p.Go:
		return own
	case i < p.JS+p.Go+p.Library:
		return ported
	default:
		return rival
	}
}

// Room returns the name of the plan's nth room.
func (p Plan) Room(n int) string { return fmt.Sprintf("conversation:%s-%d", p.Name, n%p.Rooms) }

// rooms returns the rooms of a socket. They are spread so that every room has nearly as many sockets as any other.
func (p Plan) rooms(i int) []string {
	list := make([]string, 0, p.RoomsPerSocket)
	for k := range p.RoomsPerSocket {
		list = append(list, p.Room(i+k*(p.Rooms/p.RoomsPerSocket+1)))
	}
	return list
}

func (p Plan) allRooms() []string {
	list := make([]string, p.Rooms)
	for n := range list {
		list[n] = p.Room(n)
	}
	return list
}

// members lays out the clients. Which kind and which transport a socket gets does not depend on its rooms.
func (p Plan) members(urls []string) []member {
	list := make([]member, 0, p.JS+p.Go+p.Library)
	for i := range p.JS + p.Go + p.Library {
		m := member{
			index: i, user: fmt.Sprintf("%s-u%d", p.Name, i), url: urls[i%len(urls)], rooms: p.rooms(i), kind: p.kindOf(i),
		}
		if !p.WebSocketOnly {
			m.transport = []client.Transport{client.Upgrade, client.WebSocket, client.Polling}[i/len(urls)%3]
		}
		list = append(list, m)
	}
	for i := range p.Rivals {
		for _, room := range p.rooms(i) {
			list = append(list, member{
				index: len(list), user: fmt.Sprintf("%s-u%d/%s", p.Name, i, room), url: urls[i%len(urls)], rooms: []string{room}, kind: rival,
			})
		}
	}
	return list
}
