package why

import (
	"context"

	whyv1 "github.com/edumatrix/interlink/proto/why/v1"
	"github.com/edumatrix/interlink/services/router/internal/envelope"
	"github.com/edumatrix/interlink/services/router/internal/partitionlog"
	"github.com/edumatrix/interlink/services/router/internal/partitions"

	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
)

// Logs are the partition logs of this router.
type Logs interface {
	Owned() (all []partitions.Owned, version uint64)
}

// Finder looks through the partition logs of one router. It implements interlink.why.v1.
type Finder struct {
	whyv1.UnimplementedWhyServer
	Router string
	Topic  string
	Logs   Logs
}

// Find looks for an event by its id. It never blocks.
func (f *Finder) Find(_ context.Context, req *whyv1.FindRequest) (*whyv1.FindResponse, error) {
	out := &whyv1.FindResponse{Router: f.Router}
	owned, _ := f.Logs.Owned()
	for _, o := range owned {
		earliest, next, _ := o.Log.Bounds()
		out.Held = append(out.Held, &whyv1.Held{Partition: uint32(o.Partition), Earliest: earliest, Next: next})
		if found := find(o, f.Topic, req.GetId()); found != nil {
			out.Found = append(out.Found, found)
		}
	}
	return out, nil
}

func find(o partitions.Owned, topic, id string) *whyv1.Found {
	offset, known := o.Log.Known(id)
	if p, at, is := envelope.ParseDefaultID(topic, id); !known && is && p == o.Partition {
		offset = at
		if _, known = o.Log.At(at); !known {
			return nil
		}
	}
	if !known {
		return nil
	}
	out := &whyv1.Found{Partition: uint32(o.Partition), Offset: offset}
	if e, ok := o.Log.At(offset); ok {
		out.TimeMs, out.Record, out.WrongKey, out.Key = e.TimeMs, e.Record, e.OddKey, keyOf(e)
	}
	return out
}

// keyOf is the key that a record was written with: its first target, unless the entry names another.
func keyOf(e partitionlog.Entry) string {
	if e.Key != "" || e.OddKey {
		return e.Key
	}
	var rec deliveryv1.Record
	if proto.Unmarshal(e.Record, &rec) != nil || len(rec.GetRooms()) == 0 {
		return ""
	}
	return rec.GetRooms()[0]
}
