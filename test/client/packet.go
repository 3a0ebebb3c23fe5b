package client

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// packet is a Socket.IO packet (Socket.IO protocol 5, "Packet encoding").
type packet struct {
	kind    byte
	ack     int // -1 for none
	data    json.RawMessage
	missing int // attachments still to come
	binary  [][]byte
}

func parsePacket(s string) (*packet, error) {
	if s == "" {
		return nil, errors.New("an empty packet")
	}
	p := &packet{kind: s[0], ack: -1}
	s = s[1:]
	if p.kind == '5' || p.kind == '6' {
		count, rest, ok := strings.Cut(s, "-")
		n, err := strconv.Atoi(count)
		if !ok || err != nil {
			return nil, fmt.Errorf("a binary packet without a number of attachments: %.50q", s)
		}
		p.missing, s = n, rest
	}
	if strings.HasPrefix(s, "/") {
		return nil, fmt.Errorf("a packet of another namespace: %.50q", s)
	}
	digits := 0
	for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
		digits++
	}
	if digits > 0 {
		p.ack, _ = strconv.Atoi(s[:digits])
	}
	p.data = json.RawMessage(s[digits:])
	return p, nil
}

// receive takes one Engine.IO packet and tells what to answer, "" for nothing. It runs on the reading goroutine.
func (c *Client) receive(s string) (answer string, err error) {
	if s == "" {
		return "", errors.New("an empty Engine.IO packet")
	}
	switch s[0] {
	case '1':
		return "", errors.New("closed by the server")
	case '2':
		return "3" + s[1:], nil
	case '4':
		p, err := parsePacket(s[1:])
		if err != nil {
			return "", err
		}
		if p.missing > 0 {
			c.partial = p
			return "", nil
		}
		return "", c.dispatch(p)
	case 'b':
		raw, err := base64.StdEncoding.DecodeString(s[1:])
		if err != nil {
			return "", err
		}
		return "", c.attach(raw)
	case '3', '6':
		return "", nil
	default:
		return "", fmt.Errorf("unexpected Engine.IO packet %.50q", s)
	}
}

func (c *Client) attach(raw []byte) error {
	p := c.partial
	if p == nil {
		return errors.New("an attachment without a packet")
	}
	p.binary = append(p.binary, raw)
	if p.missing--; p.missing > 0 {
		return nil
	}
	c.partial = nil
	return c.dispatch(p)
}

func (c *Client) dispatch(p *packet) error {
	switch p.kind {
	case '0':
		var answer struct{ SID, PID string }
		if err := json.Unmarshal(p.data, &answer); err != nil {
			return fmt.Errorf("answer to CONNECT: %w", err)
		}
		c.sid, c.pid = answer.SID, answer.PID
		if c.opts.Session != nil {
			c.recovered = c.opts.Session.connected(answer.PID)
		}
		if c.opts.Connected != nil {
			c.opts.Connected(c.recovered)
		}
		c.answered <- nil
	case '1':
		return errors.New("disconnected by the server")
	case '2', '5':
		return c.event(p)
	case '3', '6':
		return c.acknowledged(p)
	case '4':
		var refused Refused
		if err := json.Unmarshal(p.data, &refused); err != nil {
			return fmt.Errorf("refusal of CONNECT: %w", err)
		}
		c.answered <- &refused
	default:
		return fmt.Errorf("unexpected Socket.IO packet of type %q", p.kind)
	}
	return nil
}

func (c *Client) event(p *packet) error {
	var args []json.RawMessage
	if err := json.Unmarshal(p.data, &args); err != nil || len(args) == 0 {
		return fmt.Errorf("an event that is no list: %.100q", p.data)
	}
	e := Event{Args: args[1:], Binary: p.binary}
	if err := json.Unmarshal(args[0], &e.Name); err != nil {
		return fmt.Errorf("an event without a name: %.100q", p.data)
	}
	c.opts.Handle(e)
	if c.opts.Session != nil {
		c.opts.Session.handled(p, args)
	}
	return nil
}

func (c *Client) acknowledged(p *packet) error {
	var args []json.RawMessage
	if err := json.Unmarshal(p.data, &args); err != nil {
		return fmt.Errorf("an ack that is no list: %.100q", p.data)
	}
	c.mu.Lock()
	then := c.acks[p.ack]
	delete(c.acks, p.ack)
	c.mu.Unlock()
	if then == nil {
		return fmt.Errorf("an ack for %d, which nobody waits for", p.ack)
	}
	then(args)
	return nil
}
