package schematest_test

import (
	"os"
	"strings"
	"testing"

	"github.com/edumatrix/interlink/operator/api/v1alpha1"
	"github.com/edumatrix/interlink/operator/internal/schematest"
)

const crd = "../../../charts/interlink/files/realtime.edumatrix.io_realtimegateways.yaml"

// smallest is a whole resource.
const smallest = `
apiVersion: realtime.edumatrix.io/v1alpha1
kind: RealtimeGateway
metadata: {name: chat, namespace: realtime}
spec:
  version: 0.3.0
  kafka: {brokers: ["kafka:9092"]}
  redis: {addresses: ["redis:6379"]}
  auth:
    nextAuth: {current: {name: next, key: AUTH_SECRET}}
  cors: {origins: ["https://app.example.com"]}
  exposure: {hosts: [rt.example.com], ingress: {className: traefik}}
`

func load(t *testing.T) *schematest.Schema {
	t.Helper()
	s, err := schematest.Load(crd)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheCRDIsSmall(t *testing.T) {
	info, err := os.Stat(crd)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 120_000 {
		t.Errorf("%d bytes, more than 120,000", info.Size())
	}
}

func TestTheSmallestResourceIsAWholeOne(t *testing.T) {
	var rtg v1alpha1.RealtimeGateway
	if err := load(t).Parse([]byte(smallest), &rtg); err != nil {
		t.Fatal(err)
	}
	s := rtg.Spec
	if s.Gateway.Scaling.Mode != v1alpha1.ScalingConnections || s.Gateway.Scaling.Connections.MinReplicas != 2 || s.Gateway.Drain.SpreadSeconds != 240 ||
		s.Gateway.PDB.MaxUnavailable != 1 || s.Router.Scaling.KafkaLag.MaxReplicas != 12 || s.Presence.Replicas != 2 || s.Kafka.TopicPrefix != "interlink" ||
		s.Redis.Prefix != "interlink:" || s.Auth.InternalAPIKey.Managed == nil || s.Auth.InternalAPIKey.Managed.Rotation != v1alpha1.RotationManual ||
		s.Security.InternalTLS.Mode != v1alpha1.TLSManaged || s.Security.InternalTLS.CertificateDays != 90 || s.Observability.LogLevel != "info" || s.Auth.NextAuth.Version != 5 {
		t.Errorf("defaults: %+v", s)
	}
}

// set puts a value at a path of an object.
func set(object map[string]any, path string, value any) {
	parts := strings.Split(path, ".")
	for _, p := range parts[:len(parts)-1] {
		next, ok := object[p].(map[string]any)
		if !ok {
			next = map[string]any{}
			object[p] = next
		}
		object = next
	}
	if last := parts[len(parts)-1]; value == nil {
		delete(object, last)
	} else {
		object[last] = value
	}
}

func parse(t *testing.T, text string) any {
	t.Helper()
	value, err := schematest.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestWrongResourcesAreRefusedWithTheFieldsName(t *testing.T) {
	s := load(t)
	for name, tc := range map[string]struct{ path, value, want string }{
		"no version":                              {"version", "null", "spec.version"},
		"a version with blanks":                   {"version", "0.3 beta", "spec.version"},
		"no brokers":                              {"kafka.brokers", "[]", "spec.kafka.brokers"},
		"a broker without a port":                 {"kafka.brokers", "[kafka]", "spec.kafka.brokers[0]"},
		"a broker twice":                          {"kafka.brokers", "['k:1', 'k:1']", "spec.kafka.brokers[1]"},
		"an unknown SASL mechanism":               {"kafka.sasl", "{mechanism: GSSAPI, username: {name: a, key: b}, password: {name: a, key: b}}", "spec.kafka.sasl.mechanism"},
		"SASL without a password":                 {"kafka.sasl", "{mechanism: PLAIN, username: {name: a, key: b}}", "spec.kafka.sasl.password"},
		"Sentinel without a master":               {"redis.mode", "Sentinel", "redis.sentinelMaster"},
		"two addresses of a single Redis":         {"redis.addresses", "['a:1', 'b:1']", "redis.addresses"},
		"a database of a Redis Cluster":           {"redis", "{mode: Cluster, addresses: ['a:1'], database: 3}", "redis.database"},
		"nobody can sign in":                      {"auth.nextAuth", "null", "auth: nobody could sign in"},
		"a NextAuth secret and a derived key":     {"auth.nextAuth.derivedKey", "{name: a, key: b}", "auth.nextAuth.current"},
		"a NextAuth of version 3":                 {"auth.nextAuth.version", "3", "spec.auth.nextAuth.version"},
		"an API key of one's own and a managed":   {"auth.internalApiKey", "{secret: {name: a, key: b}, managed: {}}", "auth.internalApiKey"},
		"an overlap longer than the rotation":     {"auth.cursorKey", "{rotation: Scheduled, rotationDays: 1, overlapHours: 30}", "overlapHours"},
		"more pods at least than at most":         {"gateway.scaling.connections", "{minReplicas: 9, maxReplicas: 3}", "gateway.scaling.connections.minReplicas"},
		"a target above the cap":                  {"gateway.scaling.connections", "{targetPerPod: 20000}", "gateway.scaling.connections.targetPerPod"},
		"an unknown scaling mode":                 {"gateway.scaling.mode", "CPU", "spec.gateway.scaling.mode"},
		"a grace shorter than the drain":          {"gateway.drain", "{spreadSeconds: 290}", "gateway.drain.gracePeriodSeconds"},
		"a resume window shorter than two pings":  {"gateway.resume", "{windowSeconds: 60}", "gateway.resume.windowSeconds"},
		"a disruption budget of none":             {"gateway.pdb", "{maxUnavailable: 0}", "spec.gateway.pdb.maxUnavailable"},
		"more routers at least than at most":      {"router.scaling.kafkaLag", "{minReplicas: 13}", "router.scaling.kafkaLag.minReplicas"},
		"a mapping without a key":                 {"router.mapping", "{name: m}", "spec.router.mapping.key"},
		"any origin beside a named one":           {"cors.origins", "['*', 'https://a.example']", "cors.origins"},
		"an origin that is a path":                {"cors.origins", "['https://a.example/chat']", "spec.cors.origins[0]"},
		"a route and an ingress":                  {"exposure.httpRoute", "{parentRefs: [{name: public}]}", "exposure.ingress"},
		"an ingress without a host":               {"exposure.hosts", "null", "exposure.hosts"},
		"a host in capitals":                      {"exposure.hosts", "[RT.example.com]", "spec.exposure.hosts[0]"},
		"cert-manager without an issuer":          {"security.internalTLS", "{mode: CertManager}", "security.internalTLS.issuerRef"},
		"an issuer without cert-manager":          {"security.internalTLS", "{mode: Managed, issuerRef: {name: a}}", "security.internalTLS.issuerRef"},
		"a namespace selector that selects all":   {"security.networkPolicy", "{ingressFrom: [{namespaceLabels: {}}]}", "spec.security.networkPolicy.ingressFrom[0].namespaceLabels"},
		"a text where a number is expected":       {"presence.replicas", "two", "spec.presence.replicas"},
		"an unknown log level":                    {"observability.logLevel", "loud", "spec.observability.logLevel"},
		"a client event with a comma in its name": {"gateway.limits.clientEvents", "['a,b']", "spec.gateway.limits.clientEvents[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			object := parse(t, smallest).(map[string]any)
			set(object, "spec."+tc.path, parse(t, tc.value))
			s.Default(object)
			err := s.Validate(object, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("want %q in: %v", tc.want, err)
			}
		})
	}
}

func TestWhatCannotBeChanged(t *testing.T) {
	s := load(t)
	for path, value := range map[string]any{"kafka.topicPrefix": "other", "redis.mode": "Cluster"} {
		old, object := parse(t, smallest).(map[string]any), parse(t, smallest).(map[string]any)
		set(object, "spec."+path, value)
		s.Default(old)
		s.Default(object)
		if err := s.Validate(object, old); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
