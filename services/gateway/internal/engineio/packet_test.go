package engineio

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// decodeBody decodes a polling body with generous limits; packets hold copies.
func decodeBody(body []byte) ([]Packet, error) {
	p, err := NewPayload(body, 1<<20, 1<<20)
	if err != nil {
		return nil, err
	}
	var packets []Packet
	for p.More() {
		packet, err := p.Next()
		if err != nil {
			return packets, err
		}
		packet.Data = bytes.Clone(packet.Data)
		packets = append(packets, packet)
	}
	return packets, nil
}

func TestMalformedPayloadsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want Error
	}{
		"an empty body":                          {"", ErrEmpty},
		"a lone separator":                       {"\x1e", ErrEmpty},
		"a separator behind the last packet":     {"4a\x1e", ErrEmpty},
		"a separator before the first packet":    {"\x1e4a", ErrEmpty},
		"two separators in a row":                {"4a\x1e\x1e4b", ErrEmpty},
		"a type above 6":                         {"7", ErrType},
		"a letter for a type":                    {"abc", ErrType},
		"a minus sign":                           {"-1", ErrType},
		"a digit that is not ASCII":              {"٤", ErrType},
		"the base64 mark in upper case":          {"BAQID", ErrType},
		"a space before the type":                {" 4a", ErrType},
		"a bad packet behind good ones":          {"4a\x1e4b\x1e9", ErrType},
		"text that is not UTF-8":                 {"4\xff", ErrUTF8},
		"a surrogate in UTF-8":                   {"4\xed\xa0\x80", ErrUTF8},
		"an overlong character":                  {"4\xc0\x80", ErrUTF8},
		"a character cut off at the end":         {"4\xe2\x82", ErrUTF8},
		"base64 without padding":                 {"bAQI", ErrBase64},
		"base64 with too much padding":           {"bAQID=", ErrBase64},
		"base64 that goes on behind its padding": {"bAQI=AQID", ErrBase64},
		"base64 in the alphabet of URLs":         {"b-_-_", ErrBase64},
		"base64 with a line break":               {"bAQ\nID", ErrBase64},
		"base64 with a carriage return":          {"bAQID\r", ErrBase64},
		"base64 with a space":                    {"bAQ ID", ErrBase64},
		"base64 whose unused bits are not zero":  {"bAR==", ErrBase64},
		"base64 of padding alone":                {"b====", ErrBase64},
		"base64 of one character":                {"bA", ErrBase64},
		"characters that are not base64":         {"b!!!!", ErrBase64},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decodeBody([]byte(c.body))
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestMalformedFramesAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		frame string
		want  Error
	}{
		"an empty frame":         {"", ErrEmpty},
		"a type above 6":         {"7x", ErrType},
		"a letter":               {"abc", ErrType},
		"base64 in a text frame": {"bAQID", ErrType},
		"a NUL":                  {"\x00", ErrType},
		"a colon":                {":", ErrType},
		"a slash":                {"/", ErrType},
	} {
		t.Run(name, func(t *testing.T) {
			if p, err := DecodeText([]byte(c.frame)); !errors.Is(err, c.want) {
				t.Fatalf("got %v, %v, want %v", p, err, c.want)
			}
		})
	}
}

func TestLimitsOfAPayload(t *testing.T) {
	if _, err := NewPayload([]byte("4abc"), 4, 1); err != nil {
		t.Errorf("as many bytes as the limit: %v", err)
	}
	if _, err := NewPayload([]byte("4abcd"), 4, 1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one byte over the limit: got %v", err)
	}
	if _, err := NewPayload([]byte("4\x1e4"), 99, 2); err != nil {
		t.Errorf("as many packets as the limit: %v", err)
	}
	if _, err := NewPayload([]byte("4\x1e4\x1e4"), 99, 2); !errors.Is(err, ErrTooMany) {
		t.Errorf("one packet over the limit: got %v", err)
	}
}

func TestNothingIsReadBehindABadPacket(t *testing.T) {
	p, err := NewPayload([]byte("4a\x1e9\x1e4b"), 99, 99)
	if err != nil {
		t.Fatal(err)
	}
	if first, err := p.Next(); err != nil || string(first.Data) != "a" {
		t.Fatalf("first packet: %v, %v", first, err)
	}
	if _, err := p.Next(); !errors.Is(err, ErrType) || p.More() {
		t.Fatalf("bad packet: %v, more %v", err, p.More())
	}
}

func TestAPayloadComesBackAsItWasWritten(t *testing.T) {
	long := bytes.Repeat([]byte{0x1e, 0xff, 0}, 500)
	want := []Packet{
		{Type: Message, Data: []byte("hello €")},
		{Type: Message, Binary: true, Data: []byte{}},
		{Type: Message, Binary: true, Data: []byte{1}},
		{Type: Message, Binary: true, Data: long},
		{Type: Pong, Data: []byte("probe")},
		{Type: Close, Data: []byte{}},
		{Type: Message, Data: []byte(strings.Repeat("x", 70_000))},
	}
	var body []byte
	for _, p := range want {
		before := len(body)
		if !p.Binary {
			body = AppendPolledText(body, p.Type, p.Data)
			continue
		}
		body = AppendPolledBinary(body, p.Data)
		if n := len(body) - before - 1; n != PolledBinaryLen(len(p.Data)) {
			t.Errorf("%d bytes take %d, PolledBinaryLen says %d", len(p.Data), n, PolledBinaryLen(len(p.Data)))
		}
	}
	got, err := decodeBody(body)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got, want, same) {
		t.Fatalf("got %v", got)
	}
}

func same(a, b Packet) bool {
	return a.Type == b.Type && a.Binary == b.Binary && bytes.Equal(a.Data, b.Data)
}
