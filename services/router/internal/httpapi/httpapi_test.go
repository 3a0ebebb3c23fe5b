package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/internal/apikey"
	"github.com/edumatrix/interlink/services/router/internal/envelope"
	"github.com/edumatrix/interlink/services/router/internal/why"
)

type fakePublisher struct {
	err    error
	got    []*envelope.Envelope
	pushed []*envelope.Envelope
}

func (f *fakePublisher) Publish(_ context.Context, all []*envelope.Envelope) []Published {
	out := make([]Published, len(all))
	for i, e := range all {
		if e.Event == "panic" {
			panic("broken")
		}
		if e.ID == "" {
			e.ID = "made"
		}
		out[i] = Published{ID: e.ID, Partition: 3, Offset: int64(100 + i), Err: f.err}
	}
	f.got = append(f.got, all...)
	return out
}

func (f *fakePublisher) Push(all []*envelope.Envelope) error {
	for _, e := range all {
		if e.ID == "" {
			e.ID = "made"
		}
	}
	f.pushed = append(f.pushed, all...)
	return f.err
}

type fakeSockets struct{ silent []string }

func (f fakeSockets) Sockets(_ context.Context, req *deliveryv1.SocketsRequest) ([]*deliveryv1.Socket, []string) {
	return []*deliveryv1.Socket{
		{Socket: "s2", User: "u2", Gateway: "g1", SinceMs: 1_700_000_000_000, Rooms: []string{"a:b"}, UserAgent: "x"},
		{Socket: "s1", User: "u1", Gateway: "g1", SinceMs: 1_600_000_000_000},
		{Socket: "s3", User: "u2", Gateway: "g2", SinceMs: 1_800_000_000_000},
	}, f.silent
}

type fakePresence struct{ err error }

func (f fakePresence) Query(context.Context, []string) (map[string]*presencev1.State, error) {
	return map[string]*presencev1.State{"a": {Online: true, Status: "away", LastSeenMs: 1_700_000_000_000, Sockets: 2}, "b": {}}, f.err
}

type fakeWhy struct{ err error }

func (f fakeWhy) Explain(_ context.Context, id, user string) (why.Answer, error) {
	return why.Answer{ID: id, Incomplete: []string{"gateway g9"}, Events: []why.Event{{Partition: 3, Offset: 17, InMemory: true, Time: "2026-11-24T10:00:00.000Z",
		Event: "message:new", From: "u1", Rooms: []string{"a:b"}, Key: "a:c", WrongKey: true, Gateways: []why.Gateway{{Gateway: "g1", Members: 2, Position: 18, Passed: true}},
		Users: []why.User{{User: user, Outcome: why.Delivered, Detail: "x", Inbox: "waiting", Sockets: []why.Socket{{Socket: "s1", Gateway: "g1", Outcome: why.Slow,
			Since: "2026-11-24T10:00:00.000Z", Closed: "2026-11-24T10:00:00.000Z", Reason: "slow"}}}}}}}, f.err
}

const key = "k-8f14e45f"

type fixture struct {
	publisher fakePublisher
	sockets   fakeSockets
	presence  fakePresence
	why       fakeWhy
	results   map[string]int
}

func (f *fixture) handler() http.Handler {
	f.results = map[string]int{}
	return New(Options{Keys: apikey.New(func() [][]byte { return [][]byte{[]byte(key)} }), Publisher: &f.publisher, Sockets: f.sockets, Presence: f.presence, Why: f.why,
		Logger: slog.New(slog.DiscardHandler), Observe: func(r string, _ time.Duration) { f.results[r]++ }})
}

func ask(h http.Handler, method, path, body string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+key)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

const goodEvent = `{"event":"message:new","to":{"rooms":["a:b"]},"data":1}`

// calls are requests that between them meet every operation and every kind of answer.
var calls = map[string]struct {
	method, path, body string
	headers            []string
	change             func(*fixture)
	status             int
	want               string // part of the body
}{
	"an emit is accepted":               {method: "POST", path: "/v1/emit", body: goodEvent, status: 202, want: `{"id":"made","partition":3,"offset":100}`},
	"its id may come by header":         {method: "POST", path: "/v1/emit", body: goodEvent, headers: []string{"Idempotency-Key", "i1"}, status: 202, want: `"id":"i1"`},
	"the header must not differ":        {method: "POST", path: "/v1/emit", body: `{"id":"x",` + goodEvent[1:], headers: []string{"Idempotency-Key", "i1"}, status: 400, want: `"field":"id"`},
	"a volatile emit has no place":      {method: "POST", path: "/v1/emit", body: `{"volatile":true,` + goodEvent[1:], status: 202, want: `{"id":"made"}`},
	"a CloudEvent is taken":             {method: "POST", path: "/v1/emit", body: `{"specversion":"1.0","id":"9","source":"/a","type":"x","subject":"a:b"}`, headers: []string{"Content-Type", "application/cloudevents+json"}, status: 202, want: `"id":"/a 9"`},
	"a control record is taken":         {method: "POST", path: "/v1/emit", body: `{"control":"session.revoked","user":"u"}`, status: 202, want: `"partition":3`},
	"the field at fault is named":       {method: "POST", path: "/v1/emit", body: `{"event":"x","to":{"rooms":["lobby"]}}`, status: 400, want: `"field":"to.rooms"`},
	"broken JSON is refused":            {method: "POST", path: "/v1/emit", body: `{`, status: 400, want: `urn:interlink:problem:bad_request`},
	"a huge body is refused":            {method: "POST", path: "/v1/emit", body: strings.Repeat("x", maxEmit+1), status: 413, want: `too_large`},
	"too much data is refused":          {method: "POST", path: "/v1/emit", body: `{"event":"x","to":{"rooms":["a:b"]},"data":"` + strings.Repeat("x", 1_000_000) + `"}`, status: 413, want: `"field":"data"`},
	"a record too large for kafka":      {method: "POST", path: "/v1/emit", body: goodEvent, change: func(f *fixture) { f.publisher.err = ErrTooLarge }, status: 413, want: `too_large`},
	"too much at once":                  {method: "POST", path: "/v1/emit", body: goodEvent, change: func(f *fixture) { f.publisher.err = ErrBusy }, status: 429, want: `rate_limited`},
	"kafka away":                        {method: "POST", path: "/v1/emit", body: goodEvent, change: func(f *fixture) { f.publisher.err = ErrAway }, status: 503, want: `unavailable`},
	"a broken handler answers":          {method: "POST", path: "/v1/emit", body: `{"event":"panic","to":{"rooms":["a:b"]}}`, status: 500, want: `internal`},
	"an unknown failure":                {method: "POST", path: "/v1/emit", body: goodEvent, change: func(f *fixture) { f.publisher.err = errors.New("x") }, status: 500, want: `internal`},
	"emit by GET":                       {method: "GET", path: "/v1/emit", status: 405, want: `POST`},
	"a batch answers line by line":      {method: "POST", path: "/v1/emit/batch", body: goodEvent + "\n{\n" + `{"volatile":true,` + goodEvent[1:] + "\n" + goodEvent + "\n", status: 200, want: `{"id":"made","partition":3,"offset":100}` + "\n" + `{"error":{"code":"bad_request"`},
	"an empty batch":                    {method: "POST", path: "/v1/emit/batch", status: 400, want: `no line`},
	"a batch of too many lines":         {method: "POST", path: "/v1/emit/batch", body: strings.Repeat("{}\n", maxLines+1), status: 413, want: `too_large`},
	"a batch by PUT":                    {method: "PUT", path: "/v1/emit/batch", status: 405, want: `POST`},
	"a room's sockets and users":        {method: "GET", path: "/v1/rooms/a:b", status: 200, want: `{"room":"a:b","sockets":3,"users":["u1","u2"]}`},
	"a room with a slash":               {method: "GET", path: "/v1/rooms/a:b%2Fc", status: 200, want: `"room":"a:b/c"`},
	"a room with silent gateways":       {method: "GET", path: "/v1/rooms/a:b", change: func(f *fixture) { f.sockets.silent = []string{"g9"} }, status: 200, want: `"incomplete":["g9"]`},
	"a name that is no room":            {method: "GET", path: "/v1/rooms/lobby", status: 400, want: `"field":"room"`},
	"a room by DELETE":                  {method: "DELETE", path: "/v1/rooms/a:b", status: 405, want: `GET`},
	"an eviction":                       {method: "POST", path: "/v1/rooms/a:b/evict", body: `{"users":["u1"]}`, status: 202, want: `"offset":100`},
	"an eviction of nobody":             {method: "POST", path: "/v1/rooms/a:b/evict", body: `{}`, status: 400, want: `"field":"users"`},
	"an eviction from no room":          {method: "POST", path: "/v1/rooms/lobby/evict", body: `{"users":["u1"]}`, status: 400, want: `"field":"room"`},
	"an eviction by GET":                {method: "GET", path: "/v1/rooms/a:b/evict", status: 405, want: `POST`},
	"who is online":                     {method: "GET", path: "/v1/presence?users=a,b", status: 200, want: `"a":{"online":true,"status":"away","lastSeen":"2023-11-14T22:13:20.000Z","sockets":2},"b":{"online":false,"status":"offline","lastSeen":null,"sockets":0}`},
	"who is online of nobody":           {method: "GET", path: "/v1/presence", status: 400, want: `"field":"users"`},
	"presence away":                     {method: "GET", path: "/v1/presence?users=a", change: func(f *fixture) { f.presence.err = io.EOF }, status: 503, want: `unavailable`},
	"presence by POST":                  {method: "POST", path: "/v1/presence?users=a", status: 405, want: `GET`},
	"what happened to an event":         {method: "GET", path: "/v1/events/t%2F3%2F17?user=u7", status: 200, want: `{"id":"t/3/17","events":[{"partition":3,"offset":17,"inMemory":true`},
	"what happened to nobody's event":   {method: "GET", path: "/v1/events/x?user=", status: 400, want: `"field":"user"`},
	"what happened to too long an id":   {method: "GET", path: "/v1/events/" + strings.Repeat("x", 513), status: 400, want: `"field":"id"`},
	"an event that nobody knows":        {method: "GET", path: "/v1/events/x", change: func(f *fixture) { f.why.err = why.ErrUnknown }, status: 404, want: `not_found`},
	"an event whose router is away":     {method: "GET", path: "/v1/events/x", change: func(f *fixture) { f.why.err = why.ErrIncomplete }, status: 503, want: `unavailable`},
	"an event before kafka answers":     {method: "GET", path: "/v1/events/x", change: func(f *fixture) { f.why.err = why.ErrAway }, status: 503, want: `unavailable`},
	"an event that breaks it":           {method: "GET", path: "/v1/events/x", change: func(f *fixture) { f.why.err = io.EOF }, status: 500, want: `internal`},
	"an event by POST":                  {method: "POST", path: "/v1/events/x", status: 405, want: `GET`},
	"a user's sessions, oldest first":   {method: "GET", path: "/v1/users/u2/sessions", status: 200, want: `{"sessions":[{"socket":"s1","gateway":"g1","since":"2020-09-13T12:26:40.000Z","rooms":[],"userAgent":""}`},
	"sessions of no user":               {method: "GET", path: "/v1/users/%01/sessions", status: 400, want: `"field":"id"`},
	"sessions by POST":                  {method: "POST", path: "/v1/users/u2/sessions", status: 405, want: `GET`},
	"a disconnect without a body":       {method: "POST", path: "/v1/users/u1/disconnect", status: 202, want: `"partition":3`},
	"a disconnect with a reason":        {method: "POST", path: "/v1/users/u1/disconnect", body: `{"reason":"moved"}`, status: 202, want: `"partition":3`},
	"a disconnect with a list":          {method: "POST", path: "/v1/users/u1/disconnect", body: `[]`, status: 400, want: `bad_request`},
	"a disconnect while kafka is away":  {method: "POST", path: "/v1/users/u1/disconnect", change: func(f *fixture) { f.publisher.err = ErrAway }, status: 503, want: `unavailable`},
	"a disconnect by GET":               {method: "GET", path: "/v1/users/u1/disconnect", status: 405, want: `POST`},
	"the platform's rooms":              {method: "POST", path: "/api/emit", body: `{"event":"x","data":{},"rooms":["a:b","user:u2"]}`, status: 200, want: `{"success":true,"message":"Event emitted","rooms":["a:b","user:u2"],"timestamp":"2`},
	"the platform's target":             {method: "POST", path: "/api/emit", body: `{"target":"user:u1","event":"x","data":[1]}`, status: 200, want: `"rooms":["user:u1"]`},
	"the platform's conversation":       {method: "POST", path: "/api/emit", body: `{"event":"x","data":{"conversationId":"c1"}}`, status: 200, want: `"rooms":["conversation:c1"]`},
	"the platform without data":         {method: "POST", path: "/api/emit", body: `{"event":"x"}`, status: 400, want: `{"success":false,"error":"event and data are required","timestamp"`},
	"the platform without target":       {method: "POST", path: "/api/emit", body: `{"event":"x","data":{}}`, status: 400, want: `"success":false`},
	"the platform with what is no room": {method: "POST", path: "/api/emit", body: `{"event":"x","data":{},"target":"group_members"}`, status: 400, want: `group_members`},
	"the platform with kafka away":      {method: "POST", path: "/api/emit", body: `{"event":"x","data":{},"rooms":["a:b"]}`, change: func(f *fixture) { f.publisher.err = ErrAway }, status: 503, want: `"success":false`},
	"the platform by GET":               {method: "GET", path: "/api/emit", status: 405, want: `"success":false`},
	"the platform without a key":        {method: "POST", path: "/api/emit", headers: []string{"Authorization", ""}, status: 401, want: `{"error":"Unauthorized"}`},
	"the platform's built-in word":      {method: "POST", path: "/api/emit", headers: []string{"Authorization", "Bearer dev-key"}, status: 401, want: `{"error":"Unauthorized"}`},
	"a path that is none":               {method: "GET", path: "/v1/nothing", status: 404, want: `not_found`},
	"a path outside":                    {method: "GET", path: "/", status: 404, want: `not_found`},
}

func TestCalls(t *testing.T) {
	doc := readDocument(t)
	for name, tt := range calls {
		t.Run(name, func(t *testing.T) {
			f := &fixture{}
			if tt.change != nil {
				tt.change(f)
			}
			resp := ask(f.handler(), tt.method, tt.path, tt.body, tt.headers...)
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.status || !strings.Contains(string(body), tt.want) {
				t.Fatalf("%d %s\nwant %d … %s", resp.StatusCode, body, tt.status, tt.want)
			}
			if resp.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Error("an answer to browsers of other origins")
			}
			if later := resp.Header.Get("Retry-After") != ""; later != (tt.status == 429 || tt.status == 503) {
				t.Errorf("Retry-After %q", resp.Header.Get("Retry-After"))
			}
			doc.check(t, tt.method, tt.path, resp, body)
		})
	}
}

func TestWithoutAKeyNothingUnderV1Answers(t *testing.T) {
	f := &fixture{}
	h := f.handler()
	for _, path := range []string{"/v1/emit", "/v1/emit/batch", "/v1/rooms/a:b", "/v1/presence?users=a", "/v1/users/u/sessions", "/v1/events/x", "/v1/users/u/disconnect", "/v1/rooms/a:b/evict", "/v1/nothing"} {
		for name, auth := range map[string]string{"none": "", "wrong": "Bearer x", "no scheme": key, "built in": "Bearer internal-server-token"} {
			for _, method := range []string{"GET", "POST", "OPTIONS"} {
				resp := ask(h, method, path, goodEvent, "Authorization", auth)
				var p problem
				err := json.NewDecoder(resp.Body).Decode(&p)
				if resp.StatusCode != 401 || err != nil || p.Code != codeUnauthenticated || resp.Header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s %s, key %s: %d %+v %v", method, path, name, resp.StatusCode, p, err)
				}
			}
		}
	}
	if resp := ask(h, "GET", "/v1/rooms/a:b", "", "Authorization", "", "X-Api-Key", key); resp.StatusCode != 200 {
		t.Errorf("by x-api-key: %d", resp.StatusCode)
	}
	if len(f.publisher.got) != 0 {
		t.Errorf("published without a key: %v", f.publisher.got)
	}
}

func TestABatchOfEmptyLinesCostsLittle(t *testing.T) {
	h := (&fixture{}).handler()
	body := strings.Repeat("\n", 4<<20) + "x"
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	resp := ask(h, "POST", "/v1/emit/batch", body)
	runtime.ReadMemStats(&after)
	if spent := after.TotalAlloc - before.TotalAlloc; resp.StatusCode != 413 || spent > 64<<20 {
		t.Errorf("%d, for %d bytes", resp.StatusCode, spent)
	}
	if resp := ask(h, "POST", "/v1/emit/batch", strings.Repeat(goodEvent+"\n", 10_000)); resp.StatusCode != 200 {
		t.Errorf("as many lines as may be: %d", resp.StatusCode)
	}
}

func TestWhatIsEmittedIsCountedByResult(t *testing.T) {
	f := &fixture{}
	h := f.handler()
	ask(h, "POST", "/v1/emit", goodEvent)
	ask(h, "POST", "/v1/emit", "{")
	ask(h, "POST", "/v1/emit/batch", goodEvent+"\n{")
	if f.results["ok"] != 2 || f.results["bad_request"] != 2 {
		t.Errorf("%v", f.results)
	}
}

func TestTheTraceIsCarried(t *testing.T) {
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	f := &fixture{}
	ask(f.handler(), "POST", "/v1/emit", goodEvent, "traceparent", trace)
	if f.publisher.got[0].Trace != trace {
		t.Errorf("%+v", f.publisher.got[0])
	}
}

func TestControlRecordsSayWhatWasAsked(t *testing.T) {
	f := &fixture{}
	h := f.handler()
	ask(h, "POST", "/v1/rooms/a:b/evict", `{"users":["u1","u2"]}`)
	ask(h, "POST", "/v1/users/u1/disconnect", `{"reason":"moved"}`)
	evict, disconnect := f.publisher.got[0].Control, f.publisher.got[1].Control
	if evict.Kind != deliveryv1.Control_MEMBERSHIP_CHANGED || evict.Room != "a:b" || len(evict.Remove) != 2 || len(evict.Add) != 0 {
		t.Errorf("%+v", evict)
	}
	if disconnect.Kind != deliveryv1.Control_USER_DISCONNECT || disconnect.User != "u1" || disconnect.Reason != "moved" {
		t.Errorf("%+v", disconnect)
	}
}
