package engine

import "context"

// Stray serves what belongs to sessions of other gateways.
type Stray interface {
	// Poll passes a long-polling request on and blocks until it is answered or ctx is done. An error means doubt: the client is sent away
	// with 503 and comes back. A session that its owner does not know is an answer, UnknownSession, not an error.
	Poll(ctx context.Context, sid string, r StrayRequest) (StrayResponse, error)
	// Upgrade serves a WebSocket that wants to take over the session; it returns when the session was adopted or given up.
	Upgrade(ctx context.Context, sid string, p *Pending)
}

// StrayRequest is a long-polling request as it travels between gateways.
type StrayRequest struct {
	Method      string // GET or POST
	Body        []byte
	ContentType string
	Origin      string
	RemoteAddr  string // of the client, behind trusted proxies
	Stamp       string // what the client made up for this request alone, empty if it does not
}

// StrayResponse is its answer.
type StrayResponse struct {
	Status      int
	ContentType string
	Body        []byte
}
