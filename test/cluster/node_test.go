//go:build cluster

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edumatrix/interlink/test/harness"
)

const (
	outside   = "10.200.0.1"
	inside    = "10.200.0.2"
	namespace = "chat"
	version   = "0.3.0"
	emitPort  = "30302"
)

// node is a running cluster with an operator, and Kafka and Redis beside it.
type node struct {
	t    *testing.T
	root string
	env  []string
}

// run runs a program and fails the test if that fails.
func (n *node) run(stdin, name string, args ...string) string {
	n.t.Helper()
	out, err := n.try(stdin, name, args...)
	if err != nil {
		n.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func (n *node) try(stdin, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Dir, c.Env, c.Stdin = n.root, n.env, strings.NewReader(stdin)
	out, err := c.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (n *node) kubectl(args ...string) string {
	n.t.Helper()
	return n.run("", "kubectl", append([]string{"-n", namespace}, args...)...)
}

func (n *node) apply(yaml string) {
	n.t.Helper()
	n.run(yaml, "kubectl", "-n", namespace, "apply", "-f", "-")
}

// get is a field of the resource chat, by JSONPath.
func (n *node) get(path string) string {
	n.t.Helper()
	return n.kubectl("get", "rtg", "chat", "-o", "jsonpath={"+path+"}")
}

func (n *node) patch(merge string) {
	n.t.Helper()
	n.kubectl("patch", "rtg", "chat", "--type", "merge", "-p", merge)
}

// eventually waits for what, and fails the test with the resource's state if it does not come.
func (n *node) eventually(within time.Duration, what string, is func() bool) {
	n.t.Helper()
	begun := time.Now()
	for !is() {
		if time.Since(begun) > within {
			state, _ := n.try("", "kubectl", "-n", namespace, "get", "rtg,pods", "-o", "wide")
			status, _ := n.try("", "kubectl", "-n", namespace, "get", "rtg", "chat", "-o", "jsonpath={.status}")
			n.t.Fatalf("not within %v: %s\n%s\n%s", within, what, state, status)
		}
		time.Sleep(500 * time.Millisecond)
	}
	n.t.Logf("%s: after %v", what, time.Since(begun).Round(time.Second))
}

// pods are the names of a component's pods that are not ending.
func (n *node) pods(component string) []string {
	n.t.Helper()
	var list struct {
		Items []struct {
			Metadata struct {
				Name              string
				DeletionTimestamp string
			}
		}
	}
	out := n.kubectl("get", "pods", "-l", "app.kubernetes.io/component="+component, "-o", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		n.t.Fatal(err)
	}
	var names []string
	for _, i := range list.Items {
		if i.Metadata.DeletionTimestamp == "" {
			names = append(names, i.Metadata.Name)
		}
	}
	return names
}

// gone waits until a pod has drained and everything is as before without it.
func (n *node) gone(pod string) {
	n.t.Helper()
	n.eventually(2*time.Minute, pod+" is gone", func() bool {
		out, err := n.try("", "kubectl", "-n", namespace, "get", "pod", pod, "--ignore-not-found", "-o", "name")
		return err == nil && out == ""
	})
	n.eventually(2*time.Minute, "settled", n.settled)
}

// settled says that nothing is under way and everything is ready.
func (n *node) settled() bool {
	return n.get(`.status.conditions[?(@.type=="Progressing")].reason}{" "}{.status.observedGeneration}{" "}{.metadata.generation`) == fmt.Sprintf("Settled %[1]s %[1]s", n.get(".metadata.generation")) &&
		n.get(`.status.conditions[?(@.type=="Ready")].status`) == "True"
}

// start brings everything up; it goes with the test.
func start(t *testing.T) (*node, string) {
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, root: root, env: os.Environ()}
	state := t.TempDir()
	if dir := os.Getenv("TEST_STATE"); dir != "" {
		state = dir
	}
	n.env = append(n.env, "KAFKA_HOST="+outside, "KAFKA_PORT=39092", "KAFKA_DIR="+filepath.Join(state, "kafka"),
		"REDIS_HOST="+outside, "REDIS_PORT=36379", "REDIS_PASSWORD=secret", "REDIS_DIR="+filepath.Join(state, "redis"))
	n.run("", "scripts/cluster/cluster", "down")
	n.run("", "scripts/cluster/cluster", "build")
	t.Cleanup(func() {
		n.keepLogs()
		_, _ = n.try("", "scripts/cluster/cluster", "down")
		_, _ = n.try("", "scripts/kafka/kafka", "down")
		_, _ = n.try("", "scripts/redis/redis", "down")
	})
	n.run("", "scripts/cluster/cluster", "up")
	cache := os.Getenv("CLUSTER_DIR")
	if cache == "" {
		home, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(home, "interlink-cluster")
	}
	n.env = append(n.env, "KUBECONFIG="+cache+"/state/pki/admin.kubeconfig", "PATH="+cache+"/bin:"+os.Getenv("PATH"))
	t.Setenv("PATH", cache+"/bin:"+os.Getenv("PATH"))
	brokers := n.run("", "scripts/kafka/kafka", "up")
	n.run("", "scripts/redis/redis", "up")
	n.images()
	return n, brokers
}

// images loads those that IMAGES names (archives, from whatever has built the Dockerfile), else makes them of bin/.
func (n *node) images() {
	if archives := os.Getenv("IMAGES"); archives != "" {
		n.run("", "scripts/cluster/cluster", append([]string{"load"}, strings.Fields(archives)...)...)
		return
	}
	for _, tag := range []string{version, "other"} {
		n.run("", "scripts/cluster/cluster", "image", "ghcr.io/edumatrix/interlink-operator:"+tag, "bin/operator:/operator")
		n.run("", "scripts/cluster/cluster", "image", "ghcr.io/edumatrix/interlink:"+tag, "bin/interlink:/interlink", "/etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt")
	}
}

// keepLogs writes what the pods said where the other suites leave theirs.
func (n *node) keepLogs() {
	dir := filepath.Join(n.root, "test", "artifacts", "cluster")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return
	}
	for _, c := range []string{"gateway", "router", "presence"} {
		out, _ := n.try("", "kubectl", "-n", namespace, "logs", "--prefix", "--tail=-1", "-l", "app.kubernetes.io/component="+c)
		_ = os.WriteFile(filepath.Join(dir, c+".log"), []byte(out), 0o644)
	}
	out, _ := n.try("", "kubectl", "-n", "interlink-system", "logs", "--tail=-1", "-l", "app.kubernetes.io/name=interlink-operator")
	_ = os.WriteFile(filepath.Join(dir, "operator.log"), []byte(out), 0o644)
	out, _ = n.try("", "kubectl", "get", "events", "-A", "--sort-by=.metadata.creationTimestamp")
	_ = os.WriteFile(filepath.Join(dir, "events.log"), []byte(out), 0o644)
}

// forward makes the node's ingress reachable as localhost, the host that the resource exposes.
func forward(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = in.Close() }()
				out, err := net.Dial("tcp", inside+":80")
				if err != nil {
					return
				}
				defer func() { _ = out.Close() }()
				go func() { _, _ = io.Copy(out, in); _ = out.(*net.TCPConn).CloseWrite() }()
				_, _ = io.Copy(in, out)
			}()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return "http://localhost:" + port
}
