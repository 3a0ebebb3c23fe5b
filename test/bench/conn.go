package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// The states of a conn, in the order in which it goes through them.
const (
	upgrading  = iota // waits for the answer to the WebSocket handshake
	opening           // waits for the open packet
	connecting        // waits for the answer to CONNECT
	joining           // waits for the ack of room:join
	ready
)

// conn is one Socket.IO connection.
type conn struct {
	index int
	fd    int
	state int
	token string
	rooms []string
	rest  []byte // an incomplete frame, or head of the handshake
}

var handshake = []byte("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\n" +
	"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")

var event = []byte(`42["message:new"`)

// take reads what arrived. deliver gets the payload of each event of the room, valid during the call.
func (k *conn) take(in []byte, deliver func(payload []byte)) error {
	if len(k.rest) > 0 {
		in = append(k.rest, in...)
		k.rest = nil
	}
	if k.state == upgrading {
		head, rest, ok := bytes.Cut(in, []byte("\r\n\r\n"))
		if !ok {
			k.rest = bytes.Clone(in)
			return nil
		}
		if !bytes.HasPrefix(head, []byte("HTTP/1.1 101")) {
			return fmt.Errorf("the handshake is answered %.100q", head)
		}
		k.state, in = opening, rest
	}
	for len(in) > 0 {
		payload, size := frame(in)
		if size == 0 {
			k.rest = bytes.Clone(in)
			return nil
		}
		if in[0]&0x0f == 8 {
			return errors.New("a close frame")
		}
		if bytes.HasPrefix(payload, event) {
			deliver(payload)
		} else if err := k.control(payload); err != nil {
			return err
		}
		in = in[size:]
	}
	return nil
}

// frame returns the payload of a whole frame of a server (RFC 6455, 5.2) and the frame's size, 0 if it is incomplete.
func frame(in []byte) (payload []byte, size int) {
	if len(in) < 2 {
		return nil, 0
	}
	n, head := int(in[1]&0x7f), 2
	switch n {
	case 126:
		if len(in) < 4 {
			return nil, 0
		}
		n, head = int(binary.BigEndian.Uint16(in[2:])), 4
	case 127:
		if len(in) < 10 {
			return nil, 0
		}
		n, head = int(binary.BigEndian.Uint64(in[2:])), 10
	}
	if len(in) < head+n {
		return nil, 0
	}
	return in[head : head+n], head + n
}

// control goes through the states, and answers pings.
func (k *conn) control(payload []byte) error {
	switch {
	case string(payload) == "2":
		return k.send("3")
	case k.state == opening && bytes.HasPrefix(payload, []byte("0{")):
		k.state = connecting
		auth, err := json.Marshal(map[string]string{"token": k.token})
		k.token = ""
		return errors.Join(err, k.send("40"+string(auth)))
	case k.state == connecting && bytes.HasPrefix(payload, []byte("40")):
		k.state = joining
		rooms, err := json.Marshal([]any{"room:join", k.rooms})
		return errors.Join(err, k.send("420"+string(rooms)))
	case k.state == joining && bytes.HasPrefix(payload, []byte("430")):
		if !bytes.HasPrefix(payload, []byte(`430[{"ok":true`)) {
			return fmt.Errorf("the join is refused: %.200q", payload)
		}
		k.state = ready
	case bytes.HasPrefix(payload, []byte("44")):
		return fmt.Errorf("the connect is refused: %.200q", payload)
	}
	return nil
}

func (k *conn) send(text string) error {
	n := len(text)
	out := []byte{0x81}
	if n < 126 {
		out = append(out, 0x80|byte(n))
	} else {
		out = append(out, 0x80|126, byte(n>>8), byte(n))
	}
	out = append(out, 0, 0, 0, 0) // a mask of zeros changes nothing
	return k.write(append(out, text...))
}

// write sends a few hundred bytes, which always fit into an empty socket buffer.
func (k *conn) write(b []byte) error {
	n, err := unix.Write(k.fd, b)
	if err == nil && n < len(b) {
		err = errors.New("short write")
	}
	return err
}

var stampKey = []byte(`"t":`)

// stamp reads the time at which an event was sent, in epoch microseconds, 0 if there is none.
func stamp(payload []byte) int64 {
	i := bytes.Index(payload, stampKey)
	if i < 0 {
		return 0
	}
	var t int64
	for _, b := range payload[i+len(stampKey):] {
		if b < '0' || b > '9' {
			break
		}
		t = t*10 + int64(b-'0')
	}
	return t
}
