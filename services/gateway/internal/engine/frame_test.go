package engine

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestFrameEncodings(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	tests := map[string]struct {
		frame   *Frame
		ws      string
		payload string
	}{
		"text":                  {TextFrame(Durable, []byte(`2["a"]`)), "\x81\x074" + `2["a"]`, `42["a"]`},
		"text of 126 bytes":     {TextFrame(Durable, []byte(long[:125])), "\x81\x7e\x00\x7e4" + long[:125], "4" + long[:125]},
		"text of 70,001 bytes":  {TextFrame(Durable, []byte(long)), "\x81\x7f\x00\x00\x00\x00\x00\x01\x11\x714" + long, "4" + long},
		"text with attachments": {BinaryFrame(Durable, []byte("5"), [][]byte{{1, 2}, {}}), "\x81\x0245\x82\x02\x01\x02\x82\x00", "45\x1ebAQI=\x1eb"},
		"bytes":                 {BytesFrame(Durable, []byte{1, 2, 3, 4}), "\x82\x04\x01\x02\x03\x04", "bAQIDBA=="},
		"a ping":                {packetFrame(2, ""), "\x81\x012", "2"},
		"raw":                   {rawFrame([]byte{0x8a, 0}), "\x8a\x00", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if string(test.frame.ws) != test.ws || test.frame.Len() != len(test.ws) {
				t.Errorf("ws %q, want %q", test.frame.ws, test.ws)
			}
			if got := test.frame.AppendPayload(nil); string(got) != test.payload {
				t.Errorf("payload %q, want %q", got, test.payload)
			}
			if got := test.frame.AppendPayload([]byte("6")); test.payload != "" && string(got) != "6\x1e"+test.payload {
				t.Errorf("second in a payload: %q", got)
			}
			if test.frame.Text() == nil {
				return
			}
			parsed, err := ParseFrame(Durable, []byte(test.payload))
			if err != nil || !bytes.Equal(parsed.ws, test.frame.ws) || !bytes.Equal(parsed.Text(), test.frame.Text()) {
				t.Errorf("parsed: %q, %v", parsed.ws, err)
			}
		})
	}
}

func TestParseFrameRefuses(t *testing.T) {
	for name, payload := range map[string]string{
		"nothing":                   "",
		"another packet":            "2",
		"bytes first":               "bAQI=",
		"two texts":                 "4a\x1e4b",
		"a malformed attachment":    "4a\x1eb???",
		"a packet behind the event": "4a\x1ebAQI=\x1e6",
	} {
		t.Run(name, func(t *testing.T) {
			if f, err := ParseFrame(Durable, []byte(payload)); err == nil {
				t.Errorf("parsed %q", f.ws)
			}
		})
	}
}

func TestKeyedFrameSharesItsBytes(t *testing.T) {
	f := TextFrame(Ephemeral, []byte("2[]"))
	keyed := f.WithKey("k")
	if f.key != "" || keyed.key != "k" || &f.ws[0] != &keyed.ws[0] || !slices.Equal(f.text, keyed.text) {
		t.Error("WithKey changed the frame or copied its bytes")
	}
}
