package socketio

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"testing"
)

// vectors is testdata/vectors.json, made by testdata/generate.mjs with the JavaScript parser.
type vectors struct {
	Encoded  []vector
	Texts    []vector
	Attached []vector
}

type vector struct {
	Text     string
	Binaries []string
	Packet   *vectorPacket
	Error    string
	Waiting  bool
}

type vectorPacket struct {
	Type Type
	NSP  string
	ID   *float64
	Data any
}

func readVectors(t *testing.T) vectors {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Encoded) == 0 || len(v.Texts) == 0 || len(v.Attached) == 0 {
		t.Fatal("vectors are missing")
	}
	return v
}

// read gives a vector to a Reader.
func (v vector) read(t *testing.T, p *Packet) (complete bool, err error) {
	t.Helper()
	var r Reader
	complete, err = r.Text(p, []byte(v.Text), Limits{})
	for _, s := range v.Binaries {
		if err != nil {
			return false, err
		}
		data, hexErr := hex.DecodeString(s)
		if hexErr != nil {
			t.Fatal(hexErr)
		}
		complete, err = r.Binary(p, data, Limits{})
	}
	return complete, err
}

func TestWhatTheReferenceEncodesIsReadAndWrittenTheSame(t *testing.T) {
	for _, v := range readVectors(t).Encoded {
		var p Packet
		if done, err := v.read(t, &p); err != nil || !done {
			t.Errorf("%s: %v, %v", v.Text, done, err)
			continue
		}
		nsp := p.Namespace
		if p.Query != "" {
			nsp += "?" + p.Query
		}
		if base(p.Type) != v.Packet.Type || nsp != v.Packet.NSP || p.HasID != (v.Packet.ID != nil) || len(p.Binary) != len(v.Binaries) {
			t.Errorf("%s: got %+v", v.Text, p)
		}
		if again := written(&p, nsp); again != v.Text {
			t.Errorf("%s is written as %s", v.Text, again)
		}
	}
}

// written puts a packet together again, the name escaped anew.
func written(p *Packet, namespace string) string {
	dst := AppendHeader(nil, p.Type, p.Attachments, namespace)
	if p.HasID {
		dst = AppendID(dst, p.ID)
	}
	switch {
	case p.Type.event():
		dst = appendArray(dst, string(p.Name), p.Args)
	case p.Type.ack():
		dst = appendArgs(append(dst, '['), p.Args)
	default:
		dst = append(dst, p.Data...)
	}
	return string(dst)
}

func base(t Type) Type {
	switch t {
	case BinaryEvent:
		return Event
	case BinaryAck:
		return Ack
	default:
		return t
	}
}

// stricter is what the reference takes and we refuse, each for a reason of the package comment.
func stricter() map[string]Error {
	return map[string]Error{
		"": ErrEmpty, " ": ErrType, // Number("") and Number(" ") are 0
		"2": ErrPayload, "3": ErrID, "31": ErrPayload, "4": ErrPayload, "2/admin,": ErrPayload, "51-": ErrPayload,
		"01": ErrID, "15": ErrID, "41": ErrID,
		"0 {}": ErrPayload, `2 ["a"]`: ErrPayload, `2 1["a"]`: ErrPayload, `21 ["a"]`: ErrPayload,
		"0/admin{}": ErrNamespace, `2/admin["a"]`: ErrNamespace,
		"2[1]": ErrEventName, "2[1,2]": ErrEventName,
		`201["a"]`: ErrID, `200["a"]`: ErrID, "301[]": ErrID, `29007199254740992["a"]`: ErrID, `299999999999999999999["a"]`: ErrID,
		"3[]": ErrID, "61-[]": ErrID,
		`51e0-["a",{"_placeholder":true,"num":0}]`:     ErrAttachments,
		`501-["a",{"_placeholder":true,"num":0}]`:      ErrAttachments,
		`5 1-["a",{"_placeholder":true,"num":0}]`:      ErrAttachments,
		`51-["a",{"_placeholder":true,"num":0.5}]`:     ErrPlaceholder,
		`51-["a",{"_placeholder":true,"num":0.0}]`:     ErrPlaceholder,
		`51-["a",{"_placeholder":true,"num":0,"x":1}]`: ErrPlaceholder,
		`51-["a",{"_placeholder":false,"num":9}]`:      ErrPlaceholder,
		`51-["a",{"_placeholder":1,"num":0}]`:          ErrPlaceholder,
		`51-["a"]`:                                     ErrPlaceholder,
		`52-["a",{"_placeholder":true,"num":0}]`:       ErrPlaceholder,
		"61-1[]":                                       ErrPlaceholder,
		deep(101):                                      ErrDepth,
	}
}

func TestOddInputsAgainstTheReference(t *testing.T) {
	v := readVectors(t)
	stricter := stricter()
	for _, e := range append(v.Texts, v.Attached...) {
		var p Packet
		done, err := e.read(t, &p)
		if want, ok := stricter[e.Text]; ok {
			if !errors.Is(err, want) || e.Error != "" {
				t.Errorf("%q: %v, want %v where the reference takes it (%q)", e.Text, err, want, e.Error)
			}
			continue
		}
		switch {
		case (err != nil) != (e.Error != ""):
			t.Errorf("%q: %v, the reference has %q", e.Text, err, e.Error)
		case err != nil:
		case done == e.Waiting:
			t.Errorf("%q: complete is %v, the reference waits %v", e.Text, done, e.Waiting)
		case done:
			checkPacket(t, e, &p)
		}
	}
}

func checkPacket(t *testing.T, v vector, p *Packet) {
	t.Helper()
	nsp := p.Namespace
	if p.Query != "" {
		nsp += "?" + p.Query
	}
	var id *float64
	if p.HasID {
		n := float64(p.ID)
		id = &n
	}
	got := vectorPacket{Type: base(p.Type), NSP: nsp, ID: id, Data: v.Packet.Data}
	if len(p.Data) > 0 && p.Attachments == 0 {
		if err := json.Unmarshal(p.Data, &got.Data); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(got, *v.Packet) || (p.Data == nil) != (v.Packet.Data == nil) {
		t.Errorf("%q: got %+v, the reference has %+v", v.Text, got, *v.Packet)
	}
}
