//go:build cluster

package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edumatrix/interlink/test/checker"
	"github.com/edumatrix/interlink/test/harness"
	"github.com/edumatrix/interlink/test/load"
)

const resource = `
apiVersion: realtime.edumatrix.io/v1alpha1
kind: RealtimeGateway
metadata: {name: chat}
spec:
  version: 0.3.0
  gateway:
    scaling: {mode: Fixed}
    replicas: 2
    drain: {endpointDelaySeconds: 3, spreadSeconds: 8, gracePeriodSeconds: 30}
  kafka: {brokers: ["10.200.0.1:39092"]}
  redis: {addresses: ["10.200.0.1:36379"], password: {name: redis, key: password}}
  auth:
    jwt: {current: {name: jwt, key: key}, overlapHours: 1}
    internalApiKey: {secret: {name: api, key: key}, overlapHours: 1}
  exposure: {hosts: [localhost], ingress: {className: traefik}}
`

func number(name string, without int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return without
}

// storm is a load whose clients must see nothing of what the test does.
type storm struct {
	t   *testing.T
	run *load.Run
	end chan error
	out load.Published

	enough context.CancelFunc // for the publishers
}

func (n *node) storm(t *testing.T, url, brokers, name string, clients int) *storm {
	t.Helper()
	logs := filepath.Join(n.root, "test", "artifacts", "cluster")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		t.Fatal(err)
	}
	js := min(clients, 60)
	s := &storm{t: t, end: make(chan error, 1)}
	var err error
	s.run, err = load.Start(t.Context(), load.Target{Root: n.root, Logs: logs, URLs: []string{url}, Emit: []string{"http://" + inside + ":" + emitPort},
		Brokers: []string{brokers}, Topic: "interlink.events", Key: harness.APIKey},
		load.Plan{Name: name, JS: js, Go: clients - js, Workers: 1, Rooms: max(20, clients/10), RoomsPerSocket: 2, Rate: 40, Token: harness.Token, WebSocketOnly: clients > 500})
	if err != nil {
		t.Fatal(err)
	}
	publishing, cancel := context.WithCancel(t.Context())
	s.enough = cancel
	go func() {
		var err error
		s.out, err = s.run.Publish(publishing, time.Hour)
		s.end <- err
	}()
	return s
}

// stop ends the publishers and judges. Nothing may be lost, doubled or begun anew.
func (s *storm) stop() checker.Report {
	s.t.Helper()
	s.enough()
	if err := <-s.end; err != nil {
		s.t.Error(err)
	}
	v, err := s.run.Settle(s.t.Context())
	if err != nil {
		s.t.Error(err)
	}
	if err := s.run.Stop(); err != nil {
		s.t.Error(err)
	}
	s.t.Logf("%v; %d by Kafka, %d by HTTP (%d again, %d given up)", v.Report, s.out.Kafka, s.out.HTTP, s.out.Retried, s.out.Failed)
	if !v.Report.OK() || v.Report.Unrecovered > 0 || v.Report.Obliged == 0 || s.out.Failed > 0 {
		s.t.Errorf("clients saw something of it: %v", s.run.Failures())
	}
	return v.Report
}

func TestCluster(t *testing.T) {
	n, brokers := start(t)
	n.run("", "helm", "install", "interlink", "charts/interlink", "-n", "interlink-system", "--create-namespace", "--set", "interval=3s", "--wait", "--timeout", "60s")
	n.run("", "kubectl", "create", "namespace", namespace)
	n.run("", "kubectl", "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
	n.kubectl("create", "secret", "generic", "jwt", "--from-literal=key="+harness.JWTSecret)
	n.kubectl("create", "secret", "generic", "api", "--from-literal=key="+harness.APIKey)
	n.kubectl("create", "secret", "generic", "redis", "--from-literal=password=secret")
	n.apply(`{apiVersion: v1, kind: Service, metadata: {name: outside}, spec: {type: NodePort, selector: {app.kubernetes.io/component: router, app.kubernetes.io/instance: chat}, ports: [{port: 3002, nodePort: ` + emitPort + `}]}}`)
	begun := time.Now()
	n.apply(resource)
	n.eventually(60*time.Second, "show 1: Ready", func() bool { return n.get(`.status.conditions[?(@.type=="Ready")].status`) == "True" })
	t.Logf("show 1: Ready %v after apply", time.Since(begun).Round(time.Second))
	n.eventually(60*time.Second, "settled", n.settled)
	url := forward(t)
	for _, part := range []struct {
		name string
		run  func(t *testing.T, n *node, url, brokers string)
	}{
		{"wrong resources are refused with a sentence that names the field", refused},
		{"rollouts, evictions and deletions are not seen by clients", rollouts},
		{"the number of gateways follows the sockets", scales},
		{"keys are rotated without a refusal, a restart or a reconnect", rotates},
		{"what is wrong outside is a reason, and heals by itself", heals},
		{"another operator restarts nothing", upgrades},
		{"pods refuse whoever has no certificate of theirs", refusesStrangers},
		{"uninstalling leaves the CRD and no orphans", uninstalls},
	} {
		if !t.Run(part.name, func(t *testing.T) {
			n.t = t
			defer func() { n.t = t }()
			part.run(t, n, url, brokers)
		}) {
			break
		}
	}
	n.t = t
}

// refused: show 5, as the real API server says it; all of the rules are tested beside the schema.
func refused(t *testing.T, n *node, _, _ string) {
	for _, tc := range [][2]string{
		{`{"version":"a b"}`, "spec.version"},
		{`{"kafka":{"brokers":[]}}`, "spec.kafka.brokers"},
		{`{"kafka":{"brokers":["kafka"]}}`, "spec.kafka.brokers"},
		{`{"kafka":{"topicPrefix":"other"}}`, "kafka.topicPrefix"},
		{`{"kafka":{"sasl":{"mechanism":"GSSAPI","username":{"name":"a","key":"b"},"password":{"name":"a","key":"b"}}}}`, "spec.kafka.sasl.mechanism"},
		{`{"redis":{"mode":"Cluster"}}`, "redis.mode"},
		{`{"redis":{"sentinelMaster":"m"}}`, "redis.sentinelMaster"},
		{`{"redis":{"addresses":["a:1","b:1"]}}`, "redis.addresses"},
		{`{"auth":{"jwt":null}}`, "auth: nobody could sign in"},
		{`{"auth":{"nextAuth":{}}}`, "auth.nextAuth.current"},
		{`{"auth":{"internalApiKey":{"managed":{}}}}`, "auth.internalApiKey"},
		{`{"auth":{"cursorKey":{"rotationDays":1,"overlapHours":30}}}`, "overlapHours"},
		{`{"gateway":{"scaling":{"mode":"CPU"}}}`, "spec.gateway.scaling.mode"},
		{`{"gateway":{"scaling":{"connections":{"minReplicas":30}}}}`, "gateway.scaling.connections.minReplicas"},
		{`{"gateway":{"scaling":{"connections":{"targetPerPod":13000}}}}`, "gateway.scaling.connections.targetPerPod"},
		{`{"gateway":{"drain":{"spreadSeconds":20}}}`, "gateway.drain.gracePeriodSeconds"},
		{`{"gateway":{"resume":{"windowSeconds":60}}}`, "gateway.resume.windowSeconds"},
		{`{"gateway":{"pdb":{"maxUnavailable":0}}}`, "spec.gateway.pdb.maxUnavailable"},
		{`{"cors":{"origins":["*","https://a.example"]}}`, "cors.origins"},
		{`{"exposure":{"hosts":[]}}`, "exposure.hosts"},
		{`{"security":{"internalTLS":{"mode":"CertManager"}}}`, "security.internalTLS.issuerRef"},
	} {
		out, err := n.try("", "kubectl", "-n", namespace, "patch", "rtg", "chat", "--type", "merge", "--dry-run=server", "-p", `{"spec":`+tc[0]+`}`)
		if err == nil || !strings.Contains(out, tc[1]) {
			t.Errorf("%s: want %q in: %s", tc[0], tc[1], out)
		}
	}
}

// rollouts: show 2.
func rollouts(t *testing.T, n *node, url, brokers string) {
	s := n.storm(t, url, brokers, "rollout", number("CLUSTER_CLIENTS", 600))
	n.patch(`{"spec":{"gateway":{"resources":{"requests":{"cpu":"10m"}}}}}`)
	n.eventually(20*time.Second, "the rollout begins", func() bool { return !n.settled() })
	n.eventually(3*time.Minute, "show 2: rolled out", n.settled)
	for _, pod := range n.pods("gateway") {
		// Refused for as long as the budget is used up: whoever drains a node asks again, too.
		n.eventually(2*time.Minute, "show 2: evicted "+pod, func() bool {
			_, err := n.try(fmt.Sprintf(`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":%q,"namespace":%q}}`, pod, namespace),
				"kubectl", "create", "--raw", "/api/v1/namespaces/"+namespace+"/pods/"+pod+"/eviction", "-f", "-")
			return err == nil
		})
		n.gone(pod)
	}
	pod := n.pods("gateway")[0]
	n.kubectl("delete", "pod", pod, "--wait=false")
	n.gone(pod)
	n.patch(`{"spec":{"gateway":{"replicas":1,"resources":{"requests":{"cpu":"11m"}}}}}`)
	n.eventually(3*time.Minute, "show 2: replicas and resources at once", func() bool { return len(n.pods("gateway")) == 1 && n.settled() })
	n.patch(`{"spec":{"gateway":{"replicas":2}}}`)
	n.eventually(time.Minute, "two again", func() bool { return len(n.pods("gateway")) == 2 && n.settled() })
	if r := s.stop(); r.Recovered == 0 {
		t.Error("nobody came back: nothing was drained")
	}
}
