package partitionlog

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/edumatrix/interlink/services/internal/room"
	"github.com/edumatrix/interlink/services/router/internal/envelope"
)

// Of is the entry of a decoded record; at is the Kafka record's time.
func Of(d envelope.Decoded, at time.Time) (Entry, error) {
	b, err := proto.Marshal(d.Record)
	if err != nil {
		return Entry{}, fmt.Errorf("marshal record %d: %w", d.Record.Offset, err)
	}
	e := Entry{Offset: d.Record.Offset, Record: b, Rooms: make([]uint64, len(d.Record.Rooms)), TimeMs: at.UnixMilli(),
		Key: d.Key, OddKey: d.OddKey}
	for i, r := range d.Record.Rooms {
		e.Rooms[i] = room.Room(r).Hash()
	}
	if d.Named {
		e.ID = d.Record.Id
	}
	return e, nil
}
