package why

import (
	"testing"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
)

const (
	epoch   = "c/t/4/a"
	offset  = 17
	eventMs = 1_700_000_000_000
)

// gateway is one that has come to a position.
func gateway(name string, position int64, sockets ...*deliveryv1.SocketOutcome) *deliveryv1.OutcomeResponse {
	return &deliveryv1.OutcomeResponse{Gateway: name, TopicEpoch: epoch, Position: position, Sockets: sockets}
}

func socket(name string, sinceMs int64, member bool) *deliveryv1.SocketOutcome {
	return &deliveryv1.SocketOutcome{Socket: name, User: "u1", SinceMs: eventMs + sinceMs, Member: member}
}

func went(name, reason string, atMs int64) *deliveryv1.OutcomeResponse {
	return &deliveryv1.OutcomeResponse{Gateway: "g2", TopicEpoch: epoch, Position: 100,
		Closed: []*deliveryv1.ClosedSocket{{Socket: name, User: "u1", Reason: reason, AtMs: eventMs + atMs}}}
}

func TestWhatBecameOfAnEventForAUser(t *testing.T) {
	here := gateway("g1", 100, socket("s1", -5000, true))
	for name, tt := range map[string]struct {
		gateways []*deliveryv1.OutcomeResponse
		look     presencev1.Look_State
		silent   bool
		record   *deliveryv1.Record
		want     Outcome
		sockets  []Outcome
	}{
		"in the room, and its gateway is past it": {gateways: []*deliveryv1.OutcomeResponse{here}, want: Delivered, sockets: []Outcome{Delivered}},
		"its gateway is exactly at it":            {gateways: []*deliveryv1.OutcomeResponse{gateway("g1", offset, socket("s1", -5000, true))}, want: Pending, sockets: []Outcome{Pending}},
		"its gateway has just passed it":          {gateways: []*deliveryv1.OutcomeResponse{gateway("g1", offset+1, socket("s1", -5000, true))}, want: Delivered, sockets: []Outcome{Delivered}},
		"its gateway follows another topic":       {gateways: []*deliveryv1.OutcomeResponse{{Gateway: "g1", TopicEpoch: "other", Position: 100, Sockets: []*deliveryv1.SocketOutcome{socket("s1", -5000, true)}}}, want: Pending, sockets: []Outcome{Pending}},
		"connected, in another room":              {gateways: []*deliveryv1.OutcomeResponse{gateway("g1", 100, socket("s1", -5000, false))}, want: NotMember, sockets: []Outcome{NotMember}},
		"connected afterwards":                    {gateways: []*deliveryv1.OutcomeResponse{gateway("g1", 100, socket("s1", 1, true))}, want: Later, sockets: []Outcome{Later}},
		"the best of several sockets counts": {gateways: []*deliveryv1.OutcomeResponse{gateway("g1", 100, socket("s0", -9000, false), socket("s1", -5000, true)), went("s9", "slow", 5)},
			want: Delivered, sockets: []Outcome{NotMember, Delivered, Slow}},
		"too slow":                                 {gateways: []*deliveryv1.OutcomeResponse{went("s1", "slow", 500)}, want: Slow, sockets: []Outcome{Slow}},
		"gone after the event":                     {gateways: []*deliveryv1.OutcomeResponse{went("s1", "ping_timeout", 500)}, want: Offline, sockets: []Outcome{Offline}},
		"gone before the event":                    {gateways: []*deliveryv1.OutcomeResponse{went("s1", "slow", -500)}, want: Offline},
		"too slow, and back elsewhere":             {gateways: []*deliveryv1.OutcomeResponse{went("s1", "slow", 500), here}, want: Delivered, sockets: []Outcome{Delivered}},
		"nowhere":                                  {gateways: []*deliveryv1.OutcomeResponse{gateway("g1", 100)}, want: Offline},
		"nowhere that answered":                    {gateways: []*deliveryv1.OutcomeResponse{gateway("g1", 100)}, silent: true, want: Unknown},
		"somewhere, and another gateway is silent": {gateways: []*deliveryv1.OutcomeResponse{here}, silent: true, want: Delivered, sockets: []Outcome{Delivered}},
		"in the inbox":                             {gateways: []*deliveryv1.OutcomeResponse{gateway("g1", 100)}, look: presencev1.Look_WAITING, want: Queued},
		"in the inbox and reported":                {gateways: []*deliveryv1.OutcomeResponse{went("s1", "slow", 500)}, look: presencev1.Look_REPORTED, want: Queued, sockets: []Outcome{Slow}},
		"handed over, and no receipt yet":          {gateways: []*deliveryv1.OutcomeResponse{here}, look: presencev1.Look_WAITING, want: Delivered, sockets: []Outcome{Delivered}},
		"taken from the inbox":                     {gateways: []*deliveryv1.OutcomeResponse{gateway("g1", 100)}, look: presencev1.Look_TAKEN, want: Received},
		"not brought to the inbox yet":             {gateways: []*deliveryv1.OutcomeResponse{gateway("g1", 100)}, look: presencev1.Look_EXPECTED, want: Offline},
		"excepted":                                 {gateways: []*deliveryv1.OutcomeResponse{here}, record: &deliveryv1.Record{ExceptUsers: []string{"u1"}}, want: Excepted, sockets: []Outcome{Delivered}},
		"its only socket excepted":                 {gateways: []*deliveryv1.OutcomeResponse{here}, record: &deliveryv1.Record{ExceptSockets: []string{"s1"}}, want: Excepted, sockets: []Outcome{Excepted}},
	} {
		t.Run(name, func(t *testing.T) {
			got := judge(facts{record: tt.record, epoch: epoch, offset: offset, timeMs: eventMs, gateways: tt.gateways, silent: tt.silent}, "u1", tt.look)
			if got.Outcome != tt.want || got.Detail == "" || len(got.Sockets) != len(tt.sockets) {
				t.Fatalf("%+v, want %s, sockets %v", got, tt.want, tt.sockets)
			}
			for i, o := range tt.sockets {
				if got.Sockets[i].Outcome != o {
					t.Errorf("socket %d: %+v, want %s", i, got.Sockets[i], o)
				}
			}
		})
	}
}
