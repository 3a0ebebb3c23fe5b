// Package config owns what the environment says: the names of the settings, their defaults, what each must look like,
// and what is wrong with them. It is read once, in cmd; no other package looks at the environment.
//
// The table in settings.go is the only list of names. What reads the environment, the refusal of unknown names, the
// `interlink config` command and the table in the README are made from it.
package config

import (
	"log/slog"
	"net/netip"
	"time"
)

// Bytes is a size in bytes. It is written 512KiB, 64MiB, 1MB or as a plain number.
type Bytes int64

// Role is what one process is.
type Role string

// The roles. Serve is all three services in one process.
const (
	Serve    Role = "serve"
	Gateway  Role = "gateway"
	Router   Role = "router"
	Presence Role = "presence"
)

// Config is what the environment says. It is passed by value and not changed after Read; only what a Secret returns
// changes while the process runs.
type Config struct {
	Role     Role
	Dev      bool
	DataDir  string
	Mapping  string // file; empty: none
	LogLevel slog.Level

	Public   Public
	Ports    Ports
	Peers    Peers
	Auth     Auth
	Keys     Keys
	Kafka    Kafka
	Redis    Redis
	Gateway  GatewayLimits
	Resume   Resume
	Presence PresenceTimes
	Router   RouterLimits
	TLS      TLS

	entries []Entry
	given   map[string]bool
}

// Public is the port that browsers and Next.js reach.
type Public struct {
	Host           string
	Port           int
	Origins        []string // each scheme://host[:port], or *
	TrustedProxies []netip.Prefix
}

// Ports are where a process listens for others of the house, host:port each, host may be empty.
type Ports struct {
	HTTP  string // the router's HTTP API
	GRPC  string
	Admin string
	// Advertise is the host:port at which others reach GRPC; empty: made from the host's address.
	Advertise string
}

// Peers are where a process finds the others: host:port each, or one dns:///name:port.
type Peers struct {
	Gateways, Routers, Presence []string
	GatewayID                   string // empty: made at start
}

// Auth is how users prove who they are, and what they may do.
type Auth struct {
	NextAuthURL     string // the public address of Next.js
	NextAuthVersion int
	Cookies         []string // empty: the names that the version uses
	Secrets         Secret   // AUTH_SECRET and NEXTAUTH_SECRET
	DerivedKeys     Secret   // INTERLINK_NEXTAUTH_KEY
	JWTSecrets      Secret
	SessionURL      string // empty: database sessions are refused
	AuthorizeURL    string // empty: only own rooms and grants
	APIBaseURL      string // Next.js as the services reach it
	ClientEvents    []string
}

// Keys are the secrets among the services and Next.js.
type Keys struct {
	API    Secret // INTERNAL_API_KEY, SOCKETIO_API_KEY and SOCKET_IO_SERVER_TOKEN
	Cursor Secret // INTERLINK_CURSOR_KEY, else API
}

// Kafka is where the log is.
type Kafka struct {
	Brokers            []string // empty: an embedded broker, in the one binary only
	TopicPrefix        string
	CreateTopics       bool
	SessionTimeout     time.Duration
	TLS                bool
	CAFile             string
	SASL               string // plain, scram-sha-256, scram-sha-512 or empty
	Username, Password string
}

// Redis is where presence keeps its state.
type Redis struct {
	Mode               string   // single, sentinel or cluster
	Addrs              []string // empty: an embedded store, in the one binary only
	Master             string
	Username, Password string
	DB                 int
	TLS                bool
	CAFile             string
	Prefix             string
}

// GatewayLimits bound what clients may cost.
type GatewayLimits struct {
	PingInterval, PingTimeout, ConnectTimeout time.Duration
	MaxPayload, QueueBytes                    Bytes
	QueueEvents                               int
	MaxSockets                                int // 0: by memory
	ConnectRate                               int // a second, 0: without bound
	RoomsPerSocket                            int
	EventsPerSecond                           int
	DrainDelay, DrainSpread                   time.Duration
}

// Resume is what a client may have missed and still continue.
type Resume struct {
	Window time.Duration
	Events int
	Bytes  Bytes
}

// PresenceTimes are the times after which state that nobody renews ends.
type PresenceTimes struct {
	Lease, Grace, TypingTTL    time.Duration
	InboxEvents                int
	InboxTTL, UndeliveredAfter time.Duration
}

// RouterLimits bound the partition logs.
type RouterLimits struct {
	LogBytes Bytes // a partition
}

// TLS is what the services speak among themselves. All three files or none; they are read again when they change.
type TLS struct {
	CertFile, KeyFile, CAFile string
}

// Enabled reports whether the services speak TLS among themselves.
func (t TLS) Enabled() bool { return t.CertFile != "" }

// Given reports whether the environment had a value for this name, itself or by NAME_FILE.
func (c Config) Given(name string) bool { return c.given[name] }

// Entries is every setting with what it is at present, in the order of the documentation. Secrets are masked.
func (c Config) Entries() []Entry { return c.entries }
