package config

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/edumatrix/interlink/services/internal/apikey"
)

const (
	defaultDrainDelay  = 5 * time.Second
	defaultDrainSpread = 10 * time.Second
)

// The values of development mode. They are public, which is why nothing but INTERLINK_DEV puts them in place.
const (
	DevSecret = "interlink-development-secret-for-laptops-only"
	DevAPIKey = "interlink-development-key"
)

// resumeMargin is what a lost connection may need beyond its heartbeats until both sides know of it.
const resumeMargin = 5 * time.Second

func (c *Config) deriveDev() {
	secretOf := func(s Secret, name, value string) Secret {
		if s.Set() {
			return s
		}
		return s.with(source{name: name, text: value})
	}
	c.Auth.Secrets = secretOf(c.Auth.Secrets, "AUTH_SECRET", DevSecret)
	c.Auth.JWTSecrets = secretOf(c.Auth.JWTSecrets, "JWT_SECRET", DevSecret)
	c.Keys.API = secretOf(c.Keys.API, "INTERNAL_API_KEY", DevAPIKey)
	if !c.given["INTERLINK_ADMIN_ADDR"] {
		c.Ports.Admin = "127.0.0.1:0"
	}
}

// check finds what is missing or does not go together for the role.
func (c *Config) check() []error {
	errs := c.checkKeys()
	errs = append(errs, c.checkTLS()...)
	if c.Role == Gateway || c.Role == Serve {
		errs = append(errs, c.checkGateway()...)
	}
	if c.Role != Serve {
		errs = append(errs, c.checkPeers()...)
	}
	if (c.Role == Router) && len(c.Kafka.Brokers) == 0 {
		errs = append(errs, errors.New("KAFKA_BROKERS: not set, the router reads and writes there; expected host:port, several separated by commas"))
	}
	if (c.Role == Presence) && len(c.Redis.Addrs) == 0 {
		errs = append(errs, errors.New("REDIS_URL: not set, presence keeps its state there; expected redis://[user:password@]host[:port][/db] (or REDIS_HOST)"))
	}
	if c.Kafka.SASL != "" && (c.Kafka.Username == "" || c.Kafka.Password == "") {
		errs = append(errs, errors.New("INTERLINK_KAFKA_SASL: set without INTERLINK_KAFKA_USERNAME and INTERLINK_KAFKA_PASSWORD, both are expected"))
	}
	if c.Redis.Mode == "sentinel" && (c.Redis.Master == "" || len(c.Redis.Addrs) == 0) {
		errs = append(errs, errors.New("INTERLINK_REDIS_MODE=sentinel: INTERLINK_REDIS_MASTER and INTERLINK_REDIS_ADDRS are expected with it"))
	}
	if c.Redis.Mode == "cluster" && (len(c.Redis.Addrs) == 0 || c.Redis.DB != 0) {
		errs = append(errs, errors.New("INTERLINK_REDIS_MODE=cluster: INTERLINK_REDIS_ADDRS is expected with it, and REDIS_DB 0"))
	}
	return errs
}

func (c *Config) checkKeys() []error {
	var errs []error
	for _, key := range c.Keys.API.Values() {
		if !apikey.Usable(key) {
			errs = append(errs, fmt.Errorf("INTERNAL_API_KEY, SOCKETIO_API_KEY or SOCKET_IO_SERVER_TOKEN: %q is a word that everybody can read in the platform's source, expected one of your own, such as `openssl rand -hex 32` prints", key))
		}
	}
	needed := c.Role == Router || c.Role == Serve || (c.Role == Gateway && !c.Keys.Cursor.Set())
	if needed && !c.Keys.API.Set() {
		why := "Next.js publishes with it"
		if c.Role == Gateway {
			why = "cursors are signed with a key made of it, unless INTERLINK_CURSOR_KEY is set"
		}
		errs = append(errs, fmt.Errorf("INTERNAL_API_KEY: not set, %s; expected the same value as in Next.js, such as `openssl rand -hex 32` prints (INTERLINK_DEV=1 brings one for a laptop)", why))
	}
	return errs
}

func (c *Config) checkTLS() []error {
	files := 0
	for _, f := range []string{c.TLS.CertFile, c.TLS.KeyFile, c.TLS.CAFile} {
		if f != "" {
			files++
		}
	}
	if files != 0 && files != 3 {
		return []error{errors.New("INTERLINK_TLS_CERT, INTERLINK_TLS_KEY and INTERLINK_TLS_CA: expected all three or none")}
	}
	return nil
}

func (c *Config) checkGateway() []error {
	var errs []error
	a := c.Auth
	if !a.Secrets.Set() && !a.DerivedKeys.Set() && !a.JWTSecrets.Set() && a.SessionURL == "" {
		errs = append(errs, errors.New("AUTH_SECRET: not set, and none of NEXTAUTH_SECRET, INTERLINK_NEXTAUTH_KEY, JWT_SECRET and INTERLINK_SESSION_URL is: nobody could sign in; expected the value that Next.js has (INTERLINK_DEV=1 brings one for a laptop)"))
	}
	g := c.Gateway
	if need := 2*g.PingInterval + g.PingTimeout + resumeMargin; need > c.Resume.Window {
		errs = append(errs, fmt.Errorf("INTERLINK_RESUME_WINDOW: %s is too short for INTERLINK_PING_INTERVAL %s and INTERLINK_PING_TIMEOUT %s: a silent client's cursor would be too old when the loss is noticed; expected %s or more (twice the interval, the timeout and 5s)",
			c.Resume.Window, g.PingInterval, g.PingTimeout, need))
	}
	if g.PingInterval <= 0 || g.PingTimeout <= 0 {
		errs = append(errs, errors.New("INTERLINK_PING_INTERVAL and INTERLINK_PING_TIMEOUT: expected more than 0s"))
	}
	if len(c.Public.Origins) > 1 {
		for _, o := range c.Public.Origins {
			if o == "*" {
				errs = append(errs, errors.New("SOCKET_IO_CORS_ORIGIN: expected * alone or a list of origins, not both"))
			}
		}
	}
	if strings.Contains(c.Peers.GatewayID, ".") {
		errs = append(errs, fmt.Errorf("INTERLINK_GATEWAY_ID: expected a name without dots, not %q", c.Peers.GatewayID))
	}
	return errs
}

func (c *Config) checkPeers() []error {
	need := map[Role][]struct {
		name string
		have []string
		what string
	}{
		Gateway:  {{"INTERLINK_ROUTERS", c.Peers.Routers, "the routers' gRPC addresses"}, {"INTERLINK_PRESENCE", c.Peers.Presence, "presence's gRPC addresses"}},
		Router:   {{"INTERLINK_GATEWAYS", c.Peers.Gateways, "the gateways' gRPC addresses"}, {"INTERLINK_PRESENCE", c.Peers.Presence, "presence's gRPC addresses"}},
		Presence: {{"INTERLINK_ROUTERS", c.Peers.Routers, "the routers' gRPC addresses"}},
	}
	var errs []error
	for _, peer := range need[c.Role] {
		if len(peer.have) == 0 {
			errs = append(errs, fmt.Errorf("%s: not set; expected %s, host:port separated by commas or one dns:///name:port (`interlink serve` is all services in one process and needs none)", peer.name, peer.what))
		}
	}
	return errs
}
