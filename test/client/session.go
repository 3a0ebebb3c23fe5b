package client

import (
	"encoding/json"
	"maps"
	"sync"
)

// Session is what the stock client keeps from one connection to the next (socket.io-client from 4.6 on): the session's id
// and the last string that ended an event. One Session belongs to one client that dials again and again.
type Session struct {
	mu     sync.Mutex // guards what follows
	pid    string
	offset string
}

// PID returns the session's id, "" before the first connect.
func (s *Session) PID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pid
}

// Offset returns the cursor that the next CONNECT carries.
func (s *Session) Offset() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.offset
}

// Set replaces both, as a page does that was given them by its earlier life, or a test that forges them.
func (s *Session) Set(pid, offset string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pid, s.offset = pid, offset
}

// auth adds pid and offset to what the page gives, whose own fields win.
func (s *Session) auth(given map[string]any) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pid == "" {
		return given
	}
	auth := map[string]any{"pid": s.pid}
	if s.offset != "" {
		auth["offset"] = s.offset
	}
	maps.Copy(auth, given)
	return auth
}

// connected takes the answer to CONNECT and tells whether the session went on.
func (s *Session) connected(pid string) (recovered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	recovered = pid != "" && s.pid == pid
	s.pid = pid
	return recovered
}

// handled keeps the last argument of an event if it is a string. An ack id would have put a function behind it.
func (s *Session) handled(p *packet, args []json.RawMessage) {
	if p.ack >= 0 || len(args) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var text string
	if s.pid != "" && json.Unmarshal(args[len(args)-1], &text) == nil {
		s.offset = text
	}
}
