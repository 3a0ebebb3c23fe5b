package gateway

import (
	"context"
	"time"

	emitv1 "github.com/edumatrix/interlink/proto/emit/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/authorize"
	"github.com/edumatrix/interlink/services/gateway/internal/question"
	"github.com/edumatrix/interlink/services/gateway/internal/session"
	"github.com/edumatrix/interlink/services/internal/apikey"
	"github.com/edumatrix/interlink/services/internal/mapping"
)

// usePlatform lets a mapping say whom to ask about rooms. Names that the platform has for rooms are turned into ours.
func usePlatform(o authorize.Options, m *mapping.Mapping) authorize.Options {
	if m == nil {
		return o
	}
	access := m.Access()
	o.Open = append(o.Open, access.Open...)
	if len(access.Routes) > 0 {
		templates := make(map[string]Template, len(access.Routes)+len(o.Templates))
		for kind, route := range access.Routes {
			templates[kind] = Template{Method: route.Method, URL: route.URL, Admits: route.Admits}
		}
		for kind, t := range o.Templates {
			templates[kind] = t
		}
		o.Templates = templates
	}
	for _, list := range access.Lists {
		o.Lists = append(o.Lists, authorize.List{URL: list.URL, Read: func(ctx context.Context, body []byte) ([]string, bool, error) {
			rooms, more, err := list.Read(ctx, body)
			for i, name := range rooms {
				rooms[i] = m.Room(name)
			}
			return rooms, more, err
		}})
	}
	return o
}

// platform gives the sessions what a mapping says of the platform's pages.
func (g *Gateway) platform(o session.Options, emit emitv1.EmitClient) session.Options {
	if keys := g.options.APIKeys; keys != nil {
		o.Services = services{keys: apikey.New(keys), emit: emit}
	}
	m := g.options.Mapping
	if m == nil {
		return o
	}
	o.Aliases, o.Questions = m, question.New(m, nil, time.Now)
	o.KeepCookie = o.KeepCookie || m.AsksWithCookies()
	return o
}

// services lets the application publish as a socket.
type services struct {
	keys apikey.Set
	emit emitv1.EmitClient
}

// Allowed implements session.Services.
func (s services) Allowed(key string) bool { return s.keys.Allowed(key) }

// Ready implements session.Services.
func (s services) Ready(ctx context.Context, events []session.ReadyEvent) ([]session.ReadyResult, error) {
	request := &emitv1.ReadyRequest{Events: make([]*emitv1.ReadyEvent, len(events))}
	for i, e := range events {
		request.Events[i] = &emitv1.ReadyEvent{Id: e.ID, Target: e.Target, Event: e.Event, Data: e.Data}
	}
	answer, err := s.emit.Ready(ctx, request)
	if err != nil {
		return nil, err
	}
	out := make([]session.ReadyResult, len(answer.Results))
	for i, r := range answer.Results {
		switch r.Outcome {
		case emitv1.ReadyResult_AWAY:
			out[i].Away = true
		case emitv1.ReadyResult_REFUSED:
			out[i].Refused = r.Error
		}
	}
	return out, nil
}
