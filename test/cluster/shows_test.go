//go:build cluster

package cluster

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edumatrix/interlink/test/harness"
)

// scales: show 3.
func scales(t *testing.T, n *node, url, brokers string) {
	n.patch(`{"spec":{"gateway":{"scaling":{"mode":"Connections","connections":{"minReplicas":1,"maxReplicas":4,"targetPerPod":60,"maxPerPod":500,
		"scaleUp":{"maxPods":8,"periodSeconds":3},"scaleDown":{"stabilizationSeconds":10,"periodSeconds":10}}}}}}`)
	n.eventually(2*time.Minute, "a rollout for the new cap", n.settled)
	n.eventually(2*time.Minute, "show 3: one gateway for nobody", func() bool { return len(n.pods("gateway")) == 1 && n.settled() })
	few := n.storm(t, url, brokers, "few", 20)
	many := n.storm(t, url, brokers, "many", 180)
	n.eventually(time.Minute, "show 3: as many as 200 sockets ask for", func() bool { return len(n.pods("gateway")) == 4 && n.get(".status.scaling.connections") == "200" })
	n.eventually(time.Minute, "settled", n.settled)

	// Blind: the operator may not ask pods any more, and holds.
	n.kubectl("patch", "rtg", "chat", "--type", "merge", "-p", `{"spec":{"gateway":{"scaling":{"connections":{"minCoveragePercent":100}}}}}`)
	many.stop()
	n.run("", "kubectl", "-n", "interlink-system", "delete", "pod", "-l", "app.kubernetes.io/name=interlink-operator", "--wait=false")
	sockets := map[string]int{}
	for _, pod := range n.pods("gateway") {
		sockets[pod] = n.sockets(pod)
	}
	before := n.pods("gateway")
	n.eventually(2*time.Minute, "show 3: the first gateway goes, though the operator was killed", func() bool { return len(n.pods("gateway")) == 3 })
	for pod, has := range sockets {
		if !slices.Contains(n.pods("gateway"), pod) && has > slices.Min(values(sockets))+5 {
			t.Errorf("%s went with %d sockets, of %v", pod, has, sockets)
		}
	}
	t.Logf("sockets before %v of %v", sockets, before)
	n.eventually(3*time.Minute, "show 3: one gateway for twenty sockets", func() bool { return len(n.pods("gateway")) == 1 })
	few.stop()
	n.patch(`{"spec":{"gateway":{"scaling":{"mode":"Fixed"}}}}`)
	n.eventually(time.Minute, "two again", func() bool { return len(n.pods("gateway")) == 2 && n.settled() })
}

func values(m map[string]int) (out []int) {
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

// sockets of a pod, as its metrics say.
func (n *node) sockets(pod string) int {
	out, err := n.try("", "kubectl", "get", "--raw", "/api/v1/namespaces/"+namespace+"/pods/"+pod+":9090/proxy/metrics")
	if err != nil {
		return -1
	}
	total := 0.0
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "interlink_gateway_sockets{") {
			v, _ := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndex(line, " "):]), 64)
			total += v
		}
	}
	return int(total)
}

func (n *node) key(ring, field string) string {
	return n.get(fmt.Sprintf(`.status.keys[?(@.name==%q)].%s`, ring, field))
}

// rotates: show 4.
func rotates(t *testing.T, n *node, url, brokers string) {
	uids := n.uids()
	s := n.storm(t, url, brokers, "keys", 200)
	for _, ring := range []string{"cursor", "authority"} {
		old := n.key(ring, "currentID")
		n.kubectl("annotate", "--overwrite", "rtg", "chat", "realtime.edumatrix.io/rotate-"+ring+"="+time.Now().Format(time.RFC3339Nano))
		n.eventually(30*time.Second, "show 4: "+ring+" is published", func() bool { return n.key(ring, "phase") != "Stable" })
		n.eventually(2*time.Minute, "show 4: "+ring+" is promoted", func() bool { return n.key(ring, "currentID") != old && n.key(ring, "previousID") == old })
	}
	for ring, name := range map[string]string{"jwt": "jwt", "internal-api-key": "api"} {
		old := n.key(ring, "currentID")
		n.kubectl("patch", "secret", name, "-p", `{"stringData":{"key":"another-key-of-more-than-thirty-two-bytes-`+name+`"}}`)
		n.eventually(2*time.Minute, "show 4: "+ring+" is promoted", func() bool { return n.key(ring, "currentID") != old && n.key(ring, "previousID") == old })
	}
	n.eventually(time.Minute, "show 4: callers that still use the old API key are named", func() bool { return n.key("internal-api-key", "previousUsedAt") != "" })
	n.eventually(5*time.Minute, "show 4: the old authority is dropped", func() bool { return n.key("authority", "phase") == "Stable" })
	r := s.stop()
	if r.Recovered > 0 {
		t.Errorf("%d connections came back: something was cut", r.Recovered)
	}
	if now := n.uids(); now != uids {
		t.Errorf("pods were restarted:\n%s\n%s", uids, now)
	}
	n.kubectl("patch", "secret", "api", "-p", `{"stringData":{"key":"`+harness.APIKey+`"}}`)
	n.kubectl("patch", "secret", "jwt", "-p", `{"stringData":{"key":"`+harness.JWTSecret+`"}}`)
}

// uids names the pods of the resource and how often they were restarted.
func (n *node) uids() string {
	return n.kubectl("get", "pods", "-l", "app.kubernetes.io/instance=chat", "--sort-by=.metadata.uid", "-o", `jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[0].restartCount}{"\n"}{end}`)
}

// heals: show 5.
func heals(t *testing.T, n *node, _, _ string) {
	reason := func(name string) string {
		return n.kubectl("get", "rtg", name, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].reason}`)
	}
	// A resource of its own: a missing Secret, then a wrong password, then a Kafka that is not there.
	n.apply(strings.NewReplacer("{name: chat}", "{name: wrong}", "{name: redis, key: password}", "{name: later, key: password}",
		"[localhost]", "[wrong.example]", "replicas: 2", "replicas: 1", "brokers: [\"10.200.0.1:39092\"]", "topicPrefix: wrong, brokers: [\"10.200.0.1:39999\"]").Replace(resource))
	n.eventually(30*time.Second, "show 5: SecretMissing", func() bool { return reason("wrong") == "SecretMissing" })
	n.kubectl("create", "secret", "generic", "later", "--from-literal=password=wrong")
	n.eventually(time.Minute, "show 5: KafkaUnreachable", func() bool { return reason("wrong") == "KafkaUnreachable" })
	n.kubectl("patch", "rtg", "wrong", "--type", "merge", "-p", `{"spec":{"kafka":{"brokers":["10.200.0.1:39092"]}}}`)
	n.eventually(2*time.Minute, "show 5: RedisAuthFailed", func() bool { return reason("wrong") == "RedisAuthFailed" })
	n.kubectl("patch", "secret", "later", "-p", `{"stringData":{"password":"secret"}}`)
	n.eventually(2*time.Minute, "show 5: healed", func() bool { return reason("wrong") == "AllComponentsReady" })
	events := n.kubectl("get", "events", "--field-selector", "involvedObject.name=wrong,type=Warning", "-o", "jsonpath={.items[*].reason}")
	for _, want := range []string{"SecretMissing", "KafkaUnreachable", "RedisAuthFailed"} {
		if !strings.Contains(events, want) {
			t.Errorf("no event %s among: %s", want, events)
		}
	}
	n.kubectl("delete", "rtg", "wrong")
	n.eventually(time.Minute, "show 6: no orphans", func() bool {
		return n.kubectl("get", "all,secrets,pdb,networkpolicies,ingresses,serviceaccounts", "-l", "app.kubernetes.io/instance=wrong", "-o", "name") == ""
	})
}

// upgrades: show 6.
func upgrades(t *testing.T, n *node, _, _ string) {
	uids := n.uids()
	n.run("", "helm", "upgrade", "interlink", "charts/interlink", "-n", "interlink-system", "--set", "interval=3s,image.tag=other", "--wait", "--timeout", "60s")
	time.Sleep(10 * time.Second)
	if now := n.uids(); now != uids {
		t.Errorf("an upgrade of the operator restarted pods:\n%s\n%s", uids, now)
	}
	n.run("", "helm", "test", "interlink", "-n", "interlink-system", "--timeout", "60s")
	n.patch(`{"spec":{"version":"other"}}`)
	n.eventually(4*time.Minute, "another version is rolled out", func() bool { return n.get(".status.version") == "other" && n.settled() })
}

// refusesStrangers: show 7.
func refusesStrangers(t *testing.T, n *node, _, _ string) {
	cache := n.run("", "sh", "-c", "dirname $(dirname $(dirname $KUBECONFIG))")
	pid, err := os.ReadFile(cache + "/state/init.pid")
	if err != nil {
		t.Fatal(err)
	}
	for component, port := range map[string]string{"gateway": "9101", "router": "9102", "presence": "9103"} {
		ip := n.kubectl("get", "pod", n.pods(component)[0], "-o", "jsonpath={.status.podIP}")
		out, err := n.try("", "nsenter", "-t", strings.TrimSpace(string(pid)), "-n", "curl", "-sSk", "--http2", "--max-time", "5", "https://"+ip+":"+port+"/")
		if err == nil || !strings.Contains(out, "certificate required") {
			t.Errorf("%s: a stranger was not told to show a certificate: %v %s", component, err, out)
		}
	}
}

// uninstalls: show 6.
func uninstalls(t *testing.T, n *node, _, _ string) {
	n.run("", "helm", "uninstall", "interlink", "-n", "interlink-system", "--wait", "--timeout", "60s")
	if out := n.run("", "kubectl", "get", "crd", "realtimegateways.realtime.edumatrix.io", "-o", "name"); out == "" {
		t.Error("the CRD is gone")
	}
	if left := n.run("", "kubectl", "get", "all,sa,roles,rolebindings", "-n", "interlink-system", "-l", "app.kubernetes.io/instance=interlink", "-o", "name"); left != "" {
		t.Errorf("left: %s", left)
	}
	n.kubectl("delete", "rtg", "chat")
	n.eventually(time.Minute, "show 6: no orphans", func() bool {
		return n.kubectl("get", "all,secrets,pdb,networkpolicies,ingresses,serviceaccounts", "-l", "app.kubernetes.io/instance=chat", "-o", "name") == ""
	})
}
