package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Published counts what the publishers did.
type Published struct {
	Kafka, HTTP int64
	Retried     int64         // HTTP requests sent again, with the same id
	Failed      int64         // given up
	Took        time.Duration // from the first record to the last
}

// Publish keeps a kafkajs producer and the HTTP API busy, half of the rate each, until the time is over or ctx ends. A
// target without HTTP gets all by Kafka.
// It returns when the brokers have everything.
func (r *Run) Publish(ctx context.Context, during time.Duration) (Published, error) {
	var p Published
	begun := time.Now()
	brokers := r.target.Brokers
	r.publications++
	rate := r.plan.Rate / 2
	if len(r.target.Emit) == 0 {
		rate = r.plan.Rate
	}
	order := map[string]any{
		"retryFor": r.plan.RetryFor.Milliseconds(), "topic": r.target.Topic, "rate": rate, "rival": r.plan.Rivals > 0, "rooms": r.plan.allRooms(),
		"users": []string{r.recorders[0].m.user}, "prefix": fmt.Sprintf("%s-k%d", r.plan.Name, r.publications),
	}
	if len(r.target.TLSBrokers) > 0 {
		brokers = r.target.TLSBrokers
		order["ca"] = r.target.CAFile
		order["sasl"] = map[string]string{"mechanism": "scram-sha-512", "username": r.target.User, "password": r.target.Password}
	}
	order["brokers"] = brokers
	kafka, err := startWorker(r.target, r.plan.Name+"-producer", "producer.js", order, func(line string) {
		var n int64
		if _, err := fmt.Sscanf(line, "sent %d", &n); err == nil {
			atomic.StoreInt64(&p.Kafka, n)
		}
	})
	if err != nil {
		return p, err
	}
	publishing, cancel := context.WithTimeout(ctx, during)
	defer cancel()
	if len(r.target.Emit) > 0 {
		r.publishHTTP(publishing, &p)
	} else {
		<-publishing.Done()
	}
	err = kafka.stop(time.Minute)
	p.Took = time.Since(begun)
	return p, err
}

// publishHTTP posts at half of the plan's rate. A request that fails is sent again with its id, as a careful caller does.
func (r *Run) publishHTTP(ctx context.Context, p *Published) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, 256) // a frozen server keeps each for postWithin
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	begun := time.Now()
	next := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for due := int(time.Since(begun).Seconds() * float64(r.plan.Rate/2)); next < due; next++ {
			n := next
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			wg.Go(func() {
				defer func() { <-slots }()
				r.post(p, n)
			})
		}
	}
}

const postWithin = 5 * time.Second

func (r *Run) post(p *Published, n int) {
	to := map[string]any{"rooms": []string{r.plan.Room(rand.IntN(r.plan.Rooms))}}
	if n%10 == 0 {
		to["users"] = []string{r.recorders[rand.IntN(len(r.recorders))].m.user}
	}
	retryFor, begun := r.plan.RetryFor, time.Now()
	if retryFor == 0 {
		retryFor = 2 * time.Minute
	}
	id := fmt.Sprintf("%s-h%d-%d", r.plan.Name, r.publications, n)
	for try := 0; time.Since(begun) < retryFor; try++ {
		// Each try has a stamp of its own: what a dead server never took is not late.
		body, _ := json.Marshal(map[string]any{
			"id": id, "event": "message:new", "to": to, "data": map[string]any{"n": n, "t": now(), "text": strings.Repeat("y", 160)},
		})
		if try > 0 {
			atomic.AddInt64(&p.Retried, 1)
			time.Sleep(min(time.Duration(try)*100*time.Millisecond, 2*time.Second))
		}
		if r.postOnce(r.emitAt(n+try), body) == nil {
			atomic.AddInt64(&p.HTTP, 1)
			return
		}
	}
	atomic.AddInt64(&p.Failed, 1)
}

func (r *Run) postOnce(base string, body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), postWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/emit", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+r.target.Key)
	res, err := r.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	if res.StatusCode != http.StatusAccepted {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}
