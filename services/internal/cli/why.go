package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/edumatrix/interlink/services/internal/config"
)

// explained is the answer of GET /v1/events/{id}, as far as it is shown.
type explained struct {
	Events []struct {
		Partition int
		Offset    int64
		InMemory  bool
		Time      string
		Event     string
		Control   string
		From      string
		Rooms     []string
		Key       string
		WrongKey  bool
		Queue     bool
		Gateways  []struct {
			Gateway  string
			Members  int
			Position int64
			Passed   bool
		}
		Users []struct {
			User, Outcome, Detail, Inbox string
			Sockets                      []struct{ Socket, Gateway, Outcome, Reason string }
		}
		More bool
	}
	Incomplete []string
}

type whyFlags struct {
	user, url, key string
	json           bool
}

func (c Command) why() *cobra.Command {
	var f whyFlags
	cmd := &cobra.Command{
		Use: "why ID", Short: "What happened to an event: why did somebody not get it?",
		Long: `Says where an event is in the log, which gateways have its rooms, and what became of it for each user.

It reaches back about as far as the resume window, and tells how things are now. ID is the event's id, meta.id in the
browser; an event published without one is named topic/partition/offset.

The address is --url, else this machine's SOCKET_IO_PORT; the key is --key, else INTERNAL_API_KEY, else the one of development mode.`,
		Example: `  interlink why 01JD0V5Y8Z3M
  interlink why 01JD0V5Y8Z3M --user u7
  interlink why interlink.events/3/1042 --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := c.settings()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), callPatience)
			defer cancel()
			body, err := c.askWhy(ctx, settings, f, args[0])
			if err != nil {
				return err
			}
			if f.json {
				_, err = fmt.Fprintln(c.Out, strings.TrimSpace(string(body)))
				return err
			}
			var answer explained
			if err := json.Unmarshal(body, &answer); err != nil {
				return fmt.Errorf("why: the answer is not what it should be: %w", err)
			}
			return answer.print(c.Out)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.user, "user", "", "tell about this user only")
	flags.StringVar(&f.url, "url", "", "where Interlink is, such as http://127.0.0.1:3001")
	flags.StringVar(&f.key, "key", "", "the internal API key")
	flags.BoolVar(&f.json, "json", false, "print the answer as it came")
	return cmd
}

func (c Command) askWhy(ctx context.Context, settings config.Config, f whyFlags, id string) ([]byte, error) {
	key := f.key
	if key == "" {
		key = first(settings.Keys.API.Values(), config.DevAPIKey)
	}
	at := c.base(settings, f.url) + "/v1/events/" + url.PathEscape(id)
	if f.user != "" {
		at += "?user=" + url.QueryEscape(f.user)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, fmt.Errorf("--url: expected an address such as http://127.0.0.1:3001: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("why: is Interlink running there? %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	switch {
	case err != nil:
		return nil, fmt.Errorf("why: read the answer: %w", err)
	case resp.StatusCode/100 == 2:
		return body, nil
	}
	var problem struct{ Detail string }
	if json.Unmarshal(body, &problem) == nil && problem.Detail != "" {
		return nil, errors.New(problem.Detail)
	}
	return nil, fmt.Errorf("why: %s: %s", resp.Status, strings.TrimSpace(string(body)))
}

// print tells people.
func (a explained) print(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 4, 2, ' ', 0)
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) } // Flush reports what goes wrong
	for i, e := range a.Events {
		if i > 0 {
			say("\n")
		}
		if !e.InMemory {
			say("partition %d, offset %d: known by its id, but no longer in memory: nothing else is known of it\n", e.Partition, e.Offset)
			continue
		}
		name := e.Event
		if e.Control != "" {
			name = "control record " + e.Control
		}
		say("%s\tpartition %d, offset %d, published %s%s\n", name, e.Partition, e.Offset, e.Time, by(e.From))
		say("to\t%s\n", strings.Join(e.Rooms, ", "))
		key := e.Key
		if key == "" {
			key = "(none)"
		}
		if e.WrongKey {
			key += "\n\tTHE WRONG KEY: ordered only within its own partition, and a repetition with another key is delivered too;\n\tthe key of a record is its first room"
		}
		say("key\t%s\n", key)
		for _, g := range e.Gateways {
			passed := "has come past it"
			if !g.Passed {
				passed = fmt.Sprintf("has NOT come past it: it expects offset %d", g.Position)
			}
			sockets := "1 socket"
			if g.Members != 1 {
				sockets = fmt.Sprintf("%d sockets", g.Members)
			}
			say("gateway\t%s %s, and has %s in its rooms now\n", g.Gateway, passed, sockets)
		}
		for _, u := range e.Users {
			say("user\t%s: %s — %s\n", u.User, u.Outcome, u.Detail)
			for _, s := range u.Sockets {
				say("\t  socket %s at %s: %s%s\n", s.Socket, s.Gateway, s.Outcome, by(s.Reason))
			}
		}
		if e.More {
			say("\tand more users: ask about one with --user\n")
		}
	}
	if len(a.Incomplete) > 0 {
		say("\nNot everybody answered, so this may not be all: %s\n", strings.Join(a.Incomplete, ", "))
	}
	return w.Flush()
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return " (" + who + ")"
}
