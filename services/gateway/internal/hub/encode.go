package hub

import (
	"strconv"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/cursor"
	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/recovery"
	"github.com/edumatrix/interlink/services/gateway/internal/socketio"
)

// appendEvent appends `["event",data,meta` of a record, without the end.
func appendEvent(b []byte, r *record, queued bool) []byte {
	b = append(b, '[')
	b = socketio.AppendString(b, r.event)
	b = append(b, ',')
	switch {
	case r.binary:
		b = socketio.AppendPlaceholder(b, 0)
	case len(r.data) == 0:
		b = append(b, "null"...)
	default:
		b = append(b, r.data...)
	}
	b = append(b, `,{"id":`...)
	b = socketio.AppendString(b, r.id)
	b = append(b, `,"time":`...)
	b = strconv.AppendInt(b, r.timeMs, 10)
	if r.singleRoom && len(r.rooms) == 1 {
		b = append(b, `,"room":`...)
		b = socketio.AppendString(b, r.rooms[0])
	}
	if queued {
		b = append(b, `,"queued":true`...)
	}
	return append(b, '}')
}

// eventRoom is about what an event takes beside its data, in bytes.
const eventRoom = 320

// encodeDurable makes the frame of a durable record: `["event",data,meta,cursor]`. appendCursor appends the cursor's
// text; it is valid until the frame is gone.
func encodeDurable(r *record, queued bool, appendCursor func([]byte) []byte) (f *engine.Frame, cursor []byte) {
	if r.binary {
		b := socketio.AppendHeader(make([]byte, 0, eventRoom), socketio.BinaryEvent, 1, socketio.Main)
		b = appendEvent(b, r, queued)
		b, from, to := appendQuoted(b, appendCursor)
		return engine.BinaryFrame(engine.Durable, b, [][]byte{r.data}), b[from:to]
	}
	b := socketio.AppendHeader(engine.BeginText(eventRoom+len(r.data)), socketio.Event, 0, socketio.Main)
	b = appendEvent(b, r, queued)
	b, from, to := appendQuoted(b, appendCursor)
	return engine.EndText(engine.Durable, b), b[from:to:to]
}

func appendQuoted(b []byte, text func([]byte) []byte) (out []byte, from, to int) {
	b = append(b, `,"`...)
	from = len(b)
	b = text(b)
	to = len(b)
	return append(b, `"]`...), from, to
}

// encodeEphemeral makes the frame of an ephemeral record: `["event",data,meta]`. It ends in an object, never a string.
func encodeEphemeral(r *record) *engine.Frame {
	var f *engine.Frame
	if r.binary {
		b := socketio.AppendHeader(make([]byte, 0, eventRoom), socketio.BinaryEvent, 1, socketio.Main)
		b = append(appendEvent(b, r, false), ']')
		f = engine.BinaryFrame(engine.Ephemeral, b, [][]byte{r.data})
	} else {
		b := socketio.AppendHeader(engine.BeginText(eventRoom+len(r.data)), socketio.Event, 0, socketio.Main)
		b = append(appendEvent(b, r, false), ']')
		f = engine.EndText(engine.Ephemeral, b)
	}
	if r.replace != "" {
		f = f.WithKey(r.replace)
	}
	return f
}

// Note makes the frame of an event of the gateway's own: `["name",data,{"time":…},"cursor"]`, without the last if
// cursor is empty. data is JSON; nil is null.
func Note(name string, data []byte, timeMs int64, cursor []byte) *engine.Frame {
	b := socketio.AppendHeader(engine.BeginText(eventRoom+len(data)), socketio.Event, 0, socketio.Main)
	b = append(b, '[')
	b = socketio.AppendString(b, name)
	b = append(b, ',')
	if data == nil {
		b = append(b, "null"...)
	}
	b = append(b, data...)
	b = append(b, `,{"time":`...)
	b = strconv.AppendInt(b, timeMs, 10)
	b = append(b, '}')
	if len(cursor) > 0 {
		b = append(b, `,"`...)
		b = append(b, cursor...)
		b = append(b, '"')
	}
	return engine.EndText(engine.Durable, append(b, ']'))
}

// Replay encodes a replay: each event with the cursor of how far the replay has come, which carries the whole vector.
// Out is the outcome of the join that it leads up to. Any goroutine.
func (h *Hub) Replay(r *recovery.Replay, out Outcome) []*engine.Frame {
	signers := h.signers.Load()
	signer := signers.Get().(*cursor.Signer)
	defer signers.Put(signer)
	now, base := h.options.Now().UnixMilli(), &cursor.Base{Epoch: out.Epoch, Life: h.options.Life}
	var frames []*engine.Frame
	for next, at := r.Next(); next != nil; next, at = r.Next() {
		record := fromProto(next)
		frame, _ := encodeDurable(&record, false, func(b []byte) []byte { return signer.Append(b, base, out.Era, at, now) })
		frames = append(frames, tagged(frame, r.Partition(), &record))
	}
	return frames
}

// fromProto is the part of a record that its encoding and its receipt take.
func fromProto(r *deliveryv1.Record) record {
	return record{
		offset: r.Offset, id: r.Id, event: r.Event, rooms: r.Rooms, data: r.Data, binary: r.Binary, timeMs: r.TimeMs, from: r.From,
		receipt: r.Receipt, queue: r.Queue, singleRoom: r.SingleRoom,
	}
}
