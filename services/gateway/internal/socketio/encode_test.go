package socketio

import (
	"encoding/json"
	"testing"
	"testing/quick"
	"unicode/utf8"
)

func TestWhatIsWritten(t *testing.T) {
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	for want, got := range map[string][]byte{
		`0{"sid":"abc"}`:                          AppendConnect(nil, "abc", ""),
		`0{"sid":"abc","pid":"def"}`:              AppendConnect(nil, "abc", "def"),
		`1`:                                       AppendDisconnect(nil),
		`4{"message":"Not \"you\""}`:              AppendConnectError(nil, "/", `Not "you"`, nil),
		`4{"message":"x","data":{"code":"y"}}`:    AppendConnectError(nil, "", "x", raw(`{"code":"y"}`)),
		`4/admin,{"message":"Invalid namespace"}`: AppendConnectError(nil, "/admin", "Invalid namespace", nil),
		`2["a"]`:                                  AppendEvent(nil, "a"),
		`2["a",{"b":1},null]`:                     AppendEvent(nil, "a", raw(`{"b":1}`), raw(`null`)),
		`27["a",1]`:                               AppendEventAck(nil, 7, "a", raw(`1`)),
		`51-["a",{"_placeholder":true,"num":0}]`:  AppendBinaryEvent(nil, 1, "a", AppendPlaceholder(nil, 0)),
		`30[]`:                                    AppendAck(nil, 0),
		`312[{"ok":true}]`:                        AppendAck(nil, 12, raw(`{"ok":true}`)),
		`61-12[{"_placeholder":true,"num":0}]`:    AppendBinaryAck(nil, 1, 12, AppendPlaceholder(nil, 0)),
		`52-/admin,3`:                             AppendID(AppendHeader(nil, BinaryEvent, 2, "/admin"), 3),
		`2["\"\\\b\f\n\r\t\u0000\u001f` + "\x7f€𝄞\u2028\"]": AppendEvent(nil, "\"\\\b\f\n\r\t\x00\x1f\x7f€𝄞\u2028"),
		"2[\"\ufffda\ufffd\ufffd\"]":                        AppendEvent(nil, "\xffa\xe2\x82"),
	} {
		if string(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestStringsComeBackAsTheyWereWritten(t *testing.T) {
	check := func(s string) bool {
		var back string
		if err := json.Unmarshal(AppendString(nil, s), &back); err != nil {
			return false
		}
		return back == s || !utf8.ValidString(s)
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
}

func TestEventsComeBackAsTheyWereWritten(t *testing.T) {
	check := func(name string, id uint64, a map[string][]int, b string, c []bool) bool {
		if Reserved(name) || !utf8.ValidString(name) {
			return true
		}
		id &= MaxID
		want := make([]json.RawMessage, 0, 3)
		for _, v := range []any{a, b, c} {
			data, err := json.Marshal(v)
			if err != nil {
				return false
			}
			want = append(want, data)
		}
		var p Packet
		if err := Decode(&p, AppendEventAck(nil, id, name, want...), Limits{}); err != nil {
			return false
		}
		if p.Type != Event || !p.HasID || p.ID != id || string(p.Name) != name || len(p.Args) != len(want) {
			return false
		}
		for i := range want {
			if string(want[i]) != string(p.Args[i]) {
				return false
			}
		}
		return true
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 1000}); err != nil {
		t.Error(err)
	}
}
