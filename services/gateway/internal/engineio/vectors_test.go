package engineio

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"
)

// vectors is testdata/vectors.json, made by testdata/generate.mjs with the JavaScript parser.
type vectors struct {
	Encoded []struct {
		Packet        vectorPacket
		Frame, Polled string
	}
	Payloads []struct {
		Packets []vectorPacket
		Body    string
	}
	Frames []struct {
		Input  string
		Packet vectorPacket
	}
	Bodies []struct {
		Input   string
		Packets []vectorPacket
	}
}

type vectorPacket struct {
	Type   string
	Binary bool
	Data   string
	Error  bool
}

func (v vectorPacket) packet(t *testing.T) Packet {
	t.Helper()
	for typ := Open; typ <= Noop; typ++ {
		if typ.String() == v.Type {
			return Packet{Type: typ, Binary: v.Binary, Data: unhex(t, v.Data)}
		}
	}
	t.Fatalf("type %q", v.Type)
	return Packet{}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
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
	if len(v.Encoded) == 0 || len(v.Payloads) == 0 || len(v.Frames) == 0 || len(v.Bodies) == 0 {
		t.Fatal("vectors are missing")
	}
	return v
}

func TestWhatTheReferenceEncodesIsWhatWeEncode(t *testing.T) {
	v := readVectors(t)
	for _, e := range v.Encoded {
		p := e.Packet.packet(t)
		frame, polled := AppendText(nil, p.Type, p.Data), AppendPolledText(nil, p.Type, p.Data)
		if p.Binary {
			frame, polled = p.Data, AppendPolledBinary(nil, p.Data)
		}
		if hex.EncodeToString(frame) != e.Frame || hex.EncodeToString(polled) != e.Polled {
			t.Errorf("%+v: frame %x, polled %x", e, frame, polled)
		}
	}
	for _, e := range v.Payloads {
		var body []byte
		for _, vp := range e.Packets {
			if p := vp.packet(t); p.Binary {
				body = AppendPolledBinary(body, p.Data)
			} else {
				body = AppendPolledText(body, p.Type, p.Data)
			}
		}
		if hex.EncodeToString(body) != e.Body {
			t.Errorf("%+v: body %x", e, body)
		}
	}
}

func TestWhatTheReferenceEncodesIsRead(t *testing.T) {
	v := readVectors(t)
	for _, e := range v.Encoded {
		want := e.Packet.packet(t)
		got, err := DecodeBinary(unhex(t, e.Frame)), error(nil)
		if !want.Binary {
			got, err = DecodeText(unhex(t, e.Frame))
		}
		if err != nil || !same(got, want) {
			t.Errorf("frame %+v: %+v, %v", e, got, err)
		}
	}
	for _, e := range v.Payloads {
		checkBody(t, e.Body, e.Packets, 0)
	}
}

func TestOddInputsAgainstTheReference(t *testing.T) {
	stricter := map[string]Error{
		"bAQID":     ErrType, // as a text frame: base64 belongs to payloads
		"bAQI":      ErrBase64,
		"bAQ":       ErrBase64,
		"bAR==":     ErrBase64,
		"bA":        ErrBase64,
		"b====":     ErrBase64,
		"bAQ\nID":   ErrBase64,
		"bAQ ID":    ErrBase64,
		"b-_-_":     ErrBase64,
		"b!!!!":     ErrBase64,
		"bAQID=":    ErrBase64,
		"bAQI=AQID": ErrBase64,
	}
	v := readVectors(t)
	for _, e := range v.Frames {
		input := unhex(t, e.Input)
		got, err := DecodeText(input)
		if want, ok := stricter[string(input)]; ok {
			if !errors.Is(err, want) || e.Packet.Error {
				t.Errorf("frame %q: %v, want %v where the reference takes it", input, err, want)
			}
			continue
		}
		if e.Packet.Error != (err != nil) || err == nil && !same(got, e.Packet.packet(t)) {
			t.Errorf("frame %q: %+v, %v, the reference has %+v", input, got, err, e.Packet)
		}
	}
	for _, e := range v.Bodies {
		want := stricter[string(unhex(t, e.Input))]
		if string(unhex(t, e.Input)) == "bAQID" {
			want = 0
		}
		checkBody(t, e.Input, e.Packets, want)
	}
}

// checkBody compares a decoded body with the reference's packets, the last of which may be an error; stricter is the error where we differ.
func checkBody(t *testing.T, body string, want []vectorPacket, stricter Error) {
	t.Helper()
	got, err := decodeBody(unhex(t, body))
	failed := len(want) > 0 && want[len(want)-1].Error
	if stricter != 0 {
		if failed || !errors.Is(err, stricter) {
			t.Errorf("body %s: %v, want %v where the reference takes it", body, err, stricter)
		}
		return
	}
	if failed {
		want = want[:len(want)-1]
	}
	if failed != (err != nil) || len(got) != len(want) {
		t.Errorf("body %s: %+v, %v, the reference has %+v", body, got, err, want)
		return
	}
	for i := range want {
		if !same(got[i], want[i].packet(t)) {
			t.Errorf("body %s: packet %d is %+v, the reference has %+v", body, i, got[i], want[i])
		}
	}
}
