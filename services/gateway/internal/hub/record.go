package hub

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/internal/room"
)

// record is a deliveryv1.Record read without copying: strings and data point into the message that it came in, which
// must not be changed any more.
type record struct {
	offset        int64
	id            string
	event         string
	rooms         []string
	exceptUsers   []string
	exceptSockets []string
	data          []byte
	binary        bool
	timeMs        int64
	from          string
	receipt       bool
	queue         bool
	replace       string
	control       *deliveryv1.Control
	singleRoom    bool

	one [1]string // memory of rooms while there is but one
}

var errRecord = errors.New("hub: malformed record")

// Field numbers of deliveryv1.Record.
const (
	fieldOffset        = 1
	fieldID            = 2
	fieldEvent         = 3
	fieldRooms         = 4
	fieldExceptUsers   = 5
	fieldExceptSockets = 6
	fieldData          = 7
	fieldBinary        = 8
	fieldTime          = 9
	fieldFrom          = 10
	fieldReceipt       = 11
	fieldQueue         = 12
	fieldReplace       = 13
	fieldControl       = 15
	fieldSingleRoom    = 16
)

// read parses a marshalled record into r, which is emptied first. The list of rooms is part of r while there is one, and
// has memory of its own, which may outlive r, if there are more.
func (r *record) read(b []byte) error {
	*r = record{}
	r.rooms = r.one[:0]
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errRecord
		}
		b = b[n:]
		switch kind {
		case protowire.VarintType:
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return errRecord
			}
			b = b[n:]
			r.number(field, v)
		case protowire.BytesType:
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return errRecord
			}
			b = b[n:]
			if err := r.bytes(field, v); err != nil {
				return err
			}
		default:
			n := protowire.ConsumeFieldValue(field, kind, b)
			if n < 0 {
				return errRecord
			}
			b = b[n:]
		}
	}
	return nil
}

func (r *record) number(field protowire.Number, v uint64) {
	switch field {
	case fieldOffset:
		r.offset = int64(v)
	case fieldBinary:
		r.binary = v != 0
	case fieldTime:
		r.timeMs = int64(v)
	case fieldReceipt:
		r.receipt = v != 0
	case fieldQueue:
		r.queue = v != 0
	case fieldSingleRoom:
		r.singleRoom = v != 0
	}
}

func (r *record) bytes(field protowire.Number, v []byte) error {
	switch field {
	case fieldID:
		r.id = alias(v)
	case fieldEvent:
		r.event = alias(v)
	case fieldRooms:
		r.rooms = append(r.rooms, alias(v))
	case fieldExceptUsers:
		r.exceptUsers = append(r.exceptUsers, alias(v))
	case fieldExceptSockets:
		r.exceptSockets = append(r.exceptSockets, alias(v))
	case fieldData:
		r.data = v
	case fieldFrom:
		r.from = alias(v)
	case fieldReplace:
		r.replace = alias(v)
	case fieldControl:
		r.control = &deliveryv1.Control{}
		if err := proto.Unmarshal(v, r.control); err != nil {
			return fmt.Errorf("hub: control record: %w", err)
		}
	}
	return nil
}

// alias is the string that shares the memory of b.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func hashOf(name string) uint64 { return room.Room(name).Hash() }

// linear is the length up to which a list is searched from its start; a longer one is sorted.
const linear = 8

func sorted(list []string) []string {
	if len(list) > linear {
		slices.Sort(list)
	}
	return list
}

func contains(list []string, s string) bool {
	if len(list) > linear {
		_, found := slices.BinarySearch(list, s)
		return found
	}
	return slices.Contains(list, s)
}
