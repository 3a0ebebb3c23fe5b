package engineio

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
)

func TestOpenPacket(t *testing.T) {
	open := AppendOpen(nil, Handshake{SID: "lv_VI97HAXpY6yYWAAAC", Upgrade: true, PingInterval: 25000, PingTimeout: 20000, MaxPayload: 1000000})
	// The example of section "Handshake".
	want := `0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`
	if string(open) != want {
		t.Fatalf("got %s", open)
	}
	var none struct {
		Upgrades []string `json:"upgrades"`
	}
	if err := json.Unmarshal(AppendOpen(nil, Handshake{SID: "x"})[1:], &none); err != nil || none.Upgrades == nil || len(none.Upgrades) != 0 {
		t.Fatalf("without an upgrade: %v, %v", none, err)
	}
}

func TestWhatAClientMaySendInASession(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want Action
		err  error
	}{
		"a message":                        {"4hello", Deliver, nil},
		"an empty message":                 {"4", Deliver, nil},
		"a pong":                           {"3", Beat, nil},
		"a pong with the data of its ping": {"3probe", Beat, nil},
		"a close":                          {"1", End, nil},
		"a noop":                           {"6", Ignore, nil},
		"a close with data":                {"1x", Ignore, ErrPacketData},
		"a noop with data":                 {"6x", Ignore, ErrPacketData},
		"an open":                          {`0{"sid":"x"}`, Ignore, ErrDirection},
		"a ping, as in Engine.IO 3":        {"2", Ignore, ErrDirection},
		"a probe outside of one":           {"2probe", Ignore, ErrDirection},
		"an upgrade outside of a probe":    {"5", Ignore, ErrDirection},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := DecodeText([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := Receive(p); got != c.want || !errors.Is(err, c.err) {
				t.Fatalf("got %v, %v, want %v, %v", got, err, c.want, c.err)
			}
		})
	}
	if got, err := Receive(DecodeBinary([]byte{1})); got != Deliver || err != nil {
		t.Errorf("a binary message: %v, %v", got, err)
	}
}

func TestAProbeTakesPingThenUpgrade(t *testing.T) {
	for name, c := range map[string]struct {
		packets []string
		want    []Action
		err     error // of the last packet
	}{
		"in order":                    {[]string{"2probe", "5"}, []Action{AnswerProbe, Switch}, nil},
		"upgrade first":               {[]string{"5"}, []Action{Ignore}, ErrProbe},
		"a plain ping":                {[]string{"2"}, []Action{Ignore}, ErrProbe},
		"a probe with more behind":    {[]string{"2probe2"}, []Action{Ignore}, ErrProbe},
		"a message":                   {[]string{"4hello"}, []Action{Ignore}, ErrProbe},
		"two probes":                  {[]string{"2probe", "2probe"}, []Action{AnswerProbe, Ignore}, ErrProbe},
		"a message instead of switch": {[]string{"2probe", "4hello"}, []Action{AnswerProbe, Ignore}, ErrProbe},
		"an upgrade with data":        {[]string{"2probe", "5x"}, []Action{AnswerProbe, Ignore}, ErrProbe},
		"two upgrades":                {[]string{"2probe", "5", "5"}, []Action{AnswerProbe, Switch, Ignore}, ErrProbe},
		"a probe after a failure":     {[]string{"5", "2probe"}, []Action{Ignore, Ignore}, ErrProbe},
		"a close":                     {[]string{"2probe", "1"}, []Action{AnswerProbe, Ignore}, ErrProbe},
	} {
		t.Run(name, func(t *testing.T) {
			var probe Probe
			var got []Action
			var last error
			for _, text := range c.packets {
				p, err := DecodeText([]byte(text))
				if err != nil {
					t.Fatal(err)
				}
				var a Action
				a, last = probe.Receive(p)
				if got = append(got, a); probe.Answered() != (a == AnswerProbe) {
					t.Errorf("behind %s: answered %v", text, probe.Answered())
				}
			}
			if !reflect.DeepEqual(got, c.want) || !errors.Is(last, c.err) {
				t.Fatalf("got %v, %v, want %v, %v", got, last, c.want, c.err)
			}
		})
	}
	if string(AppendText(nil, Pong, []byte("probe"))) != ProbeAnswer {
		t.Errorf("the answer is %s", ProbeAnswer)
	}
}

func TestABinaryMessageEndsAProbe(t *testing.T) {
	var probe Probe
	if _, err := probe.Receive(DecodeBinary([]byte("probe"))); !errors.Is(err, ErrProbe) {
		t.Fatalf("got %v", err)
	}
}

func TestPongsAnswerPingsInOrder(t *testing.T) {
	var h Heartbeat
	if _, ok := h.Pong(); ok {
		t.Fatal("a pong without a ping answers something")
	}
	first, second := h.Ping(), h.Ping()
	if h.Waiting() != 2 || h.Answered(first) {
		t.Fatalf("waiting for %d", h.Waiting())
	}
	if n, ok := h.Pong(); !ok || n != first || !h.Answered(first) || h.Answered(second) {
		t.Fatalf("the first pong answers %d, %v", n, ok)
	}
	if n, ok := h.Pong(); !ok || n != second || !h.Answered(second) {
		t.Fatalf("the second pong answers %d, %v", n, ok)
	}
	if _, ok := h.Pong(); ok || h.Waiting() != 0 {
		t.Fatal("a pong too many answers something")
	}
}

func TestTheNumbersOfPingsWrap(t *testing.T) {
	h := Heartbeat{sent: 1<<32 - 1, answered: 1<<32 - 1}
	last := h.sent
	next := h.Ping()
	if next != 0 || h.Waiting() != 1 || !h.Answered(last) || h.Answered(next) {
		t.Fatalf("ping %d, waiting %d", next, h.Waiting())
	}
	if n, ok := h.Pong(); !ok || n != 0 {
		t.Fatalf("pong answers %d, %v", n, ok)
	}
}
