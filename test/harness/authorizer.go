package harness

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
)

// OpenRooms is what the names of rooms begin with that everybody may enter.
const OpenRooms = "conversation:open-"

// Authorizer answers Interlink's question whether a user may enter a room, as the platform would.
type Authorizer struct {
	server *httptest.Server
	Asked  atomic.Int64 // questions so far

	mu      sync.Mutex // guards what follows
	away    bool
	members map[string]map[string]bool // room → user
}

// NewAuthorizer starts it with nobody in any room. The caller closes it.
func NewAuthorizer() *Authorizer {
	a := &Authorizer{members: map[string]map[string]bool{}}
	a.server = httptest.NewServer(a)
	return a
}

// URL is what INTERLINK_AUTHORIZE_URL should say.
func (a *Authorizer) URL() string { return a.server.URL + "/authorize" }

// Close ends it.
func (a *Authorizer) Close() {
	a.server.CloseClientConnections()
	a.server.Close()
}

// Admit makes a user a member of a room.
func (a *Authorizer) Admit(room, user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.members[room] == nil {
		a.members[room] = map[string]bool{}
	}
	a.members[room][user] = true
}

// Remove ends a membership.
func (a *Authorizer) Remove(room, user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.members[room], user)
}

// SetAway makes it answer 503 to everything, which is doubt and no refusal.
func (a *Authorizer) SetAway(away bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.away = away
}

func (a *Authorizer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var question struct {
		User, Room string
		List       bool
	}
	a.Asked.Add(1)
	if json.NewDecoder(r.Body).Decode(&question) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	away, member := a.away, a.members[question.Room][question.User] || strings.HasPrefix(question.Room, OpenRooms)
	a.mu.Unlock()
	switch {
	case away:
		w.WriteHeader(http.StatusServiceUnavailable)
	case question.List:
		w.WriteHeader(http.StatusNotFound)
	case !member:
		w.WriteHeader(http.StatusForbidden)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"join": true, "type": true, "publish": true, "presence": true, "ttlSeconds": 60})
	}
}
