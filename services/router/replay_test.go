package router

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	replayv1 "github.com/edumatrix/interlink/proto/replay/v1"
)

func TestReplay(t *testing.T) {
	c := broker(t)
	r, _ := start(t, c, nil)
	ready(t, r)
	for i := range 10 {
		produce(t, c, event(string(red), "", i))
	}
	p := partitionOf(red)
	eventually(t, "the log has them", func() bool {
		log, ok := r.held.Log(p)
		if !ok {
			return false
		}
		_, next, _ := log.Bounds()
		return next == 10
	})
	conn, err := grpc.NewClient(r.opts.GRPCListener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fetch := func(req *replayv1.FetchRequest) (got []string, complete bool, err error) {
		req.Partition = uint32(p)
		stream, err := replayv1.NewReplayClient(conn).Fetch(testContext(t), req)
		if err != nil {
			return nil, false, err
		}
		for {
			m, err := stream.Recv()
			if err != nil {
				return got, complete, err
			}
			for _, b := range m.GetRecords() {
				got = append(got, string(unmarshal(b).GetData()))
			}
			complete = m.GetComplete()
		}
	}
	want := []uint64{red.Hash()}
	if got, complete, _ := fetch(&replayv1.FetchRequest{From: 2, To: 7, Rooms: want}); !complete || !slices.Equal(got, numbers(2, 7)) {
		t.Errorf("a range: %v, complete %v", got, complete)
	}
	if got, complete, _ := fetch(&replayv1.FetchRequest{From: 2, To: 7, Rooms: []uint64{blue.Hash()}}); !complete || got != nil {
		t.Errorf("another room: %v, complete %v", got, complete)
	}
	if got, complete, _ := fetch(&replayv1.FetchRequest{SinceMs: time.Now().Add(-time.Minute).UnixMilli(), To: 10, Rooms: want}); !complete || len(got) != 10 {
		t.Errorf("since a minute ago: %v, complete %v", got, complete)
	}
	if _, complete, err := fetch(&replayv1.FetchRequest{From: 0, To: 10, Rooms: want, MaxEvents: 9}); complete || err == nil || !strings.Contains(err.Error(), "ResourceExhausted") {
		t.Errorf("over the bound: complete %v, %v", complete, err)
	}
}

func TestReplayOfWhatTheLogHasLostComesFromKafka(t *testing.T) {
	c := broker(t)
	r, _ := start(t, c, func(o *Options) { o.LogBytes = 1000 })
	ready(t, r)
	var all []kafka.Message
	for i := range 100 {
		all = append(all, event(string(red), fmt.Sprint("id", i%90), i))
	}
	produce(t, c, all...)
	p := partitionOf(red)
	log, _ := r.held.Log(p)
	eventually(t, "the log has them", func() bool { _, next, _ := log.Bounds(); return next == 100 })
	conn, err := grpc.NewClient(r.opts.GRPCListener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fetch := func(from, to int64) (got []string, err error) {
		stream, err := replayv1.NewReplayClient(conn).Fetch(testContext(t), &replayv1.FetchRequest{Partition: uint32(p), From: from, To: to, Rooms: []uint64{red.Hash()}})
		for err == nil {
			var m *replayv1.FetchResponse
			if m, err = stream.Recv(); err != nil {
				break
			}
			for _, b := range m.GetRecords() {
				got = append(got, string(unmarshal(b).GetData()))
			}
		}
		return got, err
	}
	if got, _ := fetch(5, 97); !slices.Equal(got, numbers(5, 90)) { // 90 to 96 repeat ids, of which some lie before the range
		t.Errorf("got %v", got)
	}
	if err := c.DeleteRecords("interlink.events", int32(p), 10); err != nil {
		t.Fatal(err)
	}
	if _, err := fetch(5, 97); err == nil || !strings.Contains(err.Error(), "OutOfRange") {
		t.Errorf("what has expired: %v", err)
	}
	if _, err := fetch(20, 200); err == nil || !strings.Contains(err.Error(), "Unavailable") {
		t.Errorf("what is not there yet: %v", err)
	}
}
