package service_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	emitv1 "github.com/edumatrix/interlink/proto/emit/v1"
	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/presence/internal/memstore"
	"github.com/edumatrix/interlink/services/presence/internal/service"
)

// world is one store, the pods over it and all that they tell. It lives in a synctest bubble, whose clock it uses.
type world struct {
	t     *testing.T
	store *memstore.Store
	pods  []*service.Service
	ears  *ears
}

// ears hears what is told and notes when.
type ears struct {
	mu      sync.Mutex // guards everything below
	events  []heard
	records []string
	away    bool // Publish fails
}

// Publish takes what must reach Kafka.
func (e *ears) Publish(_ context.Context, in *emitv1.PublishRequest, _ ...grpc.CallOption) (*emitv1.PublishResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.away {
		return nil, errors.New("routers are away")
	}
	out := &emitv1.PublishResponse{}
	for _, entry := range in.GetEntries() {
		e.records = append(e.records, entry.GetTopic()+" "+string(entry.GetKey())+" "+string(entry.GetValue()))
		out.Results = append(out.Results, &emitv1.Result{})
	}
	return out, nil
}

func (e *ears) leave(away bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.away = away
}

type heard struct {
	at  time.Time
	rec *deliveryv1.Record
}

func (e *ears) Event(r *deliveryv1.Record) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.events = append(e.events, heard{time.Now(), r})
}

func (e *ears) Record(entry *emitv1.Entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.records = append(e.records, entry.GetTopic()+" "+string(entry.GetKey())+" "+string(entry.GetValue()))
}

// take returns the events since the last take as "user:online u1 status" or "typing:start room u1", and forgets them.
func (e *ears) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]string, 0, len(e.events))
	for _, h := range e.events {
		var data struct{ Room, UserID, Status string }
		if err := json.Unmarshal(h.rec.GetData(), &data); err != nil {
			panic(err)
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s%s %s", h.rec.GetEvent(), data.Room, data.UserID, data.Status)))
	}
	e.events = nil
	return out
}

// all returns the events since the last take.
func (e *ears) all() []heard {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.events)
}

// lifecycle returns all lifecycle records.
func (e *ears) lifecycle() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.records)
}

func newWorld(t *testing.T, pods int) *world {
	w := &world{t: t, store: memstore.New(memstore.Options{}), ears: &ears{}}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range pods {
		s := service.New(service.Options{Store: w.store, Tell: w.ears, Publish: w.ears.Publish})
		w.pods = append(w.pods, s)
		running.Go(func() { _ = s.Run(ctx) })
	}
	t.Cleanup(func() { cancel(); running.Wait() })
	time.Sleep(137 * time.Millisecond) // from here on, whole seconds are never the moment of a tick
	return w
}

// gateway is a gateway's side: it renews its lease until it is killed.
type gateway struct {
	w                 *world
	name, incarnation string
	kill              context.CancelFunc
	pod               atomic.Int64
}

const lease = 9 * time.Second

func (w *world) gateway(name, incarnation string) *gateway {
	ctx, kill := context.WithCancel(w.t.Context())
	g := &gateway{w: w, name: name, incarnation: incarnation, kill: kill}
	g.renew()
	g.sync(true)
	go func() {
		tick := time.NewTicker(lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				g.renew()
			}
		}
	}()
	w.t.Cleanup(kill)
	return g
}

func (g *gateway) renew() {
	_, _ = g.next().Renew(g.w.t.Context(), &presencev1.RenewRequest{
		Gateway: g.name, Incarnation: g.incarnation, Addr: g.name + ":9101", TtlMs: lease.Milliseconds()})
}

// next takes another pod each time.
func (g *gateway) next() *service.Service {
	return g.w.pods[int(g.pod.Add(1))%len(g.w.pods)]
}

func (g *gateway) sync(full bool, changes ...*presencev1.Change) *presencev1.SyncResponse {
	g.w.t.Helper()
	r, err := g.next().Sync(g.w.t.Context(), &presencev1.SyncRequest{
		Gateway: g.name, Incarnation: g.incarnation, Full: full, Changes: changes})
	if err != nil {
		g.w.t.Fatal(err)
	}
	return r
}

// tell applies changes written as "+user/socket", "-user/socket" (left) or "?user/socket" (lost).
func (g *gateway) tell(changes ...string) {
	g.w.t.Helper()
	if g.sync(false, parse(changes)...).GetForgotten() {
		g.w.t.Fatalf("%s is forgotten", g.name)
	}
}

func parse(changes []string) []*presencev1.Change {
	kinds := map[byte]presencev1.Change_Kind{'+': presencev1.Change_ONLINE, '-': presencev1.Change_LEFT, '?': presencev1.Change_LOST}
	out := make([]*presencev1.Change, 0, len(changes))
	for _, c := range changes {
		user, socket, _ := strings.Cut(c[1:], "/")
		out = append(out, &presencev1.Change{Kind: kinds[c[0]], User: user, Socket: socket})
	}
	return out
}

func (w *world) expect(what string, want ...string) {
	w.t.Helper()
	got := w.ears.take()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.t.Errorf("%s: told %q, want %q", what, got, want)
	}
}

func (w *world) online(user string) bool {
	w.t.Helper()
	r, err := w.pods[0].Query(w.t.Context(), &presencev1.QueryRequest{Users: []string{user}})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.GetUsers()[user].GetOnline()
}
