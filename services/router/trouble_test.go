package router

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/edumatrix/interlink/services/router/internal/kafkaconn"
)

func TestMissingTopicsAreNamed(t *testing.T) {
	c := broker(t)
	r, err := New(Options{Kafka: Kafka{Brokers: c.ListenAddrs()}})
	if err != nil {
		t.Fatal(err)
	}
	err = r.Run(testContext(t))
	var missing *kafkaconn.MissingTopics
	if !errors.As(err, &missing) || len(missing.Names) != 7 || !strings.Contains(err.Error(), "interlink.events") {
		t.Fatalf("got %v", err)
	}
}

func TestAWrongPasswordIsSaidInASentence(t *testing.T) {
	c := broker(t, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "edu", "right"))
	r, err := New(Options{Kafka: Kafka{Brokers: c.ListenAddrs(), SASL: "scram-sha-512", Username: "edu", Password: "wrong"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	if err := r.Run(ctx); err == nil || !strings.Contains(err.Error(), `refuses user "edu"`) {
		t.Fatalf("got %v", err)
	}
}

func TestUnreachableKafkaIsSaidByReady(t *testing.T) {
	l := listen(t)
	addr := l.Addr().String()
	l.Close()
	r, err := New(Options{Kafka: Kafka{Brokers: []string{addr}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(testContext(t))
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	eventually(t, "ready says who does not answer", func() bool {
		err := r.Ready()
		return err != nil && strings.Contains(err.Error(), "no kafka broker answers at "+addr)
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
