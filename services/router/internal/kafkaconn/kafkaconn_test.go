package kafkaconn

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
)

func TestBadOptionsAreNamed(t *testing.T) {
	for want, o := range map[string]Options{
		"no broker address":       {},
		`broker "kafka" is not`:   {Brokers: []string{"kafka"}},
		`SASL mechanism "gssapi"`: {Brokers: []string{"k:9092"}, SASL: "gssapi"},
		"INTERLINK_KAFKA_SASL":    {Brokers: []string{"k:9092"}, SASL: "oauth"},
		"KAFKA_BROKERS":           {Brokers: []string{"k:9092", "l"}},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestErrorsBecomeSentencesOnce(t *testing.T) {
	c, err := New(Options{Brokers: []string{"k:9092"}, Username: "edu"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for want, in := range map[string]error{
		`refuses user "edu"`:    kafka.SASLAuthenticationFailed,
		"does not offer":        kafka.UnsupportedSASLMechanism,
		"is not trusted":        &tls.CertificateVerificationError{Err: io.EOF},
		"no address is known":   &net.DNSError{},
		"no kafka broker":       &net.OpError{Op: "dial", Err: io.EOF},
		"closes the connection": io.ErrUnexpectedEOF,
	} {
		got := c.Explain(in)
		if !strings.Contains(got.Error(), want) || !errors.Is(got, in) {
			t.Errorf("%v, want %s", got, want)
		}
		if again := c.Explain(got); again.Error() != got.Error() {
			t.Errorf("explained twice: %v", again)
		}
	}
	if c.Explain(nil) != nil || c.Explain(io.ErrNoProgress) != io.ErrNoProgress {
		t.Error("what needs no explanation got one")
	}
}

func TestTopicsAreMadeAsTheyShouldBe(t *testing.T) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	c, err := New(Options{Brokers: broker.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	topics := []Topic{{Name: "a", Partitions: 12, Retention: time.Hour}, {Name: "b", Compacted: true}}
	var missing *MissingTopics
	if err := c.Prepare(ctx, topics, false); !errors.As(err, &missing) || !Definite(err) || len(missing.Names) != 2 {
		t.Fatalf("%v", err)
	}
	for range 2 { // the second time they are there
		if err := c.Prepare(ctx, topics, true); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]map[string]string{
		"a": {"cleanup.policy": "delete", "retention.ms": "3600000", "message.timestamp.type": "LogAppendTime"},
		"b": {"cleanup.policy": "compact"},
	} {
		for k, v := range want {
			if got := broker.TopicInfo(name).Configs[k]; got == nil || *got != v {
				t.Errorf("%s of %s: %v, want %s", k, name, got, v)
			}
		}
	}
	if d, err := c.Describe(ctx, "a"); err != nil || d.Partitions != 12 || !strings.Contains(d.Epoch, "/a/12/") {
		t.Errorf("%+v %v", d, err)
	}
	if first, next, err := c.Offsets(ctx, "a", 3); err != nil || first != 0 || next != 0 {
		t.Errorf("%d %d %v", first, next, err)
	}
	if o, err := c.OffsetAt(ctx, "a", 3, time.Now()); err != nil || o != 0 {
		t.Errorf("%d %v", o, err)
	}
}

func TestAFrozenBrokerHoldsNobodyWhoHasGone(t *testing.T) {
	frozen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer frozen.Close()
	cluster, err := New(Options{Brokers: []string{frozen.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	began := time.Now()
	go func() {
		_, err := cluster.Leader(ctx, "t", 0)
		done <- err
	}()
	conn, err := frozen.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err != nil { // the question is there, and is not answered
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err == nil || time.Since(began) > callTimeout/2 {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}
