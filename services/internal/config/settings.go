package config

// setting is one name of the environment.
type setting struct {
	name    string
	group   string
	want    string // what a value must look like, as in "expected …"
	def     string // the default, written as a value would be; empty: unset
	defText string // the default in words where it depends on something else
	doc     string
	secret  bool
	set     func(source) error // stores the value; nil for a name that is read together with others
}

// The groups of settings, in the order of the documentation.
const (
	groupPublic  = "The public port"
	groupAuth    = "Who may connect, and where to"
	groupKeys    = "Keys"
	groupKafka   = "Kafka"
	groupRedis   = "Redis"
	groupRoles   = "Ports and the other services"
	groupLimits  = "Sockets"
	groupResume  = "Reconnects"
	groupOnline  = "Presence"
	groupProcess = "The process"
)

// settings binds every name to its place in c.
func settings(c *Config) []setting {
	var all []setting
	for _, group := range []func(*Config) []setting{
		publicSettings, authSettings, keySettings, kafkaSettings, redisSettings,
		roleSettings, limitSettings, resumeSettings, presenceSettings, processSettings,
	} {
		all = append(all, group(c)...)
	}
	return all
}

func publicSettings(c *Config) []setting {
	return in(groupPublic,
		port("SOCKET_IO_PORT", &c.Public.Port, "3001", "The port for browsers; in the one binary also for `/v1`, `/api/emit` and `/health`."),
		text("SOCKET_IO_HOST", &c.Public.Host, "0.0.0.0", "The address to listen on."),
		origins("SOCKET_IO_CORS_ORIGIN", &c.Public.Origins, "Pages that may connect from another host, compared exactly. The page's own host always may.").
			defaultsTo("the origin of `NEXTAUTH_URL`, else `http://localhost:3000`"),
		prefixes("INTERLINK_TRUSTED_PROXIES", &c.Public.TrustedProxies, "Proxies whose `X-Forwarded-For` is believed."),
	)
}

func authSettings(c *Config) []setting {
	return in(groupAuth,
		secret("AUTH_SECRET", &c.Auth.Secrets, "NextAuth's secret, the same as in Next.js. Several while it is being rotated, the new one first."),
		secret("NEXTAUTH_SECRET", &c.Auth.Secrets, "The same under its older name; both are used."),
		secret("INTERLINK_NEXTAUTH_KEY", &c.Auth.DerivedKeys, "Instead of the secret, the key made of it: `KEY`, or `COOKIENAME=KEY`; base64 or hex."),
		secret("JWT_SECRET", &c.Auth.JWTSecrets, "Signs plain HS256 tokens and tickets; 32 bytes or more."),
		number("INTERLINK_NEXTAUTH_VERSION", &c.Auth.NextAuthVersion, "5", 4, 5, "The version of NextAuth that seals the sessions."),
		list("INTERLINK_NEXTAUTH_COOKIE", &c.Auth.Cookies, "", "Names of the session cookie; the first that a request has decides.").
			defaultsTo("the names that the version uses"),
		address("NEXTAUTH_URL", &c.Auth.NextAuthURL, "The public address of Next.js."),
		address("API_BASE_URL", &c.Auth.APIBaseURL, "Next.js as Interlink reaches it.").defaultsTo("`NEXTAUTH_URL_INTERNAL`"),
		known("NEXTAUTH_URL_INTERNAL", "The same under the name that NextAuth uses."),
		address("INTERLINK_SESSION_URL", &c.Auth.SessionURL, "Where to ask about sessions that are kept in a database.").
			defaultsTo("`API_BASE_URL` + `/api/auth/session`"),
		address("INTERLINK_AUTHORIZE_URL", &c.Auth.AuthorizeURL, "Where to ask who may do what in a room. Unset: own rooms, and what a token grants."),
		list("INTERLINK_CLIENT_EVENTS", &c.Auth.ClientEvents, "", "Events that browsers may publish to the `client-events` topic."),
	)
}

func keySettings(c *Config) []setting {
	return in(groupKeys,
		secret("INTERNAL_API_KEY", &c.Keys.API, "What Next.js publishes with over HTTP."),
		secret("SOCKETIO_API_KEY", &c.Keys.API, "Another name for it; every key of all three is good."),
		secret("SOCKET_IO_SERVER_TOKEN", &c.Keys.API, "A third name for it."),
		secret("INTERLINK_CURSOR_KEY", &c.Keys.Cursor, "Signs the cursors that browsers resume from; the first signs, all are taken.").
			defaultsTo("made from `INTERNAL_API_KEY`"),
	)
}

func kafkaSettings(c *Config) []setting {
	return in(groupKafka,
		addresses("KAFKA_BROKERS", &c.Kafka.Brokers, "The brokers. Unset, `interlink serve` brings one of its own, for development."),
		text("INTERLINK_TOPIC_PREFIX", &c.Kafka.TopicPrefix, "interlink", "What the names of the topics begin with."),
		truth("INTERLINK_CREATE_TOPICS", &c.Kafka.CreateTopics, "Make missing topics at start.").defaultsTo("`true` in `interlink serve`, else `false`"),
		duration("INTERLINK_KAFKA_SESSION_TIMEOUT", &c.Kafka.SessionTimeout, "6s", "After what time a dead router's partitions go to another."),
		truth("INTERLINK_KAFKA_TLS", &c.Kafka.TLS, "Speak TLS to the brokers.").or("false"),
		text("INTERLINK_KAFKA_CA", &c.Kafka.CAFile, "", "File with the certificates that the brokers' are checked against.").defaultsTo("the system's"),
		oneOf("INTERLINK_KAFKA_SASL", &c.Kafka.SASL, "", "How to log in to the brokers.", "plain", "scram-sha-256", "scram-sha-512"),
		text("INTERLINK_KAFKA_USERNAME", &c.Kafka.Username, "", "The user of that."),
		hidden("INTERLINK_KAFKA_PASSWORD", &c.Kafka.Password, "And its password."),
	)
}

func redisSettings(c *Config) []setting {
	r := &c.Redis
	return in(groupRedis,
		known("REDIS_URL", "`redis://` or `rediss://` with everything in it. Unset together with `REDIS_HOST`, `interlink serve` brings a store of its own.").asSecret(),
		known("REDIS_HOST", "Or the host,"),
		known("REDIS_PORT", "its port,").or("6379"),
		hidden("REDIS_PASSWORD", &r.Password, "and the password."),
		text("INTERLINK_REDIS_USERNAME", &r.Username, "", "The user, where Redis has ACLs."),
		number("REDIS_DB", &r.DB, "0", 0, 1<<16, "The number of the database; 0 with a cluster."),
		oneOf("INTERLINK_REDIS_MODE", &r.Mode, "single", "How Redis is run.", "single", "sentinel", "cluster"),
		addresses("INTERLINK_REDIS_ADDRS", &r.Addrs, "The sentinels, or some nodes of the cluster."),
		text("INTERLINK_REDIS_MASTER", &r.Master, "", "The name that the sentinels watch."),
		truth("INTERLINK_REDIS_TLS", &r.TLS, "Speak TLS to Redis.").or("false"),
		text("INTERLINK_REDIS_CA", &r.CAFile, "", "File with the certificates that Redis' is checked against.").defaultsTo("the system's"),
		text("INTERLINK_REDIS_PREFIX", &r.Prefix, "interlink:", "What every key begins with."),
	)
}

func roleSettings(c *Config) []setting {
	return in(groupRoles,
		listen("INTERLINK_HTTP_ADDR", &c.Ports.HTTP, ":3002", "The router's HTTP API (`interlink serve` has it on the public port)."),
		listen("INTERLINK_GRPC_ADDR", &c.Ports.GRPC, "", "Where the other services reach this one.").
			defaultsTo("gateway `:9101`, router `:9102`, presence `:9103`; `interlink serve` picks loopback ports"),
		text("INTERLINK_ADVERTISE_ADDR", &c.Ports.Advertise, "", "The address to give others for it, `host:port`.").defaultsTo("this host's address"),
		listen("INTERLINK_ADMIN_ADDR", &c.Ports.Admin, ":9090", "`/livez`, `/readyz`, `/metrics`, `/debug/pprof/`. In development a free port of this machine."),
		peers("INTERLINK_GATEWAYS", &c.Peers.Gateways, "The gateways' gRPC addresses (router)."),
		peers("INTERLINK_ROUTERS", &c.Peers.Routers, "The routers' (gateway, presence)."),
		peers("INTERLINK_PRESENCE", &c.Peers.Presence, "Presence's (gateway, router)."),
		text("INTERLINK_GATEWAY_ID", &c.Peers.GatewayID, "", "The name of this gateway, unique and without dots.").defaultsTo("the host's name"),
		text("INTERLINK_TLS_CERT", &c.TLS.CertFile, "", "File with the certificate that the services show each other."),
		text("INTERLINK_TLS_KEY", &c.TLS.KeyFile, "", "File with its key."),
		text("INTERLINK_TLS_CA", &c.TLS.CAFile, "", "File with the authority that the others' certificates must come from."),
	)
}

func limitSettings(c *Config) []setting {
	g := &c.Gateway
	return in(groupLimits,
		duration("INTERLINK_PING_INTERVAL", &g.PingInterval, "25s", "Between two heartbeats."),
		duration("INTERLINK_PING_TIMEOUT", &g.PingTimeout, "20s", "How long the answer may take."),
		duration("INTERLINK_CONNECT_TIMEOUT", &g.ConnectTimeout, "10s", "How long a client may take to say who it is."),
		size("INTERLINK_MAX_PAYLOAD", &g.MaxPayload, "1MB", "The largest packet from a browser."),
		size("INTERLINK_SOCKET_QUEUE_BYTES", &g.QueueBytes, "512KiB", "What may wait for one socket; beyond it, it is closed and can resume."),
		number("INTERLINK_SOCKET_QUEUE_EVENTS", &g.QueueEvents, "2500", 1, 1<<20, "The same in events."),
		number("INTERLINK_MAX_SOCKETS", &g.MaxSockets, "0", 0, 10_000_000, "Sockets of one gateway; 0: as memory allows."),
		number("INTERLINK_CONNECT_RATE", &g.ConnectRate, "0", 0, 1_000_000, "New connections a second; 0: without a bound."),
		number("INTERLINK_ROOMS_PER_SOCKET", &g.RoomsPerSocket, "200", 1, 100_000, "Rooms of one socket."),
		number("INTERLINK_EVENTS_PER_SECOND", &g.EventsPerSecond, "50", 1, 1_000_000, "Events a second from one socket; twice as many at once."),
		duration("INTERLINK_DRAIN_DELAY", &g.DrainDelay, "", "After the signal to stop: how long new clients are still taken, until load balancers know.").
			defaultsTo("5s; `interlink serve` 0s"),
		duration("INTERLINK_DRAIN_SPREAD", &g.DrainSpread, "", "Over what time the sockets are then moved away.").defaultsTo("10s; `interlink serve` 0s"),
	)
}

func resumeSettings(c *Config) []setting {
	return in(groupResume,
		duration("INTERLINK_RESUME_WINDOW", &c.Resume.Window, "2m", "How long a client may be away and still lose nothing."),
		number("INTERLINK_RESUME_EVENTS", &c.Resume.Events, "4000", 1, 1_000_000, "How many events it may have missed."),
		size("INTERLINK_RESUME_BYTES", &c.Resume.Bytes, "4MiB", "The same in bytes."),
		size("INTERLINK_LOG_BYTES", &c.Router.LogBytes, "64MiB", "What a router keeps of one partition in memory."),
	)
}

func presenceSettings(c *Config) []setting {
	p := &c.Presence
	return in(groupOnline,
		duration("INTERLINK_PRESENCE_LEASE", &p.Lease, "9s", "After what time a gateway that says nothing counts as dead."),
		duration("INTERLINK_PRESENCE_GRACE", &p.Grace, "15s", "How long a user stays online after an abrupt loss."),
		duration("INTERLINK_TYPING_TTL", &p.TypingTTL, "6s", "After what time typing stops by itself."),
		number("INTERLINK_INBOX_EVENTS", &p.InboxEvents, "1000", 1, 1_000_000, "Events kept for one offline user."),
		duration("INTERLINK_INBOX_TTL", &p.InboxTTL, "168h", "How long they are kept."),
		duration("INTERLINK_UNDELIVERED_AFTER", &p.UndeliveredAfter, "60s", "After what time an event that nobody has received counts as undelivered."),
	)
}

func processSettings(c *Config) []setting {
	return in(groupProcess,
		level("LOG_LEVEL", &c.LogLevel, "info", "What is logged, as JSON on standard error."),
		text("INTERLINK_MAPPING", &c.Mapping, "", "YAML file that says how a platform speaks: its topics and events, its pages, its routes; for routers and gateways, e.g. config/edu-matrix.yaml."),
		truth("INTERLINK_DEV", &c.Dev, "Development: a fixed secret, every room open to everybody, a page at `/`. Never where others can reach it.").or("false"),
		text("INTERLINK_DATA_DIR", &c.DataDir, "", "Where the embedded broker keeps its log.").defaultsTo("`interlink` in the user's cache directory"),
	)
}
