package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// second gives text and attachments to the second reader. Whatever we take, it must take too, and mean the same by it. It takes more: numbers for
// names, ids without bounds or with leading zeros, an ACK without an id, anything behind the JSON, and it looks at placeholders less closely.
func second(t *testing.T, text string, binaries [][]byte) (*parser.Packet, error) {
	t.Helper()
	var got *parser.Packet
	d := parser.NewDecoder()
	err := d.On("decoded", func(args ...any) { got, _ = args[0].(*parser.Packet) })
	if err != nil {
		t.Fatal(err)
	}
	err = d.Add(text)
	for _, b := range binaries {
		if err == nil {
			err = d.Add(b)
		}
	}
	return got, err
}

func seeds(f *testing.F) {
	for _, s := range []string{
		``, `0`, `0{"a":1}`, `0/admin?a=b,{}`, `1`, `1/admin,`, `2["a"]`, `2/admin,12["a",{"b":[1,-2.5e3,null,true,false,"\u0061\n"]}]`, `31[]`, `4{"message":"x"}`,
		`51-["a",{"_placeholder":true,"num":0}]`, `62-7[{"_placeholder":true,"num":1},{"x":[{"num":0,"_placeholder":true}]}]`, `2["connect"]`, `2[1]`, ` 2 ["a"]`,
	} {
		f.Add([]byte(s))
	}
}

func FuzzDecodePacket(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		if !utf8.Valid(text) {
			return // the transports refuse it
		}
		var p Packet
		before := bytes.Clone(text)
		err := Decode(&p, text, Limits{})
		if !bytes.Equal(before, text) {
			t.Fatal("the text was changed")
		}
		if err != nil {
			var known Error
			if !errors.As(err, &known) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		var value any
		if p.Data != nil && json.Unmarshal(p.Data, &value) != nil {
			if json.Valid(p.Data) {
				return // a number that Go's float64 cannot hold
			}
			t.Fatalf("%q: payload %q is no JSON", text, p.Data)
		}
		binaries := make([][]byte, p.Attachments)
		for i := range binaries {
			binaries[i] = []byte{byte(i)}
		}
		theirs, err := second(t, string(text), binaries)
		if err != nil || theirs == nil {
			t.Fatalf("%q: %+v, the second reader has %v, %v", text, p, theirs, err)
		}
		compare(t, &p, value, theirs)
		reread(t, &p, value)
	})
}

// compare holds a packet, whose payload is value, against the second reader's.
func compare(t *testing.T, p *Packet, value any, theirs *parser.Packet) {
	t.Helper()
	nsp := p.Namespace
	if p.Query != "" {
		nsp += "?" + p.Query
	}
	theirNSP, _, _ := bytes.Cut([]byte(theirs.Nsp), []byte("?"))
	if theirs.Nsp != nsp && (p.Query != "" || string(theirNSP) != nsp) || Type(theirs.Type) != p.Type || (theirs.Id != nil) != p.HasID || p.HasID && *theirs.Id != p.ID {
		t.Fatalf("got %+v, the second reader has %+v", p, theirs)
	}
	if p.Attachments == 0 && !reflect.DeepEqual(theirs.Data, value) {
		t.Fatalf("payload is %v, the second reader has %v", value, theirs.Data)
	}
}

// reread checks that name and arguments are the elements of the payload, and that a packet put together of them reads the same.
func reread(t *testing.T, p *Packet, value any) {
	t.Helper()
	if !p.Type.event() && !p.Type.ack() {
		return
	}
	list, _ := value.([]any)
	if p.Type.event() {
		if name, _ := list[0].(string); name != string(p.Name) {
			t.Fatalf("name is %q, want %q", p.Name, name)
		}
		list = list[1:]
	}
	if len(list) != len(p.Args) {
		t.Fatalf("%d arguments, want %d", len(p.Args), len(list))
	}
	for i, arg := range p.Args {
		var got any
		if err := json.Unmarshal(arg, &got); err != nil || !reflect.DeepEqual(got, list[i]) {
			t.Fatalf("argument %d is %s, want %v", i, arg, list[i])
		}
	}
	var again Packet
	if err := Decode(&again, []byte(written(p, p.Namespace)), Limits{}); err != nil || !bytes.Equal(again.Name, p.Name) || !reflect.DeepEqual(again.Args, p.Args) {
		t.Fatalf("%+v is read again as %+v, %v", p, again, err)
	}
}

// FuzzJSON compares the scanner with encoding/json.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`null`, `{"a":[1,2.5e-3,"\u12aF\\"],"b":{}}`, ` [ ] `, `-0`, `01`, `"`, `[[[[`, `{"a":1,}`, "\"\x7f\u2028\""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := scanner{text: text, depth: 1000}
		s.space()
		err := s.document()
		if errors.Is(err, ErrDepth) {
			return
		}
		if (err == nil) != json.Valid(text) {
			t.Fatalf("%q: %v, encoding/json says %v", text, err, json.Valid(text))
		}
	})
}

// FuzzReader cuts its input into messages at each 0xff and gives them to a Reader, those that begin with '#' as attachments.
func FuzzReader(f *testing.F) {
	f.Add([]byte("51-[\"a\",{\"_placeholder\":true,\"num\":0}]\xff#xyz\xff2[\"b\"]"))
	f.Add([]byte("52-[\"a\",{\"_placeholder\":true,\"num\":1},{\"_placeholder\":true,\"num\":0}]\xff#\xff2[\"b\"]\xff#"))
	f.Fuzz(func(t *testing.T, input []byte) {
		var r Reader
		var p Packet
		limits := Limits{AttachmentBytes: 16}
		d := parser.NewDecoder()
		complete := 0
		if err := d.On("decoded", func(...any) { complete++ }); err != nil {
			t.Fatal(err)
		}
		for message := range bytes.SplitSeq(input, []byte{0xff}) {
			var done bool
			var err error
			data, binary := bytes.CutPrefix(message, []byte{'#'})
			if binary {
				done, err = r.Binary(&p, data, limits)
			} else {
				done, err = r.Text(&p, message, limits)
			}
			if err != nil {
				if r.Pending() || done {
					t.Fatalf("%v, pending %v, done %v", err, r.Pending(), done)
				}
				return // the connection ends
			}
			before := complete
			var theirs error
			if binary {
				theirs = d.Add(bytes.Clone(data))
			} else {
				theirs = d.Add(types.NewStringBufferString(string(message)))
			}
			if !json.Valid(p.Data) && p.Data != nil {
				t.Fatalf("payload %q", p.Data)
			}
			if !binary && theirs != nil {
				return // a number that Go's float64 cannot hold
			}
			if theirs != nil || done != (complete > before) || done == r.Pending() || done && len(p.Binary) != p.Attachments {
				t.Fatalf("%q: done %v, the second reader has %d more, %v", message, done, complete-before, theirs)
			}
		}
	})
}
