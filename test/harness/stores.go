package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Kafka is a real Apache Kafka started by scripts/kafka/kafka.
type Kafka struct {
	script, dir string
	port        int

	Brokers    []string // plain addresses
	TLSBrokers []string // TLS with SCRAM
	CAFile     string
}

// KafkaUser and KafkaPassword are the SCRAM credentials of the TLS listener.
const (
	KafkaUser     = "interlink"
	KafkaPassword = "interlink-secret"
)

// StartKafka starts n brokers with an empty log in state, a folder that it may fill.
func StartKafka(ctx context.Context, root, state string, n int) (*Kafka, error) {
	port, err := FreePorts(100*(n-1) + 3)
	if err != nil {
		return nil, err
	}
	k := &Kafka{script: filepath.Join(root, "scripts/kafka/kafka"), dir: filepath.Join(state, "kafka"), port: port}
	if _, err := k.Do(ctx, "up", strconv.Itoa(n)); err != nil {
		return nil, err
	}
	for i := range n {
		k.Brokers = append(k.Brokers, fmt.Sprintf("127.0.0.1:%d", port+100*i))
		k.TLSBrokers = append(k.TLSBrokers, fmt.Sprintf("127.0.0.1:%d", port+100*i+2))
	}
	k.CAFile = filepath.Join(k.dir, "ca.pem")
	return k, nil
}

// Do runs one command of the script and returns what it printed.
func (k *Kafka) Do(ctx context.Context, args ...string) (string, error) {
	return script(ctx, k.script, args, "KAFKA_DIR="+k.dir, "KAFKA_PORT="+strconv.Itoa(k.port))
}

// PIDs returns the brokers' process ids.
func (k *Kafka) PIDs(ctx context.Context) []int {
	out, _ := k.Do(ctx, "pids")
	return numbers(out)
}

// Close ends the brokers and removes their data.
func (k *Kafka) Close() error {
	_, err := k.Do(context.Background(), "down")
	return err
}

// Redis is a real Redis started by scripts/redis/redis.
type Redis struct {
	script, dir string
	port        int
}

// StartRedis starts an empty server in state, a folder that it may fill.
func StartRedis(ctx context.Context, root, state string) (*Redis, error) {
	port, err := FreePorts(1)
	if err != nil {
		return nil, err
	}
	r := &Redis{script: filepath.Join(root, "scripts/redis/redis"), dir: filepath.Join(state, "redis"), port: port}
	_, err = r.Do(ctx, "up")
	return r, err
}

// Do runs one command of the script: `stop` takes the server away, `up` brings it back empty.
func (r *Redis) Do(ctx context.Context, args ...string) (string, error) {
	return script(ctx, r.script, args, "REDIS_DIR="+r.dir, "REDIS_PORT="+strconv.Itoa(r.port))
}

// Addr returns host:port.
func (r *Redis) Addr() string { return fmt.Sprintf("127.0.0.1:%d", r.port) }

// PIDs returns the server's process id.
func (r *Redis) PIDs(ctx context.Context) []int {
	out, _ := r.Do(ctx, "pid")
	return numbers(out)
}

// Close ends the server and removes its folder.
func (r *Redis) Close() error {
	_, err := r.Do(context.Background(), "down")
	return err
}

// script runs a shell script. Its output goes to files: a server that it leaves behind would hold a pipe open.
func script(ctx context.Context, path string, args []string, env ...string) (string, error) {
	dir, err := os.MkdirTemp("", "interlink-script")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		return "", err
	}
	defer out.Close()
	errs, err := os.Create(filepath.Join(dir, "err"))
	if err != nil {
		return "", err
	}
	defer errs.Close()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = out, errs
	failed := cmd.Run()
	printed, err := os.ReadFile(out.Name())
	if failed != nil {
		said, _ := os.ReadFile(errs.Name())
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(path), strings.Join(args, " "), failed, strings.TrimSpace(string(said)))
	}
	return strings.TrimSpace(string(printed)), err
}

func numbers(s string) []int {
	var list []int
	for _, f := range strings.Fields(s) {
		if n, err := strconv.Atoi(f); err == nil {
			list = append(list, n)
		}
	}
	return list
}
