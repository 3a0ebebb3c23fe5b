// Package deadletter owns what could not be read: it is written to the dead-letter topic with the reason,
// beside the reading of the partition, which never waits for it.
package deadletter

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/edumatrix/interlink/services/router/internal/envelope"
)

// ErrTooLarge is what a Writer's error wraps if the record is larger than the topic takes.
var ErrTooLarge = errors.New("the letter is larger than the dead-letter topic takes")

// Writer appends one record to the dead-letter topic and returns when the brokers have it.
type Writer interface {
	Bury(ctx context.Context, key, value []byte, headers []envelope.Header) error
}

// MaxBytes bounds what waits to be written. Beyond it letters are dropped, counted and logged.
const MaxBytes = 16 << 20

const retryAfter = time.Second

// cutBytes is what is kept of a value that is too large as it came: headers and the like leave less room than the
// original had. It is a beginning to recognise the record by; the rest is still at its source.
const cutBytes = 64 << 10

type letter struct {
	m      envelope.Message
	reason envelope.Reason
	detail string
	cut    int // bytes of the original value, if it is not whole any more
}

// Office writes letters in the order in which they came. Safe for use by many goroutines.
type Office struct {
	writer  Writer
	logger  *slog.Logger
	dropped func()
	wake    chan struct{}

	mu    sync.Mutex // guards what follows
	queue []letter
	bytes int
	space chan struct{} // closed when there is more room
}

// New makes an Office; dropped is called for each letter that found no room.
func New(w Writer, logger *slog.Logger, dropped func()) *Office {
	return &Office{writer: w, logger: logger, dropped: dropped, wake: make(chan struct{}, 1), space: make(chan struct{})}
}

// Send queues a letter. It never blocks: without room the letter is dropped.
func (o *Office) Send(m envelope.Message, reason envelope.Reason, detail string) {
	if !o.put(letter{m: m, reason: reason, detail: detail}) {
		o.dropped()
	}
}

// Deliver is Send for whoever may wait: it blocks while there is no room, until ctx ends.
func (o *Office) Deliver(ctx context.Context, m envelope.Message, reason envelope.Reason, detail string) {
	for {
		o.mu.Lock()
		space := o.space
		o.mu.Unlock()
		if o.put(letter{m: m, reason: reason, detail: detail}) {
			return
		}
		select {
		case <-space:
		case <-ctx.Done():
			return // it is read again
		}
	}
}

// put queues a letter if there is room for it.
func (o *Office) put(l letter) bool {
	o.mu.Lock()
	room := o.bytes+size(l.m) <= MaxBytes
	if room {
		o.queue = append(o.queue, l)
		o.bytes += size(l.m)
	}
	o.mu.Unlock()
	if !room {
		return false
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return true
}

func size(m envelope.Message) int { return len(m.Key) + len(m.Value) + 256 }

// Low is the oldest offset of a partition that still waits to be written: commits stay below it.
func (o *Office) Low(partition int) (offset int64, waiting bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range o.queue {
		if l.m.Partition == partition {
			return l.m.Offset, true
		}
	}
	return 0, false
}

// Run writes until ctx ends.
func (o *Office) Run(ctx context.Context) error {
	for {
		l, ok := o.first()
		if !ok {
			select {
			case <-ctx.Done():
				return nil
			case <-o.wake:
			}
			continue
		}
		err := o.bury(ctx, l)
		switch {
		case errors.Is(err, ErrTooLarge): // no waiting mends that, and what comes behind must not wait for it
			o.logger.ErrorContext(ctx, "a dead letter finds no room on its topic and is dropped", "partition", l.m.Partition, "offset", l.m.Offset, "error", err)
			o.dropped()
			fallthrough
		case err == nil:
			o.done()
			continue
		}
		o.logger.WarnContext(ctx, "cannot write a dead letter, trying again", "partition", l.m.Partition, "offset", l.m.Offset, "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryAfter):
		}
	}
}

// bury writes a letter whole, else the beginning of it, else only where it came from and why.
func (o *Office) bury(ctx context.Context, l letter) error {
	err := o.writer.Bury(ctx, l.m.Key, l.m.Value, headers(l))
	if !errors.Is(err, ErrTooLarge) {
		return err
	}
	l.cut = len(l.m.Value)
	l.m.Value = l.m.Value[:min(cutBytes, l.cut)]
	if err := o.writer.Bury(ctx, l.m.Key, l.m.Value, headers(l)); !errors.Is(err, ErrTooLarge) {
		return err
	}
	l.m.Key, l.m.Value, l.m.Headers = nil, nil, nil
	return o.writer.Bury(ctx, nil, nil, headers(l))
}

func (o *Office) first() (letter, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 {
		return letter{}, false
	}
	return o.queue[0], true
}

func (o *Office) done() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes -= size(o.queue[0].m)
	o.queue[0] = letter{}
	o.queue = o.queue[1:]
	close(o.space)
	o.space = make(chan struct{})
}

// headers keep the original ones and say why and where from, and how long a value was that is cut short.
func headers(l letter) []envelope.Header {
	source := l.m.Topic + "/" + strconv.Itoa(l.m.Partition) + "/" + strconv.FormatInt(l.m.Offset, 10)
	out := append([]envelope.Header(nil), l.m.Headers...)
	out = append(out, envelope.Header{Key: "reason", Value: []byte(l.detail)}, envelope.Header{Key: "source", Value: []byte(source)},
		envelope.Header{Key: "code", Value: []byte(l.reason)})
	if l.cut > 0 {
		out = append(out, envelope.Header{Key: "cut", Value: strconv.AppendInt(nil, int64(l.cut), 10)})
	}
	return out
}
