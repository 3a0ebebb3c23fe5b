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

// goClient is one Go client. It does what the stock client does: it keeps its session from one connection to the next,
// comes back after a delay that grows until a connection is open, and, like a page, joins its rooms when it had to begin
// anew.
type goClient struct {
	r       *recorder
	token   string
	plan    Plan
	session client.Session
}

// run keeps the client connected until ctx ends.
func (g *goClient) run(ctx context.Context) {
	least := g.plan.Backoff
	if least == 0 {
		least = time.Second
	}
	for tries := 0; ctx.Err() == nil; tries++ {
		opened, err := g.live(ctx)
		if err != nil && ctx.Err() == nil {
			g.r.fail(err.Error())
		}
		if opened {
			tries = 0
		}
		delay := min(least<<min(tries, 3), 5*least)
		pause(ctx, delay/2+rand.N(delay))
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
func (g *goClient) live(ctx context.Context) (opened bool, err error) {
	dialing, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	c, err := client.Dial(dialing, client.Options{
		URL: g.r.m.url, Transport: g.r.m.transport, Auth: map[string]any{"token": g.token}, OpenTimeout: g.plan.OpenTimeout,
		Session: &g.session,
		Connected: func(recovered bool) {
			opened = true
			g.r.add(checker.Observation{Kind: checker.Connected, Time: now(), Recovered: recovered})
		},
		Handle: func(e client.Event) { handle(g.r, e) },
	})
	if err != nil {
		if opened {
			g.r.add(checker.Observation{Kind: checker.Disconnected, Time: now()})
		}
		return opened, err
	}
	defer func() {
		c.Wait()
		g.r.add(checker.Observation{Kind: checker.Disconnected, Time: now()})
	}()
	if err := joinAll(ctx, c, g.r); err != nil {
		c.Cut()
		return true, err
	}
	select {
	case <-c.Done():
		return true, c.Err()
	case <-ctx.Done():
		c.Close()
		return true, nil
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
		var data struct {
			Recovered bool
			Reason    string
		}
		if json.Unmarshal(e.Args[0], &data) == nil {
			r.add(checker.Observation{Kind: checker.Told, Time: now(), Recovered: data.Recovered, Reason: data.Reason})
		}
		r.add(checker.Observation{Kind: checker.Joined, Time: now(), Room: "user:" + r.m.user})
	case "room:evicted":
		var data struct{ Room string }
		if json.Unmarshal(e.Args[0], &data) == nil {
			r.add(checker.Observation{Kind: checker.Left, Time: now(), Room: data.Room})
		}
	}
}

// joinAll joins what the client is not in: everything after a connect that began anew, what was not acked after a recovery.
func joinAll(ctx context.Context, c *client.Client, r *recorder) error {
	for _, room := range r.missing() {
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
	r.add(checker.Observation{Kind: checker.Asked, Time: now(), Room: room})
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
