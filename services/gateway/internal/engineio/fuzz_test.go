package engineio

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"unicode/utf8"

	"github.com/zishang520/socket.io/parsers/engine/v3/packet"
	"github.com/zishang520/socket.io/parsers/engine/v3/parser"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// other reads a packet as the second reader has it. Whatever we take, it must take too, and mean the same by it. It takes more: it skips empty
// packets, reads base64 in text frames, with line breaks and unused bits, and text that is not UTF-8.
func other(t *testing.T, p *packet.Packet) Packet {
	t.Helper()
	_, text := p.Data.(*types.StringBuffer)
	data, err := io.ReadAll(p.Data)
	if err != nil {
		t.Fatal(err)
	}
	for typ := Open; typ <= Noop; typ++ {
		if typ.String() == string(p.Type) {
			return Packet{Type: typ, Binary: !text, Data: data}
		}
	}
	t.Fatalf("the second reader has type %q", p.Type)
	return Packet{}
}

func FuzzDecodePacket(f *testing.F) {
	for _, s := range []string{"", "0{}", "2probe", "3", "4hello", "5", "6", "7", "bAQID", "4\x1e4"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		theirs, theirErr := parser.Parserv4().DecodePacket(types.NewStringBuffer(bytes.Clone(text)))
		got, err := DecodeText(text)
		if err != nil {
			if theirErr == nil && (len(text) == 0 || text[0] != 'b') {
				t.Fatalf("%q: %v, the second reader takes it", text, err)
			}
			return
		}
		if theirErr != nil || !same(got, other(t, theirs)) {
			t.Fatalf("%q: %+v, the second reader has %+v, %v", text, got, theirs, theirErr)
		}
		if again := AppendText(nil, got.Type, got.Data); !bytes.Equal(again, text) {
			t.Fatalf("%q is written as %q", text, again)
		}
	})
}

func FuzzDecodePayload(f *testing.F) {
	for _, s := range []string{"", "\x1e", "4a\x1ebAQID\x1e2", "bAQ==", "b", "4a\x1e\x1e4b", "bAR==", "4€", "b/+/+\x1eb"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		theirs, theirErr := parser.Parserv4().DecodePayload(types.NewStringBuffer(bytes.Clone(body)))
		got, err := decodeBody(bytes.Clone(body))
		if err != nil {
			stricter := errors.Is(err, ErrEmpty) || errors.Is(err, ErrBase64) || errors.Is(err, ErrUTF8) && !utf8.Valid(body)
			if theirErr == nil && !stricter {
				t.Fatalf("%q: %v, the second reader takes it", body, err)
			}
			return
		}
		if theirErr != nil || len(theirs) != len(got) {
			t.Fatalf("%q: %+v, the second reader has %+v, %v", body, got, theirs, theirErr)
		}
		var again []byte
		for i, p := range got {
			if !same(p, other(t, theirs[i])) {
				t.Fatalf("%q: packet %d is %+v, the second reader has %+v", body, i, p, theirs[i])
			}
			if p.Binary {
				again = AppendPolledBinary(again, p.Data)
			} else {
				again = AppendPolledText(again, p.Type, p.Data)
			}
		}
		if !bytes.Equal(again, body) {
			t.Fatalf("%q is written as %q", body, again)
		}
	})
}
