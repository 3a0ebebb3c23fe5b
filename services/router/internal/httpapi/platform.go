package httpapi

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"

	"github.com/edumatrix/interlink/services/router/internal/envelope"
	"github.com/edumatrix/interlink/services/router/internal/readymade"
)

// platformBody is what today's callers of the platform send: {event, data, rooms} or {target, event, data}.
type platformBody struct {
	Event  string          `json:"event"`
	Target string          `json:"target"`
	Data   json.RawMessage `json:"data"`
	Rooms  []string        `json:"rooms"`
}

type platformAnswer struct {
	Success   bool     `json:"success"`
	Message   string   `json:"message,omitempty"`
	Error     string   `json:"error,omitempty"`
	Rooms     []string `json:"rooms,omitempty"`
	Timestamp string   `json:"timestamp"`
}

// platformEmit serves the platform's callers as they are today, in their own form.
func (a *api) platformEmit(w http.ResponseWriter, r *http.Request) {
	began := a.now()
	result := "ok"
	defer func() { a.opts.Observe(result, a.now().Sub(began)) }()
	stamp := began.UTC().Format("2006-01-02T15:04:05.000Z07:00")
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		write(w, http.StatusMethodNotAllowed, platformAnswer{Error: "Method not allowed", Timestamp: stamp})
		return
	}
	rooms, all, err := a.platformEnvelopes(w, r)
	for _, e := range all {
		if err == nil {
			_, err = a.publish(r, e)
		}
	}
	if err != nil {
		p := problemOf(err)
		result = p.Code
		a.note(r, p, err)
		if p.Code == codeRateLimited || p.Code == codeUnavailable {
			w.Header().Set("Retry-After", retryAfter)
		}
		write(w, statusOf(p.Code), platformAnswer{Error: p.Detail, Timestamp: stamp})
		return
	}
	write(w, http.StatusOK, platformAnswer{Success: true, Message: "Event emitted", Rooms: rooms, Timestamp: stamp})
}

// platformEnvelopes are what a body means: one event, or what the mapping makes of it. Rooms are its own targets.
func (a *api) platformEnvelopes(w http.ResponseWriter, r *http.Request) (rooms []string, all []*envelope.Envelope, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEmit))
	if err != nil {
		return nil, nil, readError(err)
	}
	var b platformBody
	if err := json.Unmarshal(body, &b); err != nil {
		return nil, nil, &envelope.Error{Reason: envelope.NotJSON, Detail: "the body is not a JSON object with event, data and rooms or target"}
	}
	event := readymade.Event{Name: b.Event, ID: r.Header.Get("Idempotency-Key"), Data: b.Data, Rooms: b.Rooms, Target: b.Target}
	if all, err = a.opts.Ready.Envelopes(r.Context(), event); err != nil {
		return nil, nil, err
	}
	for _, e := range all {
		e.SetTrace(r.Header.Get("traceparent"))
		for _, t := range e.Targets() {
			if !slices.Contains(rooms, string(t)) {
				rooms = append(rooms, string(t))
			}
		}
	}
	return rooms, all, nil
}
