package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/spf13/cobra"

	"github.com/edumatrix/interlink/services/internal/config"
	"github.com/edumatrix/interlink/services/internal/kafkaclient"
	"github.com/edumatrix/interlink/services/internal/room"
)

// callPatience bounds one call to a service.
const callPatience = 15 * time.Second

type publishFlags struct {
	rooms, users       []string
	event, data        string
	id, from, url, key string
	queue, volatile    bool
	kafka              bool
	brokers            []string
}

// envelope is a record as Next.js writes it.
type envelope struct {
	ID    string `json:"id,omitempty"`
	Event string `json:"event"`
	To    struct {
		Rooms []string `json:"rooms,omitempty"`
		Users []string `json:"users,omitempty"`
	} `json:"to"`
	Data     json.RawMessage `json:"data"`
	From     string          `json:"from,omitempty"`
	Queue    bool            `json:"queue,omitempty"`
	Volatile bool            `json:"volatile,omitempty"`
}

func (c Command) publish() *cobra.Command {
	var f publishFlags
	cmd := &cobra.Command{
		Use: "publish", Short: "Publish an event, as Next.js would",
		Long: `Publishes one event, by HTTP or with --kafka as a Kafka record.

The address is --url, else this machine's SOCKET_IO_PORT; the key is --key, else INTERNAL_API_KEY, else the one of development mode.`,
		Example: `  interlink publish --room conversation:42 --event message:new --data '{"text":"hi"}'
  interlink publish --user u7 --event notification:new --data '{"title":"Graded"}' --queue
  interlink publish --room conversation:42 --event message:new --data '"hi"' --kafka --brokers 127.0.0.1:9092`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			body, key, err := f.record()
			if err != nil {
				return err
			}
			settings, err := c.settings()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), callPatience)
			defer cancel()
			if f.kafka {
				return c.publishKafka(ctx, settings, f, body, key)
			}
			return c.publishHTTP(ctx, settings, f, body)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.rooms, "room", nil, "the room, type:id; may be repeated")
	flags.StringSliceVar(&f.users, "user", nil, "a user who gets it, in whatever room; may be repeated")
	flags.StringVar(&f.event, "event", "", "the name of the event")
	flags.StringVar(&f.data, "data", "null", "what the event carries, JSON")
	flags.StringVar(&f.id, "id", "", "makes repeating it harmless")
	flags.StringVar(&f.from, "from", "", "the user who caused it")
	flags.BoolVar(&f.queue, "queue", false, "keep it for each --user who is offline")
	flags.BoolVar(&f.volatile, "volatile", false, "once, without Kafka: lost where nobody listens right now")
	flags.StringVar(&f.url, "url", "", "where Interlink is, such as http://127.0.0.1:3001")
	flags.StringVar(&f.key, "key", "", "the internal API key")
	flags.BoolVar(&f.kafka, "kafka", false, "write a Kafka record instead of calling HTTP")
	flags.StringSliceVar(&f.brokers, "brokers", nil, "with --kafka: host:port (default KAFKA_BROKERS)")
	return cmd
}

// record is the envelope and the key of its Kafka record.
func (f publishFlags) record() (body []byte, key string, err error) {
	var errs []error
	if f.event == "" {
		errs = append(errs, errors.New("--event: expected the name of an event, such as message:new"))
	}
	if len(f.rooms)+len(f.users) == 0 {
		errs = append(errs, errors.New("--room or --user: expected at least one, such as --room conversation:42"))
	}
	for _, r := range f.rooms {
		if _, err := room.Parse(r); err != nil {
			errs = append(errs, fmt.Errorf("--room %q: %w", r, err))
		}
	}
	if !json.Valid([]byte(f.data)) {
		errs = append(errs, fmt.Errorf("--data: expected JSON, such as '{\"text\":\"hi\"}' or '\"hi\"', not %s", f.data))
	}
	if f.kafka && f.volatile {
		errs = append(errs, errors.New("--volatile: not with --kafka, volatile events skip Kafka"))
	}
	if len(errs) > 0 {
		return nil, "", errors.Join(errs...)
	}
	e := envelope{ID: f.id, Event: f.event, Data: json.RawMessage(f.data), From: f.from, Queue: f.queue, Volatile: f.volatile}
	e.To.Rooms, e.To.Users = f.rooms, f.users
	if len(f.rooms) > 0 {
		key = f.rooms[0]
	} else {
		key = string(room.OfUser(f.users[0]))
	}
	body, err = json.Marshal(e)
	return body, key, err
}

func (c Command) publishHTTP(ctx context.Context, settings config.Config, f publishFlags, body []byte) error {
	key := f.key
	if key == "" {
		key = first(settings.Keys.API.Values(), config.DevAPIKey)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base(settings, f.url)+"/v1/emit", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("--url: expected an address such as http://127.0.0.1:3001: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("publish: is Interlink running there? %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("publish: read the answer: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("publish: %s: %s", resp.Status, strings.TrimSpace(string(answer)))
	}
	_, err = fmt.Fprintln(c.Out, strings.TrimSpace(string(answer)))
	return err
}

func (c Command) publishKafka(ctx context.Context, settings config.Config, f publishFlags, body []byte, key string) error {
	if len(f.brokers) > 0 {
		settings.Kafka.Brokers = f.brokers
	}
	if len(settings.Kafka.Brokers) == 0 {
		return errors.New("KAFKA_BROKERS or --brokers: expected host:port, several separated by commas (`interlink serve` prints those of its own broker)")
	}
	transport, err := kafkaclient.Transport(settings.Kafka)
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	topic := settings.Kafka.TopicPrefix + ".events"
	var at kafka.Message
	w := kafka.Writer{
		Addr: kafka.TCP(settings.Kafka.Brokers...), Topic: topic, Balancer: kafka.Murmur2Balancer{}, BatchSize: 1,
		RequiredAcks: kafka.RequireAll, Transport: transport, MaxAttempts: 3,
		Completion: func(messages []kafka.Message, err error) {
			if err == nil && len(messages) > 0 {
				at = messages[0]
			}
		},
	}
	if err := errors.Join(w.WriteMessages(ctx, kafka.Message{Key: []byte(key), Value: body}), w.Close()); err != nil {
		return fmt.Errorf("publish to %s at %s: %w", topic, strings.Join(settings.Kafka.Brokers, ","), err)
	}
	_, err = fmt.Fprintf(c.Out, "{\"topic\":%q,\"partition\":%d,\"offset\":%d}\n", topic, at.Partition, at.Offset)
	return err
}

// base is where Interlink is, without a slash at the end.
func (c Command) base(settings config.Config, url string) string {
	if url != "" {
		return strings.TrimRight(url, "/")
	}
	return "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(settings.Public.Port))
}

func first(values []string, otherwise string) string {
	if len(values) > 0 {
		return values[0]
	}
	return otherwise
}
