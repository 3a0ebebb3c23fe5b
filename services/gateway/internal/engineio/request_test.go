package engineio

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestRequestsThatAreServed(t *testing.T) {
	for name, c := range map[string]struct {
		method, query string
		upgrade       bool
		want          Request
	}{
		"a handshake by polling":             {"GET", "EIO=4&transport=polling", false, Request{Polling, "", ""}},
		"a handshake by WebSocket":           {"GET", "EIO=4&transport=websocket", true, Request{WebSocket, "", ""}},
		"a poll":                             {"GET", "EIO=4&transport=polling&sid=abc", false, Request{Polling, "abc", ""}},
		"packets from the client":            {"POST", "transport=polling&EIO=4&sid=abc", false, Request{Polling, "abc", ""}},
		"an upgrade":                         {"GET", "EIO=4&transport=websocket&sid=abc", true, Request{WebSocket, "abc", ""}},
		"a request with a stamp":             {"GET", "EIO=4&transport=polling&t=OxyZ-1&sid=abc", false, Request{Polling, "abc", "OxyZ-1"}},
		"parameters of the page":             {"GET", "token=a%zz&EIO=4&&x&transport=polling", false, Request{Polling, "", ""}},
		"an escaped session id":              {"GET", "EIO=4&transport=polling&sid=a%2Db", false, Request{Polling, "a-b", ""}},
		"an empty session id is a handshake": {"GET", "EIO=4&transport=polling&sid=", false, Request{Polling, "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := ParseRequest(c.method, c.query, c.upgrade); err != nil || got != c.want {
				t.Fatalf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		method, query string
		upgrade       bool
		want          Refusal
	}{
		"no query":                            {"GET", "", false, UnknownTransport},
		"no transport":                        {"GET", "EIO=4", false, UnknownTransport},
		"a transport that does not exist":     {"GET", "EIO=4&transport=abc", false, UnknownTransport},
		"WebTransport":                        {"GET", "EIO=4&transport=webtransport", false, UnknownTransport},
		"a transport in upper case":           {"GET", "EIO=4&transport=Polling", false, UnknownTransport},
		"no version":                          {"GET", "transport=polling", false, UnsupportedProtocol},
		"version 3":                           {"GET", "EIO=3&transport=polling", false, UnsupportedProtocol},
		"version abc":                         {"GET", "EIO=abc&transport=polling", false, UnsupportedProtocol},
		"version 04":                          {"GET", "EIO=04&transport=websocket", true, UnsupportedProtocol},
		"a session without a version":         {"GET", "transport=polling&sid=abc", false, UnsupportedProtocol},
		"a handshake by POST":                 {"POST", "EIO=4&transport=polling", false, BadHandshakeMethod},
		"a handshake by PUT":                  {"PUT", "EIO=4&transport=polling", false, BadHandshakeMethod},
		"a session by DELETE":                 {"DELETE", "EIO=4&transport=polling&sid=abc", false, BadRequest},
		"a session by HEAD":                   {"HEAD", "EIO=4&transport=polling&sid=abc", false, BadRequest},
		"WebSocket without an upgrade":        {"GET", "EIO=4&transport=websocket", false, BadRequest},
		"a session's WebSocket without one":   {"GET", "EIO=4&transport=websocket&sid=abc", false, BadRequest},
		"WebSocket by POST":                   {"POST", "EIO=4&transport=websocket&sid=abc", true, BadRequest},
		"polling with an upgrade":             {"GET", "EIO=4&transport=polling", true, BadRequest},
		"a session id that is far too long":   {"GET", "EIO=4&transport=polling&sid=" + strings.Repeat("x", MaxSID+1), false, UnknownSID},
		"a session id given twice":            {"GET", "EIO=4&transport=polling&sid=a&sid=b", false, BadRequest},
		"a transport given twice":             {"GET", "EIO=4&transport=polling&transport=websocket", false, BadRequest},
		"a session id that is not escaped":    {"GET", "EIO=4&transport=polling&sid=%zz", false, BadRequest},
		"a parameter whose name has a prefix": {"GET", "xEIO=4&transport=polling", false, UnsupportedProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseRequest(c.method, c.query, c.upgrade)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %+v, %v, want %v", got, err, c.want)
			}
		})
	}
}

// The reference server's bodies and statuses, which clients show.
func TestRefusalsReadAsTheReferenceServers(t *testing.T) {
	for want, r := range map[string]Refusal{
		`400 {"code":0,"message":"Transport unknown"}`:            UnknownTransport,
		`400 {"code":1,"message":"Session ID unknown"}`:           UnknownSID,
		`400 {"code":2,"message":"Bad handshake method"}`:         BadHandshakeMethod,
		`400 {"code":3,"message":"Bad request"}`:                  BadRequest,
		`403 {"code":4,"message":"Forbidden"}`:                    Forbidden,
		`400 {"code":5,"message":"Unsupported protocol version"}`: UnsupportedProtocol,
	} {
		status, body, _ := strings.Cut(want, " ")
		if got := string(r.AppendJSON(nil)); got != body {
			t.Errorf("got %s, want %s", got, body)
		}
		if (r.Status() == 403) != (status == "403") {
			t.Errorf("%v: status %d, want %s", r, r.Status(), status)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add("GET", "EIO=4&transport=polling&sid=abc", false)
	f.Add("POST", "EIO=4&transport=websocket&sid=%2e", true)
	f.Fuzz(func(t *testing.T, method, query string, upgrade bool) {
		r, err := ParseRequest(method, query, upgrade)
		if err == nil {
			if len(r.SID) > MaxSID || upgrade != (r.Transport == WebSocket) || method != "GET" && (method != "POST" || r.SID == "") {
				t.Fatalf("%s %q %v is served as %+v", method, query, upgrade, r)
			}
			return
		}
		var refusal Refusal
		if !errors.As(err, &refusal) || !json.Valid(refusal.AppendJSON(nil)) {
			t.Fatalf("refused with %v", err)
		}
	})
}
