package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/edumatrix/interlink/services/router/internal/envelope"
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
	if b.Event == "" || len(b.Data) == 0 {
		return nil, nil, &envelope.Error{Reason: envelope.Invalid, Detail: "event and data are required"}
	}
	targets := platformTargets(b)
	if all, err = a.mapped(r.Context(), b, targets); err != nil {
		return nil, nil, err
	}
	for i, e := range all {
		e.SetTrace(r.Header.Get("traceparent"))
		if key := r.Header.Get("Idempotency-Key"); key != "" && e.ID == "" {
			if len(all) > 1 {
				key = fmt.Sprintf("%s#%d", key, i)
			}
			if err := e.SetID(key); err != nil {
				return nil, nil, err
			}
		}
		for _, t := range e.Targets() {
			if !slices.Contains(rooms, string(t)) {
				rooms = append(rooms, string(t))
			}
		}
	}
	return rooms, all, nil
}

// mapped turns a ready-made event into envelopes; without a program for its name it is one already.
func (a *api) mapped(ctx context.Context, b platformBody, targets []string) ([]*envelope.Envelope, error) {
	if a.opts.Events != nil {
		out, known, err := a.opts.Events.Event(ctx, b.Event, b.Data, envelope.TargetsJSON(targets))
		if err != nil {
			return nil, &envelope.Error{Reason: envelope.Invalid, Field: "event", Detail: err.Error()}
		}
		if known {
			all := make([]*envelope.Envelope, len(out))
			for i, raw := range out {
				if all[i], err = envelope.Parse(raw); err != nil {
					return nil, err
				}
			}
			return all, nil
		}
	}
	e, err := envelope.ForTargets(b.Event, b.Data, targets)
	if err != nil {
		return nil, err
	}
	return []*envelope.Envelope{e}, nil
}

// platformTargets are the rooms named, the target, or the conversation that the data speaks of.
func platformTargets(b platformBody) []string {
	switch {
	case len(b.Rooms) > 0:
		return b.Rooms
	case b.Target != "":
		return []string{b.Target}
	}
	var of struct {
		ConversationID string `json:"conversationId"`
	}
	if json.Unmarshal(b.Data, &of) == nil && of.ConversationID != "" {
		return []string{"conversation:" + strings.TrimPrefix(of.ConversationID, "conversation:")}
	}
	return nil
}
