package socketio

import (
	"errors"
	"reflect"
	"testing"
)

// step is a text (or an attachment, behind "#") and what the reader makes of it: "more", "done" or an error.
type step struct {
	in   string
	want any
}

func TestAttachmentsAreJoined(t *testing.T) {
	const one, two = `51-["a",{"_placeholder":true,"num":0}]`, `52-["a",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]`
	limits := Limits{AttachmentBytes: 6}
	for name, steps := range map[string][]step{
		"one attachment":                         {{one, "more"}, {"#x", "done"}},
		"an empty attachment":                    {{one, "more"}, {"#", "done"}},
		"two attachments":                        {{two, "more"}, {"#x", "more"}, {"#y", "done"}},
		"a text packet awaits nothing":           {{`2["a"]`, "done"}, {`31[]`, "done"}},
		"an ack with an attachment":              {{`61-1[{"_placeholder":true,"num":0}]`, "more"}, {"#x", "done"}},
		"an attachment without a packet":         {{"#x", ErrUnexpectedBinary}},
		"an attachment too many":                 {{one, "more"}, {"#x", "done"}, {"#y", ErrUnexpectedBinary}},
		"text in place of an attachment":         {{one, "more"}, {`2["a"]`, ErrUnexpectedText}},
		"another binary packet in between":       {{two, "more"}, {"#x", "more"}, {one, ErrUnexpectedText}},
		"a bad packet in place of an attachment": {{one, "more"}, {`x`, ErrUnexpectedText}},
		"attachments of just the limit":          {{two, "more"}, {"#123", "more"}, {"#456", "done"}},
		"one attachment over the limit":          {{one, "more"}, {"#1234567", ErrTooLarge}},
		"attachments over the limit together":    {{two, "more"}, {"#1234", "more"}, {"#567", ErrTooLarge}},
		"a reader goes on after an error":        {{one, "more"}, {`2["a"]`, ErrUnexpectedText}, {`2["a"]`, "done"}},
		"nothing is awaited after an error":      {{one, "more"}, {"#1234567", ErrTooLarge}, {"#x", ErrUnexpectedBinary}},
		"nothing is awaited by a bad packet":     {{`51-["a"]`, ErrPlaceholder}, {"#x", ErrUnexpectedBinary}},
	} {
		t.Run(name, func(t *testing.T) {
			var r Reader
			var p Packet
			for i, s := range steps {
				var done bool
				var err error
				if s.in != "" && s.in[0] == '#' {
					done, err = r.Binary(&p, []byte(s.in[1:]), limits)
				} else {
					done, err = r.Text(&p, []byte(s.in), limits)
				}
				switch want := s.want.(type) {
				case Error:
					if !errors.Is(err, want) || done {
						t.Fatalf("step %d: %v, %v, want %v", i, done, err, want)
					}
				case string:
					if err != nil || done != (want == "done") {
						t.Fatalf("step %d: %v, %v, want %v", i, done, err, want)
					}
				}
				if r.Pending() != (s.want == "more") {
					t.Fatalf("step %d: pending %v", i, r.Pending())
				}
			}
		})
	}
}

func TestAJoinedPacketOwnsItsMemory(t *testing.T) {
	var r Reader
	var p Packet
	text, data := []byte(`51-7["name",[{"_placeholder":true,"num":0}]]`), []byte{1, 2}
	if _, err := r.Text(&p, text, Limits{}); err != nil {
		t.Fatal(err)
	}
	clear(text)
	if done, err := r.Binary(&p, data, Limits{}); !done || err != nil {
		t.Fatal(done, err)
	}
	clear(data)
	if string(p.Name) != "name" || p.ID != 7 || string(p.Args[0]) != `[{"_placeholder":true,"num":0}]` || !reflect.DeepEqual(p.Binary, [][]byte{{1, 2}}) {
		t.Fatalf("got %+v", p)
	}
}
