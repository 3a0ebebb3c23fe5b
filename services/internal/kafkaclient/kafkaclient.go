// Package kafkaclient owns how the command line reaches Kafka, with the settings of the router.
package kafkaclient

import (
	"crypto/tls"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/edumatrix/interlink/services/internal/config"
	"github.com/edumatrix/interlink/services/internal/tlsfiles"
)

// Transport reaches the brokers. The caller closes its idle connections.
func Transport(k config.Kafka) (*kafka.Transport, error) {
	t := &kafka.Transport{DialTimeout: 5 * time.Second, ClientID: "interlink-cli"}
	if k.TLS {
		roots, err := tlsfiles.Roots("INTERLINK_KAFKA_CA", k.CAFile)
		if err != nil {
			return nil, err
		}
		t.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	var err error
	t.SASL, err = mechanism(k)
	return t, err
}

func mechanism(k config.Kafka) (sasl.Mechanism, error) {
	switch k.SASL {
	case "plain":
		return plain.Mechanism{Username: k.Username, Password: k.Password}, nil
	case "scram-sha-256":
		return scram.Mechanism(scram.SHA256, k.Username, k.Password)
	case "scram-sha-512":
		return scram.Mechanism(scram.SHA512, k.Username, k.Password)
	default:
		return nil, nil
	}
}
