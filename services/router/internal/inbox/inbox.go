// Package inbox owns the consumer that brings queued events to their users' inboxes, which presence keeps (DESIGN,
// "Delivery" 8). It reads the events topic by a group of its own, so that Redis in trouble delays nobody's live events.
//
// Everything queued is brought, whoever is online, in the order of each partition, and the group's offset follows
// presence's answers: while presence is away it waits, and skips nothing. What is brought again changes nothing.
package inbox

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/internal/room"
	"github.com/edumatrix/interlink/services/router/internal/envelope"
	"github.com/edumatrix/interlink/services/router/internal/partitionlog"
)

// Presence keeps inboxes.
type Presence interface {
	AppendInbox(ctx context.Context, in *presencev1.AppendInboxRequest, opts ...grpc.CallOption) (*presencev1.AppendInboxResponse, error)
}

// Offsets asks Kafka where a partition is.
type Offsets interface {
	Offsets(ctx context.Context, topic string, partition int) (first, next int64, err error)
	OffsetAt(ctx context.Context, topic string, partition int, t time.Time) (int64, error)
	TimeAt(ctx context.Context, topic string, partition int, offset int64) (time.Time, bool, error)
}

// Result says what became of a queued event for one user, or of one that names nobody. A closed set.
type Result string

// The results.
const (
	Kept    Result = "kept"    // waits in the inbox
	Known   Result = "known"   // brought before, received already, or waiting under the same id
	Ignored Result = "ignored" // queue without users
	Refused Result = "refused" // presence can't take it, ever
)

// Options of a Feeder. Zero durations and numbers mean the defaults.
type Options struct {
	Topic    string
	Log      string        // incarnation of the topic, by which presence tells inboxes apart
	TTL      time.Duration // what is older is in no inbox, default 168 h
	Window   time.Duration // an id is kept once within twice of it, default 2 min
	MaxIDs   int           // remembered per partition and window, default 65,536
	Presence Presence
	Offsets  Offsets
	// Wake pushes ephemeral records to the gateways that have their rooms; it must not block.
	Wake    func(records []*deliveryv1.Record)
	Observe func(r Result, n int)
	Logger  *slog.Logger
}

const (
	callTimeout  = 10 * time.Second
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
	callEntries  = 500
	callBytes    = 2 << 20 // of records, in one call; a single one may be longer
)

// WakeEvent is the name of the event by which live sessions learn that a late entry lies in their inbox. It is for
// gateways and never goes to a browser. Its data is WakeData.
const WakeEvent = "interlink:inbox"

// WakeData names the sessions that are to read again.
type WakeData struct {
	Sessions []string `json:"session"`
}

// Feeder is the consumer's handler. Safe for use by many goroutines.
type Feeder struct {
	opts Options

	mu    sync.Mutex // guards parts, and done and lag of each
	parts map[int]*part
}

// part is one partition. ids belongs to the partition's reader.
type part struct {
	from int64 // below it, only ids are read
	done int64 // below it, presence has everything
	lag  int64
	ids  *partitionlog.IDs
}

// New makes a Feeder.
func New(o Options) *Feeder {
	if o.TTL <= 0 {
		o.TTL = 168 * time.Hour
	}
	if o.Window <= 0 {
		o.Window = 2 * time.Minute
	}
	if o.MaxIDs <= 0 {
		o.MaxIDs = 1 << 16
	}
	return &Feeder{opts: o, parts: map[int]*part{}}
}

// Start goes on at the committed offset. Without one, or with one that is not of this topic, it begins with what an
// inbox may still hold, never at the end. For the ids it reads from two windows before.
func (f *Feeder) Start(ctx context.Context, partition int, committed int64) (int64, error) {
	first, end, err := f.opts.Offsets.Offsets(ctx, f.opts.Topic, partition)
	if err != nil {
		return 0, err
	}
	from := committed
	if from < 0 || from > end {
		if from, err = f.opts.Offsets.OffsetAt(ctx, f.opts.Topic, partition, time.Now().Add(-f.opts.TTL)); err != nil {
			return 0, err
		}
	}
	from = min(max(from, first), end)
	at := time.Now()
	if from < end {
		t, ok, err := f.opts.Offsets.TimeAt(ctx, f.opts.Topic, partition, from)
		if err != nil {
			return 0, err
		}
		if ok {
			at = t
		}
	}
	start, err := f.opts.Offsets.OffsetAt(ctx, f.opts.Topic, partition, at.Add(-2*f.opts.Window))
	if err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.parts[partition] = &part{from: from, done: from, lag: end - from, ids: partitionlog.NewIDs(f.opts.MaxIDs)}
	return max(min(start, from), first), nil
}

// Batch brings what is queued among the records, and returns when presence has it, or ctx ends.
func (f *Feeder) Batch(ctx context.Context, partition int, records []envelope.Message, next, highWater int64) {
	f.mu.Lock()
	p := f.parts[partition]
	f.mu.Unlock()
	if p == nil {
		return
	}
	p.ids.Tick(time.Now(), f.opts.Window)
	var entries []*presencev1.InboxEntry
	for _, m := range records {
		entries = append(entries, f.entries(p, m)...)
	}
	for len(entries) > 0 {
		n := chunk(entries)
		if !f.bring(ctx, partition, entries[:n]) {
			return
		}
		entries = entries[n:]
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p.done, p.lag = max(p.done, next), max(highWater-next, 0)
}

// entries are those of one record: one for each user, all sharing its bytes. What can't be read was buried by those
// who deliver.
func (f *Feeder) entries(p *part, m envelope.Message) []*presencev1.InboxEntry {
	if !envelope.MayQueue(m) {
		return nil
	}
	d, err := envelope.Decode(m)
	if err != nil || !d.Record.GetQueue() && !d.QueueFor {
		return nil
	}
	if d.Named && !p.ids.Add(d.Record.GetId(), m.Offset) || m.Offset < p.from {
		return nil
	}
	if d.QueueFor {
		f.opts.Observe(Ignored, 1)
		return nil
	}
	b, err := proto.Marshal(d.Record)
	if err != nil {
		f.opts.Logger.Error("a queued record can't be marshalled", "partition", m.Partition, "offset", m.Offset, "error", err)
		return nil
	}
	out := make([]*presencev1.InboxEntry, len(d.Users))
	for i, u := range d.Users {
		out[i] = &presencev1.InboxEntry{User: u, Id: d.Record.GetId(), Partition: uint32(m.Partition), Offset: m.Offset,
			TimeMs: d.Record.GetTimeMs(), Record: b}
	}
	return out
}

// chunk is how many of the entries go into one call.
func chunk(entries []*presencev1.InboxEntry) int {
	n, bytes := 0, 0
	for n < min(len(entries), callEntries) && (n == 0 || bytes+len(entries[n].GetRecord()) <= callBytes) {
		bytes += len(entries[n].GetRecord())
		n++
	}
	return n
}

// bring tries until presence has the entries; false if ctx ended first.
func (f *Feeder) bring(ctx context.Context, partition int, entries []*presencev1.InboxEntry) bool {
	pause, told := firstPause, false
	for {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		answer, err := f.opts.Presence.AppendInbox(call, &presencev1.AppendInboxRequest{Log: f.opts.Log, Entries: entries})
		cancel()
		switch {
		case ctx.Err() != nil:
			return false
		case err == nil:
			f.brought(entries, answer)
			return true
		case status.Code(err) == codes.InvalidArgument:
			f.opts.Logger.ErrorContext(ctx, "presence refuses queued events", "partition", partition, "offset", entries[0].GetOffset(), "entries", len(entries), "error", err)
			f.opts.Observe(Refused, len(entries))
			return true
		}
		if !told {
			f.opts.Logger.WarnContext(ctx, "presence does not take queued events; they wait in kafka", "partition", partition, "offset", entries[0].GetOffset(), "error", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
}

// brought counts, and wakes the sessions to which an entry will not come by itself.
func (f *Feeder) brought(entries []*presencev1.InboxEntry, answer *presencev1.AppendInboxResponse) {
	kept := 0
	wake := map[string][]string{}
	for i, a := range answer.GetAppended() {
		if a.GetAdded() {
			kept++
		}
		if i < len(entries) && len(a.GetWake()) > 0 {
			user := entries[i].GetUser()
			wake[user] = append(wake[user], a.GetWake()...)
		}
	}
	f.opts.Observe(Kept, kept)
	f.opts.Observe(Known, len(entries)-kept)
	if len(wake) == 0 {
		return
	}
	records := make([]*deliveryv1.Record, 0, len(wake))
	for _, user := range slices.Sorted(maps.Keys(wake)) {
		slices.Sort(wake[user])
		data, err := json.Marshal(WakeData{Sessions: slices.Compact(wake[user])})
		if err != nil {
			panic(err) // strings always marshal
		}
		records = append(records, &deliveryv1.Record{Event: WakeEvent, Rooms: []string{string(room.OfUser(user))}, Data: data, TimeMs: time.Now().UnixMilli()})
	}
	f.opts.Wake(records)
}

// Commit is the offset below which presence has everything.
func (f *Feeder) Commit(partition int) (int64, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.parts[partition]
	if p == nil {
		return 0, false
	}
	return p.done, true
}

// Assigned forgets partitions that are not in the new generation.
func (f *Feeder) Assigned(all []int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.parts, func(p int, _ *part) bool { return !slices.Contains(all, p) })
}

// Lag is how many records of the assigned partitions have not been looked through.
func (f *Feeder) Lag() (lag int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.parts {
		lag += p.lag
	}
	return lag
}
