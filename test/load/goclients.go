package load

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/edumatrix/interlink/test/checker"
	"github.com/edumatrix/interlink/test/client"
)

// runGo keeps one Go client connected until ctx ends. Like a page it joins its rooms again after a connect.
func runGo(ctx context.Context, r *recorder, token string) {
	for ctx.Err() == nil {
		if err := live(ctx, r, token); err != nil && ctx.Err() == nil {
			r.fail(err.Error())
		}
		pause(ctx, time.Second+rand.N(time.Second))
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// live is one connection, from its connect to its end.
func live(ctx context.Context, r *recorder, token string) error {
	dialing, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	connected := make(chan struct{}) // closed when the connect is written down: events wait for it
	c, err := client.Dial(dialing, client.Options{
		URL: r.m.url, Transport: r.m.transport, Auth: map[string]any{"token": token},
		Handle: func(e client.Event) {
			<-connected
			handle(r, e)
		},
	})
	if err != nil {
		close(connected)
		return err
	}
	r.add(checker.Observation{Kind: checker.Connected, Time: now()})
	close(connected)
	defer func() { r.add(checker.Observation{Kind: checker.Disconnected, Time: now()}) }()
	if err := joinAll(ctx, c, r); err != nil {
		c.Cut()
		return err
	}
	select {
	case <-c.Done():
		return c.Err()
	case <-ctx.Done():
		c.Close()
		return nil
	}
}

func handle(r *recorder, e client.Event) {
	switch e.Name {
	case "message:new":
		var meta struct{ ID string }
		if len(e.Args) > 1 && json.Unmarshal(e.Args[1], &meta) == nil {
			r.add(checker.Observation{Kind: checker.Handled, Time: now(), ID: meta.ID})
		}
	case "session:ready":
		r.add(checker.Observation{Kind: checker.Joined, Time: now(), Room: "user:" + r.m.user})
	case "room:evicted":
		var data struct{ Room string }
		if json.Unmarshal(e.Args[0], &data) == nil {
			r.add(checker.Observation{Kind: checker.Left, Time: now(), Room: data.Room})
		}
	}
}

func joinAll(ctx context.Context, c *client.Client, r *recorder) error {
	for _, room := range r.m.rooms {
		for {
			answer, err := join(ctx, c, r, room)
			if err != nil {
				return err
			}
			if answer.OK {
				break
			}
			if answer.Error.Code != "unavailable" && answer.Error.Code != "rate_limited" {
				return errors.New("join " + room + ": " + answer.Error.Code)
			}
			pause(ctx, time.Second)
		}
	}
	return nil
}

// join writes the join down where the ack is read: the events behind it must come later in the history.
func join(ctx context.Context, c *client.Client, r *recorder, room string) (client.Answer, error) {
	answers := make(chan client.Answer, 1)
	err := c.Acked(func(args []json.RawMessage) {
		answer, err := client.ReadAnswer(args)
		if err == nil && answer.OK {
			r.add(checker.Observation{Kind: checker.Joined, Time: now(), Room: room})
		}
		answers <- answer
	}, "room:join", room)
	if err != nil {
		return client.Answer{}, err
	}
	select {
	case answer := <-answers:
		return answer, nil
	case <-c.Done():
		return client.Answer{}, c.Err()
	case <-ctx.Done():
		return client.Answer{}, ctx.Err()
	}
}
