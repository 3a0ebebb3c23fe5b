package launch

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/edumatrix/interlink/services/devpage"
	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/config"
)

const (
	readyPoll  = 20 * time.Millisecond
	readyNews  = 5 * time.Second // after that, say what is being waited for
	devSession = 24 * time.Hour
)

// welcome waits until everything is ready and then says where to look. It returns when ctx ends.
func (p *process) welcome(ctx context.Context) error {
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	since, said := time.Now(), false
	for {
		err := p.ready.err()
		if err == nil {
			break
		}
		if !said && time.Since(since) > readyNews {
			said = true
			_, _ = fmt.Fprintf(p.out, "Interlink is starting, waiting for: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	_, _ = fmt.Fprint(p.out, p.greeting())
	<-ctx.Done()
	return nil
}

func (p *process) sayGoodbye() {
	if p.c.Dev && p.c.Role == config.Serve {
		_, _ = fmt.Fprintln(p.out, "\nInterlink stops.")
	}
}

func (p *process) greeting() string {
	url, key := p.url(), p.apiKey()
	where := func(kind, given string) string {
		if kind == "" {
			return given
		}
		return "its own (" + kind + ")"
	}
	var b strings.Builder
	fmt.Fprintf(&b, `
Interlink is up, in development mode.

  Open      %s      two panes side by side, sign in as anyone
  Broker    %s
  Store     %s

For Next.js (.env.local):

INTERNAL_API_KEY=%s
KAFKA_BROKERS=%s
AUTH_SECRET=%s
NEXT_PUBLIC_SOCKET_URL=%s

Publish something:

curl -sS %s/v1/emit -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' \
  -d '{"event":"message:new","to":{"rooms":["conversation:42"]},"data":{"text":"hello"}}'

%sCtrl-C stops it.
`,
		url, where(p.embedded.broker, strings.Join(p.c.Kafka.Brokers, ",")), where(p.embedded.store, strings.Join(p.c.Redis.Addrs, ",")),
		key, strings.Join(p.c.Kafka.Brokers, ","), strings.Join(p.c.Auth.Secrets.Values(), ","), url, url, key, p.exposed())
	return b.String()
}

// exposed is what to know of a port that others can reach; nothing if only this machine can.
func (p *process) exposed() string {
	host := p.c.Public.Host
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return ""
	}
	return "Whoever reaches this port signs in as anyone and publishes to anyone:\nSOCKET_IO_HOST=127.0.0.1 keeps it to this machine.\n\n"
}

// url is where a browser of this machine finds the public port.
func (p *process) url() string {
	host := p.c.Public.Host
	if ip := net.ParseIP(host); host == "" || (ip != nil && (ip.IsUnspecified() || ip.IsLoopback())) {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(p.c.Public.Port))
}

func (p *process) apiKey() string {
	if keys := p.c.Keys.API.Values(); len(keys) > 0 {
		return keys[0]
	}
	return ""
}

// page is the developer page, of development mode alone.
func (p *process) page(api http.Handler) http.Handler {
	return devpage.Handler(devpage.Options{
		API: api, APIKey: p.apiKey,
		Hosts:   []string{strings.ToLower(p.c.Public.Host)},
		Brokers: p.c.Kafka.Brokers, Topic: p.c.Kafka.TopicPrefix + ".events",
		Mint: func(user, name string) (string, error) {
			secrets := p.c.Auth.JWTSecrets.Values()
			return auth.Mint(secrets[0], auth.Token{User: user, Name: name, Now: time.Now(), TTL: devSession})
		},
	})
}
