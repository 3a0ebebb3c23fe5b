package chaos

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/edumatrix/interlink/test/client"
	"github.com/edumatrix/interlink/test/harness"
)

// every runs f each interval until the returned function is called, which waits for the last one to end.
func every(interval time.Duration, f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				f(ctx)
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// Commits follows the committed offsets of a consumer group.
type Commits struct {
	mu    sync.Mutex // guards what follows
	last  map[int]int64
	back  []string
	reads int
}

// WatchCommits reads the offsets twice a second until stop is called.
func WatchCommits(broker, group, topic string, partitions int) (c *Commits, stop func()) {
	c = &Commits{last: map[int]int64{}}
	wanted := make([]int, partitions)
	for i := range wanted {
		wanted[i] = i
	}
	admin := &kafka.Client{Addr: kafka.TCP(broker), Timeout: 5 * time.Second}
	return c, every(500*time.Millisecond, func(ctx context.Context) {
		got, err := admin.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: wanted}})
		if err == nil && got.Error == nil {
			c.take(got.Topics[topic])
		}
	})
}

func (c *Commits) take(partitions []kafka.OffsetFetchPartition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	for _, p := range partitions {
		if p.Error != nil || p.CommittedOffset < 0 {
			continue
		}
		if before, known := c.last[p.Partition]; known && p.CommittedOffset < before {
			c.back = append(c.back, fmt.Sprintf("partition %d: from %d to %d", p.Partition, before, p.CommittedOffset))
		}
		c.last[p.Partition] = p.CommittedOffset
	}
}

// Result returns how often an offset went back and how many partitions have one.
func (c *Commits) Result() (back []string, partitions, reads int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.back), len(c.last), c.reads
}

// Memory follows the resident memory of a system's processes.
type Memory struct {
	mu   sync.Mutex // guards what follows
	most map[string]int64
}

// WatchMemory reads it each second until stop is called. processes is called each time: some come and go.
func WatchMemory(processes func() map[string]int) (m *Memory, stop func()) {
	m = &Memory{most: map[string]int64{}}
	return m, every(time.Second, func(context.Context) {
		for name, pid := range processes() {
			if rss, err := harness.RSS(pid); err == nil {
				m.mu.Lock()
				m.most[name] = max(m.most[name], rss)
				m.mu.Unlock()
			}
		}
	})
}

// Most returns the most that each process held, in bytes.
func (m *Memory) Most() map[string]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.most)
}

// Joins asks one gateway for rooms that nobody has, again and again: each must start somewhere.
type Joins struct {
	mu      sync.Mutex // guards what follows
	done    int
	refused map[string]int
	longest time.Duration // between two that worked
	last    time.Time
}

// WatchJoins joins a fresh room every 200 ms through its own connection until stop is called.
func WatchJoins(ctx context.Context, url, user string) (j *Joins, stop func(), err error) {
	c, err := client.Dial(ctx, client.Options{URL: url, Auth: map[string]any{"token": harness.Token(user)}})
	if err != nil {
		return nil, nil, err
	}
	j = &Joins{refused: map[string]int{}, last: time.Now()}
	n := 0
	end := every(200*time.Millisecond, func(ctx context.Context) {
		n++
		room := fmt.Sprintf("%s%s-%d", harness.OpenRooms, user, n)
		answer, err := c.Ask(ctx, "room:join", room)
		if ctx.Err() != nil {
			return
		}
		j.take(answer, err)
		if answer.OK { // a socket has room for 200 only
			_, _ = c.Ask(ctx, "room:leave", room)
		}
	})
	return j, func() {
		end()
		c.Close()
		j.mu.Lock()
		defer j.mu.Unlock()
		j.longest = max(j.longest, time.Since(j.last))
	}, nil
}

func (j *Joins) take(answer client.Answer, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case err != nil:
		j.refused[err.Error()]++
	case !answer.OK:
		j.refused[answer.Error.Code]++
	default:
		j.done++
		j.longest = max(j.longest, time.Since(j.last))
		j.last = time.Now()
	}
}

// Result returns how many joins worked, the longest time between two of them, and what the others were told.
func (j *Joins) Result() (done int, longest time.Duration, refused map[string]int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.done, j.longest, maps.Clone(j.refused)
}
