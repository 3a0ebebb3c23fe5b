package wsframe

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestHeadersAreOfTheShortestForm(t *testing.T) {
	for _, c := range []struct {
		n    int
		want []byte
	}{
		{0, []byte{0x81, 0}},
		{125, []byte{0x81, 125}},
		{126, []byte{0x81, 126, 0, 126}},
		{65535, []byte{0x81, 126, 0xff, 0xff}},
		{65536, []byte{0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
	} {
		got := AppendHeader(nil, Text, c.n)
		if !bytes.Equal(got, c.want) || HeaderLen(c.n) != len(got) || len(got) > MaxHeader {
			t.Errorf("%d bytes: %x", c.n, got)
		}
	}
	if got := AppendFrame([]byte{1}, Binary, []byte{7, 8}); !bytes.Equal(got, []byte{1, 0x82, 2, 7, 8}) {
		t.Errorf("got %x", got)
	}
}

func TestCloseFramesFitAControlFrame(t *testing.T) {
	for name, c := range map[string]struct {
		code   uint16
		reason string
		want   string
	}{
		"a code":                 {1000, "", "\x88\x02\x03\xe8"},
		"a code and a reason":    {1001, "bye", "\x88\x05\x03\xe9bye"},
		"no code":                {CloseNoStatus, "ignored", "\x88\x00"},
		"a reason of full size":  {1000, strings.Repeat("x", 123), "\x88\x7d\x03\xe8" + strings.Repeat("x", 123)},
		"a reason that is cut":   {1000, strings.Repeat("x", 124), "\x88\x7d\x03\xe8" + strings.Repeat("x", 123)},
		"cut between characters": {1000, strings.Repeat("x", 121) + "€", "\x88\x7b\x03\xe8" + strings.Repeat("x", 121)},
	} {
		t.Run(name, func(t *testing.T) {
			got := AppendClose(nil, c.code, c.reason)
			if string(got) != c.want || !utf8.Valid(got[min(len(got), 4):]) {
				t.Fatalf("got %q", got)
			}
		})
	}
}

func TestCloseCodes(t *testing.T) {
	for code, want := range map[uint16]bool{
		0: false, 999: false, 1000: true, 1003: true, 1004: false, 1005: false, 1006: false, 1007: true, 1011: true, 1012: true, 1013: true, 1014: true,
		1015: false, 1016: false, 2999: false, 3000: true, 4999: true, 5000: false, 65535: false,
	} {
		if ValidCloseCode(code) != want {
			t.Errorf("%d: %v", code, !want)
		}
	}
}

// The example of RFC 6455, 1.3.
const exampleKey = "dGhlIHNhbXBsZSBub25jZQ=="

func handshake(change func(http.Header)) http.Header {
	h := http.Header{
		"Upgrade":               {"websocket"},
		"Connection":            {"Upgrade"},
		"Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key":     {exampleKey},
	}
	if change != nil {
		change(h)
	}
	return h
}

func TestHandshakesThatAreAccepted(t *testing.T) {
	for name, change := range map[string]func(http.Header){
		"as in the RFC":            nil,
		"Connection of Firefox":    func(h http.Header) { h.Set("Connection", "keep-alive, Upgrade") },
		"Connection in two lines":  func(h http.Header) { h["Connection"] = []string{"keep-alive", "upgrade"} },
		"Upgrade in another case":  func(h http.Header) { h.Set("Upgrade", "WebSocket") },
		"Upgrade with more on it":  func(h http.Header) { h.Set("Upgrade", "h2c ,\twebsocket") },
		"extensions that we leave": func(h http.Header) { h.Set("Sec-WebSocket-Extensions", "permessage-deflate") },
	} {
		t.Run(name, func(t *testing.T) {
			h := handshake(change)
			if key, err := CheckHandshake("GET", 1, 1, h); err != nil || key != exampleKey || !Asks(h) {
				t.Fatal(key, err)
			}
		})
	}
	want := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-A: b\r\n\r\n"
	if got := string(AppendSwitching(nil, exampleKey, "X-A: b\r\n")); got != want {
		t.Errorf("got %q", got)
	}
}

func TestHandshakesThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		minor  int
		change func(http.Header)
		want   HandshakeError
		status int
	}{
		"POST":                        {"POST", 1, nil, ErrMethod, 405},
		"HTTP/1.0":                    {"GET", 0, nil, ErrProtocol, 400},
		"no Upgrade":                  {"GET", 1, func(h http.Header) { h.Del("Upgrade") }, ErrUpgrade, 400},
		"another Upgrade":             {"GET", 1, func(h http.Header) { h.Set("Upgrade", "h2c") }, ErrUpgrade, 400},
		"an Upgrade that only begins": {"GET", 1, func(h http.Header) { h.Set("Upgrade", "websocket2") }, ErrUpgrade, 400},
		"no Connection":               {"GET", 1, func(h http.Header) { h.Del("Connection") }, ErrConnection, 400},
		"Connection: keep-alive":      {"GET", 1, func(h http.Header) { h.Set("Connection", "keep-alive") }, ErrConnection, 400},
		"no version":                  {"GET", 1, func(h http.Header) { h.Del("Sec-Websocket-Version") }, ErrVersion, 426},
		"version 8":                   {"GET", 1, func(h http.Header) { h.Set("Sec-Websocket-Version", "8") }, ErrVersion, 426},
		"two versions":                {"GET", 1, func(h http.Header) { h["Sec-Websocket-Version"] = []string{"13", "13"} }, ErrVersion, 426},
		"no key":                      {"GET", 1, func(h http.Header) { h.Del("Sec-Websocket-Key") }, ErrKey, 400},
		"two keys":                    {"GET", 1, func(h http.Header) { h.Add("Sec-Websocket-Key", exampleKey) }, ErrKey, 400},
		"a key of 15 bytes":           {"GET", 1, func(h http.Header) { h.Set("Sec-Websocket-Key", "AAAAAAAAAAAAAAAAAAAA") }, ErrKey, 400},
		"a key of 18 bytes":           {"GET", 1, func(h http.Header) { h.Set("Sec-Websocket-Key", strings.Repeat("A", 24)) }, ErrKey, 400},
		"a key that is not base64":    {"GET", 1, func(h http.Header) { h.Set("Sec-Websocket-Key", strings.Repeat("!", 24)) }, ErrKey, 400},
		"a key with a line break":     {"GET", 1, func(h http.Header) { h.Set("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ\n=") }, ErrKey, 400},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := CheckHandshake(c.method, 1, c.minor, handshake(c.change))
			var refused HandshakeError
			if !errors.As(err, &refused) || refused != c.want || refused.Status() != c.status {
				t.Fatalf("got %q, %v, want %v", key, err, c.want)
			}
		})
	}
	if _, err := CheckHandshake("GET", 2, 0, handshake(nil)); !errors.Is(err, ErrProtocol) {
		t.Errorf("HTTP/2: %v", err)
	}
}
