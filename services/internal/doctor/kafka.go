package doctor

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/segmentio/kafka-go"

	"github.com/edumatrix/interlink/services/internal/kafkaclient"
)

// topics are those that the services use, without their prefix.
var topics = [...]string{"events", "dead-letter", "client-events", "receipts", "undelivered", "lifecycle", "revocations"}

// groups are the consumer groups of the router.
var groups = [...]string{"router", "inbox", "mapper", "epoch"}

func kafkaFindings(ctx context.Context, p Patient) []Finding {
	k := p.Settings.Kafka
	if len(k.Brokers) == 0 {
		return []Finding{note("KAFKA_BROKERS", "not set: `interlink serve` brings a broker of its own, which is for development")}
	}
	transport, err := kafkaclient.Transport(k)
	if err != nil {
		return []Finding{bad("Kafka", "%v", err)}
	}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(k.Brokers...), Timeout: patience, Transport: transport}
	meta, err := client.Metadata(ctx, &kafka.MetadataRequest{})
	if err != nil {
		return []Finding{bad("KAFKA_BROKERS", "%s: %v%s", strings.Join(k.Brokers, ","), err, kafkaHint(err))}
	}
	found := []Finding{fine("Kafka", "%d brokers answer", len(meta.Brokers))}
	if len(k.Brokers) == 1 && len(meta.Brokers) > 1 {
		found = append(found, note("KAFKA_BROKERS", "names one broker of %d: with that one away nothing starts; name several", len(meta.Brokers)))
	} else if len(meta.Brokers) == 1 {
		found = append(found, note("Kafka", "the cluster is a single broker: while it is away nothing can be published"))
	}
	for _, b := range meta.Brokers {
		if addr := net.JoinHostPort(b.Host, "0"); isLocal(addr) && !isLocal(k.Brokers[0]) {
			found = append(found, bad("Kafka", "a broker says that its address is %s (advertised.listeners), which from here is this machine", b.Host))
		}
	}
	found = append(found, topicFindings(ctx, client, p)...)
	return append(found, groupFindings(ctx, client, p)...)
}

func kafkaHint(err error) string {
	switch text := err.Error(); {
	case errors.Is(err, kafka.SASLAuthenticationFailed):
		return " (INTERLINK_KAFKA_USERNAME and INTERLINK_KAFKA_PASSWORD)"
	case strings.Contains(text, "certificate"):
		return " (INTERLINK_KAFKA_CA)"
	case strings.Contains(text, "EOF") || strings.Contains(text, "first record does not look like a TLS handshake"):
		return " (does this port speak TLS or SASL? INTERLINK_KAFKA_TLS, INTERLINK_KAFKA_SASL)"
	}
	return ""
}

func topicFindings(ctx context.Context, client *kafka.Client, p Patient) []Finding {
	k := p.Settings.Kafka
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = k.TopicPrefix + "." + t
	}
	meta, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: names})
	if err != nil {
		return []Finding{bad("Kafka", "asking for the topics: %v", err)}
	}
	var found []Finding
	var missing []string
	for _, t := range meta.Topics {
		switch {
		case errors.Is(t.Error, kafka.UnknownTopicOrPartition):
			missing = append(missing, t.Name)
		case errors.Is(t.Error, kafka.TopicAuthorizationFailed):
			found = append(found, bad("Kafka", "the user may not see topic %s: an ACL with Describe, Read and Write is missing", t.Name))
		case t.Error != nil:
			found = append(found, bad("Kafka", "topic %s: %v", t.Name, t.Error))
		case t.Name == names[0] && len(t.Partitions) < 2:
			found = append(found, note("Kafka", "topic %s has one partition, so one router does everything; 12 is the usual number, and it is hard to change later", t.Name))
		case t.Name == names[0]:
			found = append(found, fine("Kafka", "topic %s has %d partitions", t.Name, len(t.Partitions)))
		}
	}
	if len(missing) > 0 {
		if k.CreateTopics {
			return append(found, note("Kafka", "topics that will be made at start: %s", strings.Join(missing, ", ")))
		}
		found = append(found, bad("Kafka", "topics are missing: %s; make them, or set INTERLINK_CREATE_TOPICS=true", strings.Join(missing, ", ")))
	}
	return found
}

func groupFindings(ctx context.Context, client *kafka.Client, p Patient) []Finding {
	var found []Finding
	for _, g := range groups {
		name := p.Settings.Kafka.TopicPrefix + "-" + g
		answer, err := client.FindCoordinator(ctx, &kafka.FindCoordinatorRequest{Key: name, KeyType: kafka.CoordinatorKeyTypeConsumer})
		if err == nil {
			err = answer.Error
		}
		if errors.Is(err, kafka.GroupAuthorizationFailed) {
			found = append(found, bad("Kafka", "the user may not use the consumer group %s: an ACL with Read is missing", name))
		}
	}
	return found
}
