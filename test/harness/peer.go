package harness

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/segmentio/kafka-go"
)

// Peer is one server of the system that Interlink is measured against: test/bench/peers/node.
type Peer struct {
	*Process
	Public string
}

// StartPeers starts n peers that share a topic and a Redis, with more in their environment, and waits until they are ready.
func StartPeers(ctx context.Context, root, logs string, n int, brokers []string, topic, redis string, env ...string) ([]*Peer, error) {
	var peers []*Peer
	for i := range n {
		addr, err := FreeAddr()
		if err != nil {
			return peers, err
		}
		host, port, _ := strings.Cut(addr, ":")
		p := &Peer{Public: addr}
		p.Process, err = Start(Spec{
			Name: fmt.Sprintf("peer-%d", i), Path: "node", Args: []string{filepath.Join(root, "test/bench/peers/node/server.js")},
			Env: append([]string{
				"HOST=" + host, "PORT=" + port, "JWT_SECRET=" + JWTSecret, "NEXTAUTH_SECRET=" + NextAuthSecret,
				"REDIS_URL=redis://" + redis, "KAFKA_BROKERS=" + strings.Join(brokers, ","), "TOPIC=" + topic,
			}, env...),
		}, logs)
		if err != nil {
			return peers, err
		}
		peers = append(peers, p)
	}
	for _, p := range peers {
		if err := p.WaitReady(ctx, HTTPStatus("http://"+p.Public+"/health", 200)); err != nil {
			return peers, err
		}
	}
	return peers, nil
}

// CreateTopic makes a topic and waits until every partition has a leader.
func CreateTopic(ctx context.Context, broker, topic string, partitions int) error {
	conn, err := kafka.DialContext(ctx, "tcp", broker)
	if err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	defer conn.Close()
	if err := conn.CreateTopics(kafka.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1}); err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	return Eventually(ctx, func(context.Context) error {
		got, err := conn.ReadPartitions(topic)
		if err == nil && len(got) != partitions {
			err = fmt.Errorf("topic %s has %d partitions", topic, len(got))
		}
		return err
	})
}
