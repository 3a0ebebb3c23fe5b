package replay

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	replayv1 "github.com/edumatrix/interlink/proto/replay/v1"
	"github.com/edumatrix/interlink/services/router/internal/partitionlog"
)

const red = 7

// stream takes what is sent.
type stream struct {
	grpc.ServerStreamingServer[replayv1.FetchResponse]
	ctx context.Context
}

func (s stream) Context() context.Context           { return s.ctx }
func (s stream) Send(*replayv1.FetchResponse) error { return nil }

// logs are the logs of all partitions.
type logs map[int]*partitionlog.Log

func (l logs) Log(partition int) (*partitionlog.Log, bool) { p, ok := l[partition]; return p, ok }

// frozen is a Kafka that does not answer.
type frozen struct{}

func (frozen) Open(ctx context.Context, _ int, _ int64) (Cursor, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (frozen) OffsetAt(context.Context, int, time.Time) (int64, error) { return 0, nil }

func logOf(earliest, next int64) *partitionlog.Log {
	l := partitionlog.New(partitionlog.Options{Window: time.Minute, MaxBytes: 1 << 20, MaxIDs: 10}, earliest, earliest, time.Now())
	for o := earliest; o < next; o++ {
		l.Append([]partitionlog.Entry{{Offset: o, Rooms: []uint64{red}, Record: []byte("r")}}, o+1, 0)
	}
	return l
}

func TestWhoWaitsKeepsNobodyFromMemory(t *testing.T) {
	for name, waiting := range map[string]*replayv1.FetchRequest{
		"for a log that is late":        {Partition: 1, From: 0, To: 99},
		"for a Kafka that is not there": {Partition: 2, From: 0, To: 12},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(Options{Logs: logs{1: logOf(0, 5), 2: logOf(10, 12)}, History: frozen{}, Observe: func(string) {}, AtOnce: 2, FromKafka: 1, Wait: time.Hour})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				for range 5 {
					go s.Fetch(waiting, stream{ctx: ctx})
				}
				synctest.Wait()
				began := time.Now()
				soon, stop := context.WithTimeout(ctx, time.Minute)
				defer stop()
				if err := s.Fetch(&replayv1.FetchRequest{Partition: 1, From: 0, To: 5, Rooms: []uint64{red}}, stream{ctx: soon}); err != nil || time.Since(began) > 0 {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
			})
		})
	}
}
