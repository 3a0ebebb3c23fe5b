package gateway

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/edumatrix/interlink/services/gateway/internal/authorize"
	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/mapping"
)

// Authorize is how the permissions of rooms are found out; its Cache is the gateway's to set.
type Authorize = authorize.Options

// Template asks a route of the application about a room.
type Template = authorize.Template

// Options of New. Zero values mean the default in brackets.
type Options struct {
	ID            string       // names this gateway among the others; other characters than A-Z a-z 0-9 _ - become - [random]
	Listener      net.Listener // public HTTP; nil: not served, use Handler
	GRPCListener  net.Listener // Delivery and Relay; required
	AdvertiseAddr string       // host:port of GRPCListener as other gateways reach it [the listener's]

	Presence grpc.ClientConnInterface // the presence service; nil: none, as if it were away
	Routers  grpc.ClientConnInterface // Emit and Replay, balanced over all routers; nil: none
	// Dial makes connections to other gateways and to single routers; ServerOptions are of the gRPC server.
	Dial          []grpc.DialOption
	ServerOptions []grpc.ServerOption

	CursorKeys    [][]byte // the first signs, all verify; required
	Authenticator auth.Authenticator
	Authorize     Authorize
	APIKeys       func() [][]byte  // internal ones, by which the application itself may connect; nil: it may not
	Mapping       *mapping.Mapping // how the platform's pages speak, its addresses filled in; nil: as ours do

	Origins        []string
	Credentials    bool // cookies may come with requests of other origins
	TrustedProxies []netip.Prefix

	PingInterval   time.Duration // [25s]
	PingTimeout    time.Duration // [20s]
	ConnectTimeout time.Duration // for the CONNECT packet [10s]
	ResumeWindow   time.Duration // that a client may be away and still lose nothing [2m]
	ResumeEvents   int           // that it may have missed [4,000]
	ResumeBytes    int64         // and their bytes [4 MiB]

	MaxPayload      int64   // bytes of one message [1,000,000]
	QueueBytes      int64   // bytes that wait for one socket [512 KiB]
	QueueEvents     int     // events that wait for one socket [2,500]
	SendBuffer      int     // SO_SNDBUF [64 KiB]
	MaxSockets      int     // [no limit]
	ConnectRate     float64 // new sessions a second [no limit]
	RoomsPerSocket  int     // [200]
	EventsPerSecond float64 // of one socket, with a burst of twice as many [50]
	ClientEvents    []string

	PresenceLease time.Duration // [9s]
	DrainDelay    time.Duration // not ready, but accepting, before transports are closed [0]
	DrainSpread   time.Duration // over which they are closed [0]
	Dev           bool
	Portable      bool // without the poller

	Logger   *slog.Logger          // [discards]
	Registry prometheus.Registerer // [none]
}

func (o Options) withDefaults() (Options, error) {
	var errs []error
	if o.GRPCListener == nil {
		errs = append(errs, errors.New("GRPCListener is missing"))
	} else if o.AdvertiseAddr == "" {
		o.AdvertiseAddr = o.GRPCListener.Addr().String()
	}
	if o.Authenticator == nil {
		errs = append(errs, errors.New("the Authenticator is missing"))
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.ID == "" {
		o.ID = "gw-" + hex.EncodeToString(random(4))
	}
	o.ID = identifier(o.ID)
	set(&o.PingInterval, 25*time.Second)
	set(&o.PingTimeout, 20*time.Second)
	set(&o.ConnectTimeout, 10*time.Second)
	set(&o.ResumeWindow, 2*time.Minute)
	set(&o.RoomsPerSocket, 200)
	set(&o.EventsPerSecond, 50)
	set(&o.PresenceLease, 9*time.Second)
	if silence := 2*o.PingInterval + o.PingTimeout + slack; silence > o.ResumeWindow {
		errs = append(errs, fmt.Errorf("2 x ping interval + ping timeout + %v is %v, more than the resume window of %v: a client that comes back could not resume",
			slack, silence, o.ResumeWindow))
	}
	return o, errors.Join(errs...)
}

// slack is what a client takes to come back after it noticed.
const slack = 5 * time.Second

func set[T ~int | ~int64 | ~float64](value *T, otherwise T) {
	if *value == 0 {
		*value = otherwise
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it ends the process if the system has no randomness
	return b
}

const maxID = 64

func identifier(name string) string {
	name = strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' {
			return c
		}
		return '-'
	}, name)
	return name[:min(len(name), maxID)]
}
