package render

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/edumatrix/interlink/operator/api/v1alpha1"
)

// setting gives a name of the services' environment its value from a field of the spec. An empty value leaves it out.
type setting struct {
	name  string
	field string // for people: where the value is from
	of    []Component
	value func(r renderer) string
}

var (
	everyone     = []Component{Gateway, Router, Presence}
	gatewayOnly  = []Component{Gateway}
	routerOnly   = []Component{Router}
	presenceOnly = []Component{Presence}
)

// Where files are mounted.
const (
	keysDir  = "/etc/interlink/keys"
	tlsDir   = "/etc/interlink/tls"
	kafkaDir = "/etc/interlink/kafka"
	redisDir = "/etc/interlink/redis"
	mapDir   = "/etc/interlink/mapping"
)

// NoField is every name of the services' environment that deliberately has no field, and why. A test compares settings
// and NoField with what the services know.
func NoField() map[string]string {
	const ports, twin = "ports inside pods are nobody's concern", "another name for one that has a field"
	return map[string]string{
		"SOCKET_IO_PORT": ports, "SOCKET_IO_HOST": ports, "INTERLINK_HTTP_ADDR": ports, "INTERLINK_GRPC_ADDR": ports, "INTERLINK_ADMIN_ADDR": ports,
		"NEXTAUTH_SECRET": twin, "NEXTAUTH_URL_INTERNAL": twin, "SOCKETIO_API_KEY": twin, "SOCKET_IO_SERVER_TOKEN": twin,
		"REDIS_URL": twin, "REDIS_HOST": twin, "REDIS_PORT": twin,
		"INTERLINK_ADVERTISE_ADDR": "the pod's address is right", "INTERLINK_GATEWAY_ID": "the pod's name is right",
		"INTERLINK_DEV": "for laptops", "INTERLINK_DATA_DIR": "only the embedded broker writes",
	}
}

func peersOf(c Component) func(renderer) string {
	return func(r renderer) string {
		return fmt.Sprintf("dns:///%s.%s.svc:%d", Name(r.resource.Name, c)+"-peers", r.resource.Namespace, c.grpcPort())
	}
}

func number[T int32 | int64](get func(*v1alpha1.RealtimeGatewaySpec) T) func(renderer) string {
	return func(r renderer) string { return strconv.FormatInt(int64(get(r.spec)), 10) }
}

func seconds(get func(*v1alpha1.RealtimeGatewaySpec) int32) func(renderer) string {
	return func(r renderer) string { return strconv.Itoa(int(get(r.spec))) + "s" }
}

func text(get func(*v1alpha1.RealtimeGatewaySpec) string) func(renderer) string {
	return func(r renderer) string { return get(r.spec) }
}

// file is a path, where there is something at it.
func file(path string, when func(*v1alpha1.RealtimeGatewaySpec) bool) func(renderer) string {
	return func(r renderer) string {
		if when(r.spec) {
			return path
		}
		return ""
	}
}

func truth(when func(*v1alpha1.RealtimeGatewaySpec) bool) func(renderer) string {
	return file("true", when)
}

type spec = v1alpha1.RealtimeGatewaySpec

func tlsOn(s *spec) bool { return s.Security.InternalTLS.Mode != v1alpha1.TLSDisabled }

func settings() []setting {
	var all []setting
	for _, group := range [][]setting{whoSettings(), outsideSettings(), peerSettings(), gatewaySettings(), presenceSettings()} {
		all = append(all, group...)
	}
	return all
}

func whoSettings() []setting {
	return []setting{
		{"LOG_LEVEL", "observability.logLevel", everyone, text(func(s *spec) string { return s.Observability.LogLevel })},
		{"SOCKET_IO_CORS_ORIGIN", "cors.origins", gatewayOnly, text(func(s *spec) string { return strings.Join(s.CORS.Origins, ",") })},
		{"INTERLINK_TRUSTED_PROXIES", "exposure.trustedProxies", gatewayOnly, text(func(s *spec) string { return strings.Join(s.Exposure.TrustedProxies, ",") })},
		{"AUTH_SECRET_FILE", "auth.nextAuth.current", gatewayOnly, file(keysDir+"/"+RingNextAuth, func(s *spec) bool { return s.Auth.NextAuth != nil && s.Auth.NextAuth.Current != nil })},
		{"INTERLINK_NEXTAUTH_KEY_FILE", "auth.nextAuth.derivedKey", gatewayOnly, file(keysDir+"/"+RingDerived, func(s *spec) bool { return s.Auth.NextAuth != nil && s.Auth.NextAuth.DerivedKey != nil })},
		{"JWT_SECRET_FILE", "auth.jwt", gatewayOnly, file(keysDir+"/"+RingJWT, func(s *spec) bool { return s.Auth.JWT != nil })},
		{"INTERNAL_API_KEY_FILE", "auth.internalApiKey", []Component{Gateway, Router}, file(keysDir+"/"+RingAPI, func(*spec) bool { return true })},
		{"INTERLINK_CURSOR_KEY_FILE", "auth.cursorKey", gatewayOnly, file(keysDir+"/"+RingCursor, func(*spec) bool { return true })},
		{"INTERLINK_NEXTAUTH_VERSION", "auth.nextAuth.version", gatewayOnly, nextAuth(func(n *v1alpha1.NextAuthSpec) string { return strconv.Itoa(int(n.Version)) })},
		{"INTERLINK_NEXTAUTH_COOKIE", "auth.nextAuth.cookies", gatewayOnly, nextAuth(func(n *v1alpha1.NextAuthSpec) string { return strings.Join(n.Cookies, ",") })},
		{"NEXTAUTH_URL", "auth.nextAuth.url", gatewayOnly, nextAuth(func(n *v1alpha1.NextAuthSpec) string { return n.URL })},
		{"API_BASE_URL", "auth.apiBaseURL", gatewayOnly, text(func(s *spec) string { return s.Auth.APIBaseURL })},
		{"INTERLINK_SESSION_URL", "auth.sessionURL", gatewayOnly, text(func(s *spec) string { return s.Auth.SessionURL })},
		{"INTERLINK_AUTHORIZE_URL", "auth.authorizeURL", gatewayOnly, text(func(s *spec) string { return s.Auth.AuthorizeURL })},
	}
}

func nextAuth(get func(*v1alpha1.NextAuthSpec) string) func(renderer) string {
	return func(r renderer) string {
		if r.spec.Auth.NextAuth == nil {
			return ""
		}
		return get(r.spec.Auth.NextAuth)
	}
}

func outsideSettings() []setting {
	hasSASL := func(s *spec) bool { return s.Kafka.SASL != nil }
	return []setting{
		{"KAFKA_BROKERS", "kafka.brokers", routerOnly, text(func(s *spec) string { return strings.Join(s.Kafka.Brokers, ",") })},
		{"INTERLINK_TOPIC_PREFIX", "kafka.topicPrefix", routerOnly, text(func(s *spec) string { return s.Kafka.TopicPrefix })},
		{"INTERLINK_CREATE_TOPICS", "kafka.topics", routerOnly, text(func(s *spec) string { return strconv.FormatBool(s.Kafka.Topics == v1alpha1.TopicsCreate) })},
		{"INTERLINK_KAFKA_SESSION_TIMEOUT", "kafka.sessionTimeoutSeconds", routerOnly, seconds(func(s *spec) int32 { return s.Kafka.SessionTimeoutSeconds })},
		{"INTERLINK_KAFKA_TLS", "kafka.tls", routerOnly, truth(func(s *spec) bool { return s.Kafka.TLS != nil })},
		{"INTERLINK_KAFKA_CA", "kafka.tls.ca", routerOnly, file(kafkaDir+"/ca.crt", func(s *spec) bool { return s.Kafka.TLS != nil && s.Kafka.TLS.CA != nil })},
		{"INTERLINK_KAFKA_SASL", "kafka.sasl.mechanism", routerOnly, text(func(s *spec) string {
			if s.Kafka.SASL == nil {
				return ""
			}
			return strings.ToLower(s.Kafka.SASL.Mechanism)
		})},
		{"INTERLINK_KAFKA_USERNAME_FILE", "kafka.sasl.username", routerOnly, file(kafkaDir+"/username", hasSASL)},
		{"INTERLINK_KAFKA_PASSWORD_FILE", "kafka.sasl.password", routerOnly, file(kafkaDir+"/password", hasSASL)},
		{"INTERLINK_REDIS_MODE", "redis.mode", presenceOnly, text(func(s *spec) string { return strings.ToLower(string(s.Redis.Mode)) })},
		{"INTERLINK_REDIS_ADDRS", "redis.addresses", presenceOnly, text(func(s *spec) string { return strings.Join(s.Redis.Addresses, ",") })},
		{"INTERLINK_REDIS_MASTER", "redis.sentinelMaster", presenceOnly, text(func(s *spec) string { return s.Redis.SentinelMaster })},
		{"INTERLINK_REDIS_USERNAME_FILE", "redis.username", presenceOnly, file(redisDir+"/username", func(s *spec) bool { return s.Redis.Username != nil })},
		{"REDIS_PASSWORD_FILE", "redis.password", presenceOnly, file(redisDir+"/password", func(s *spec) bool { return s.Redis.Password != nil })},
		{"REDIS_DB", "redis.database", presenceOnly, number(func(s *spec) int32 { return s.Redis.Database })},
		{"INTERLINK_REDIS_TLS", "redis.tls", presenceOnly, truth(func(s *spec) bool { return s.Redis.TLS != nil })},
		{"INTERLINK_REDIS_CA", "redis.tls.ca", presenceOnly, file(redisDir+"/ca.crt", func(s *spec) bool { return s.Redis.TLS != nil && s.Redis.TLS.CA != nil })},
		{"INTERLINK_REDIS_PREFIX", "redis.prefix", presenceOnly, text(func(s *spec) string { return s.Redis.Prefix })},
	}
}

func peerSettings() []setting {
	return []setting{
		{"INTERLINK_GATEWAYS", "metadata.name", routerOnly, peersOf(Gateway)},
		{"INTERLINK_ROUTERS", "metadata.name", []Component{Gateway, Presence}, peersOf(Router)},
		{"INTERLINK_PRESENCE", "metadata.name", []Component{Gateway, Router}, peersOf(Presence)},
		{"INTERLINK_TLS_CERT", "security.internalTLS", everyone, file(tlsDir+"/tls.crt", tlsOn)},
		{"INTERLINK_TLS_KEY", "security.internalTLS", everyone, file(tlsDir+"/tls.key", tlsOn)},
		{"INTERLINK_TLS_CA", "security.internalTLS", everyone, file(tlsDir+"/ca.crt", tlsOn)},
		{"INTERLINK_MAPPING", "router.mapping", []Component{Gateway, Router}, file(mapDir+"/mapping.yaml", func(s *spec) bool { return s.Router.Mapping != nil })},
		{"INTERLINK_LOG_BYTES", "router.logBytes", routerOnly, number(func(s *spec) int64 { return s.Router.LogBytes })},
	}
}

func gatewaySettings() []setting {
	return []setting{
		{"INTERLINK_PING_INTERVAL", "gateway.heartbeat.intervalSeconds", gatewayOnly, seconds(func(s *spec) int32 { return s.Gateway.Heartbeat.IntervalSeconds })},
		{"INTERLINK_PING_TIMEOUT", "gateway.heartbeat.timeoutSeconds", gatewayOnly, seconds(func(s *spec) int32 { return s.Gateway.Heartbeat.TimeoutSeconds })},
		{"INTERLINK_CONNECT_TIMEOUT", "gateway.limits.connectTimeoutSeconds", gatewayOnly, seconds(func(s *spec) int32 { return s.Gateway.Limits.ConnectTimeoutSeconds })},
		{"INTERLINK_MAX_PAYLOAD", "gateway.limits.maxPayload", gatewayOnly, number(func(s *spec) int64 { return s.Gateway.Limits.MaxPayload })},
		{"INTERLINK_SOCKET_QUEUE_BYTES", "gateway.limits.socketQueueBytes", gatewayOnly, number(func(s *spec) int64 { return s.Gateway.Limits.SocketQueueBytes })},
		{"INTERLINK_SOCKET_QUEUE_EVENTS", "gateway.limits.socketQueueEvents", gatewayOnly, number(func(s *spec) int32 { return s.Gateway.Limits.SocketQueueEvents })},
		{"INTERLINK_MAX_SOCKETS", "gateway.scaling.connections.maxPerPod", gatewayOnly, number(func(s *spec) int32 { return s.Gateway.Scaling.Connections.MaxPerPod })},
		{"INTERLINK_CONNECT_RATE", "gateway.limits.connectRate", gatewayOnly, number(func(s *spec) int32 { return s.Gateway.Limits.ConnectRate })},
		{"INTERLINK_ROOMS_PER_SOCKET", "gateway.limits.roomsPerSocket", gatewayOnly, number(func(s *spec) int32 { return s.Gateway.Limits.RoomsPerSocket })},
		{"INTERLINK_EVENTS_PER_SECOND", "gateway.limits.eventsPerSecond", gatewayOnly, number(func(s *spec) int32 { return s.Gateway.Limits.EventsPerSecond })},
		{"INTERLINK_CLIENT_EVENTS", "gateway.limits.clientEvents", gatewayOnly, text(func(s *spec) string { return strings.Join(s.Gateway.Limits.ClientEvents, ",") })},
		{"INTERLINK_DRAIN_DELAY", "gateway.drain.endpointDelaySeconds", gatewayOnly, seconds(func(s *spec) int32 { return s.Gateway.Drain.EndpointDelaySeconds })},
		{"INTERLINK_DRAIN_SPREAD", "gateway.drain.spreadSeconds", gatewayOnly, seconds(func(s *spec) int32 { return s.Gateway.Drain.SpreadSeconds })},
		{"INTERLINK_RESUME_WINDOW", "gateway.resume.windowSeconds", []Component{Gateway, Router}, seconds(func(s *spec) int32 { return s.Gateway.Resume.WindowSeconds })},
		{"INTERLINK_RESUME_EVENTS", "gateway.resume.events", gatewayOnly, number(func(s *spec) int32 { return s.Gateway.Resume.Events })},
		{"INTERLINK_RESUME_BYTES", "gateway.resume.bytes", gatewayOnly, number(func(s *spec) int64 { return s.Gateway.Resume.Bytes })},
	}
}

func presenceSettings() []setting {
	return []setting{
		{"INTERLINK_PRESENCE_LEASE", "presence.leaseSeconds", []Component{Gateway, Presence}, seconds(func(s *spec) int32 { return s.Presence.LeaseSeconds })},
		{"INTERLINK_PRESENCE_GRACE", "presence.graceSeconds", presenceOnly, seconds(func(s *spec) int32 { return s.Presence.GraceSeconds })},
		{"INTERLINK_TYPING_TTL", "presence.typingSeconds", presenceOnly, seconds(func(s *spec) int32 { return s.Presence.TypingSeconds })},
		{"INTERLINK_INBOX_EVENTS", "presence.inbox.events", presenceOnly, number(func(s *spec) int32 { return s.Presence.Inbox.Events })},
		{"INTERLINK_INBOX_TTL", "presence.inbox.keepSeconds", []Component{Router, Presence}, seconds(func(s *spec) int32 { return s.Presence.Inbox.KeepSeconds })},
		{"INTERLINK_UNDELIVERED_AFTER", "presence.inbox.undeliveredAfterSeconds", presenceOnly, seconds(func(s *spec) int32 { return s.Presence.Inbox.UndeliveredAfterSeconds })},
	}
}
