package wsframe

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The case groups of the Autobahn test suite that concern a server's reading, by its numbers. Every case is read in one piece, a frame at a time,
// and chopped in several ways; what the suite checks by echo is checked here by what was read. Where the suite lets a server choose ("non-strict"),
// the strict outcome is wanted.

type autobahn struct {
	frames [][]byte
	want   []string
}

func runAutobahn(t *testing.T, cases map[string]autobahn) {
	t.Helper()
	for name, c := range cases {
		for way, reads := range ways(c.frames) {
			t.Run(name+" "+way, func(t *testing.T) {
				var conn connection
				for _, data := range reads {
					conn.read(t, data, 32<<20)
				}
				if !slices.Equal(conn.got, c.want) {
					t.Fatalf("got %v, want %v", conn.got, c.want)
				}
			})
		}
	}
}

func frames(f ...[]byte) [][]byte { return f }

func TestAutobahn1Framing(t *testing.T) {
	cases := map[string]autobahn{}
	for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536} {
		s := strings.Repeat("*", n)
		number := strconv.Itoa(i + 1)
		cases["1.1."+number] = autobahn{frames(whole(Text, s)), []string{text(s)}}
		cases["1.2."+number] = autobahn{frames(whole(Binary, s)), []string{bin(s)}}
	}
	runAutobahn(t, cases) // 1.1.8 and 1.2.8 are the 997 byte way of .7
}

func TestAutobahn2PingsAndPongs(t *testing.T) {
	long := strings.Repeat("\xfe", 125)
	var ten [][]byte
	var tenPings []string
	for i := range 10 {
		s := "payload-" + strconv.Itoa(i)
		ten, tenPings = append(ten, whole(Ping, s)), append(tenPings, ping(s))
	}
	runAutobahn(t, map[string]autobahn{
		"2.1":          {frames(whole(Ping, "")), []string{ping("")}},
		"2.2":          {frames(whole(Ping, "Hello, world!")), []string{ping("Hello, world!")}},
		"2.3":          {frames(whole(Ping, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff")), []string{ping("\x00\xff\xfe\xfd\xfc\xfb\x00\xff")}},
		"2.4 and 2.6":  {frames(whole(Ping, long)), []string{ping(long)}},
		"2.5":          {frames(whole(Ping, long+"\xfe")), []string{ErrControlLong.Error()}},
		"2.7":          {frames(whole(Pong, "")), []string{pong("")}},
		"2.8":          {frames(whole(Pong, "unsolicited")), []string{pong("unsolicited")}},
		"2.9":          {frames(whole(Pong, "unsolicited"), whole(Ping, "ping")), []string{pong("unsolicited"), ping("ping")}},
		"2.10 and .11": {ten, tenPings},
	})
}

func TestAutobahn3ReservedBits(t *testing.T) {
	hello := whole(Text, "Hello, world!")
	bad := ErrReservedBits.Error()
	runAutobahn(t, map[string]autobahn{
		"3.1":              {frames(frame(0x91, []byte("Hello")), whole(Ping, "")), []string{bad}},
		"3.2":              {frames(hello, frame(0xa1, []byte("Hello")), whole(Ping, "")), []string{text("Hello, world!"), bad}},
		"3.3":              {frames(hello, frame(0xb1, []byte("Hello")), whole(Ping, "")), []string{text("Hello, world!"), bad}},
		"3.4":              {frames(hello, frame(0xc1, []byte("Hello")), whole(Ping, "")), []string{text("Hello, world!"), bad}},
		"3.5":              {frames(frame(0xd2, []byte{0, 255})), []string{bad}},
		"3.6":              {frames(frame(0xe9, []byte("Hello"))), []string{bad}},
		"3.7":              {frames(frame(0xf8, nil)), []string{bad}},
		"3.x continuation": {frames(begin(Text, "a"), frame(0x90, nil)), []string{bad}},
	})
}

func TestAutobahn4Opcodes(t *testing.T) {
	hello := whole(Text, "Hello, world!")
	bad := ErrOpcode.Error()
	cases := map[string]autobahn{}
	for group, ops := range map[string][]byte{"4.1.": {3, 4, 5, 6, 7}, "4.2.": {11, 12, 13, 14, 15}} {
		for i, op := range ops {
			name := group + strconv.Itoa(i+1)
			reserved := frame(finBit|op, []byte("reserved opcode payload")[:i*4])
			if i < 2 {
				cases[name] = autobahn{frames(reserved, whole(Ping, "")), []string{bad}}
			} else {
				cases[name] = autobahn{frames(hello, reserved, whole(Ping, "")), []string{text("Hello, world!"), bad}}
			}
		}
	}
	runAutobahn(t, cases)
}

func TestAutobahn5Fragmentation(t *testing.T) {
	noStart, unfinished := ErrContinuation.Error(), ErrUnfinished.Error()
	var many [][]byte
	var manyWant []string
	for i := range 5 {
		s := "fragment" + strconv.Itoa(i+1)
		switch i {
		case 0:
			many = append(many, begin(Text, s))
		case 4:
			many = append(many, last(s))
		default:
			many = append(many, more(s))
		}
		if i < 4 {
			many, manyWant = append(many, whole(Ping, strconv.Itoa(i))), append(manyWant, ping(strconv.Itoa(i)))
		}
	}
	manyWant = append(manyWant, text("fragment1fragment2fragment3fragment4fragment5"))
	runAutobahn(t, map[string]autobahn{
		"5.1":               {frames(begin(Ping, "fragment1"), last("fragment2")), []string{ErrControlSplit.Error()}},
		"5.2":               {frames(begin(Pong, "fragment1"), last("fragment2")), []string{ErrControlSplit.Error()}},
		"5.3 to 5.5":        {frames(begin(Text, "fragment1"), last("fragment2")), []string{text("fragment1fragment2")}},
		"5.6 to 5.8":        {frames(begin(Text, "fragment1"), whole(Ping, "ping"), last("fragment2")), []string{ping("ping"), text("fragment1fragment2")}},
		"5.9 to 5.11":       {frames(last("non-continuation"), whole(Text, "Hello")), []string{noStart}},
		"5.12 to 5.14":      {frames(more("non-continuation"), whole(Text, "Hello")), []string{noStart}},
		"5.15":              {frames(begin(Text, "fragment1"), last("fragment2"), more("fragment3"), begin(Text, "fragment4"), last("fragment5")), []string{text("fragment1fragment2"), noStart}},
		"5.16":              {frames(more("fragment1"), begin(Text, "fragment2"), last("fragment3")), []string{noStart}},
		"5.17":              {frames(last("fragment1"), begin(Text, "fragment2"), last("fragment3")), []string{noStart}},
		"5.18":              {frames(begin(Text, "fragment1"), whole(Text, "fragment2")), []string{unfinished}},
		"5.19 and 5.20":     {many, manyWant},
		"5.x a close in it": {frames(begin(Text, "fragment1"), closing(1000, ""), last("fragment2")), []string{closed(1000, "")}},
	})
}

const kosme = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"

// inFrames is a text message of n bytes a frame.
func inFrames(s string, n int) (f [][]byte) {
	parts := chop([]byte(s), n)
	for i, p := range parts {
		first := byte(Continuation)
		if i == 0 {
			first = byte(Text)
		}
		if i == len(parts)-1 {
			first |= finBit
		}
		f = append(f, frame(first, p))
	}
	return f
}

func TestAutobahn6UTF8(t *testing.T) {
	bad := []string{ErrUTF8.Error()}
	hello := "Hello-µ@ßöäüàá-UTF-8!!"
	cases := map[string]autobahn{
		"6.1.1": {frames(whole(Text, "")), []string{text("")}},
		"6.1.2": {frames(begin(Text, ""), more(""), last("")), []string{text("")}},
		"6.1.3": {frames(begin(Text, ""), more("middle frame payload"), last("")), []string{text("middle frame payload")}},
		"6.2.1": {frames(whole(Text, hello)), []string{text(hello)}},
		"6.2.2": {frames(begin(Text, hello[:12]), last(hello[12:])), []string{text(hello)}},
		"6.2.3": {inFrames(hello, 1), []string{text(hello)}},
		"6.2.4": {inFrames(kosme, 1), []string{text(kosme)}},
		"6.3.1": {frames(whole(Text, kosme+"\xed\xa0\x80edited")), bad},
		"6.3.2": {inFrames(kosme+"\xed\xa0\x80edited", 1), bad},
		"6.4.1": {frames(begin(Text, kosme), more("\xf4\x90\x80\x80"), last("edited")), bad},
		"6.4.2": {frames(begin(Text, kosme+"\xf4"), more("\x90"), last("\x80\x80edited")), bad},
	}
	valid, invalid := utf8Cases()
	for group, list := range valid {
		for i, s := range list {
			cases[group+"."+strconv.Itoa(i+1)] = autobahn{frames(whole(Text, s)), []string{text(s)}}
			cases[group+"."+strconv.Itoa(i+1)+" a byte a frame"] = autobahn{inFrames(s, 1), []string{text(s)}}
		}
	}
	for group, list := range invalid {
		for i, s := range list {
			cases[group+"."+strconv.Itoa(i+1)+" invalid"] = autobahn{frames(whole(Text, s)), bad}
			cases[group+"."+strconv.Itoa(i+1)+" invalid, a byte a frame"] = autobahn{inFrames(s, 1), bad}
		}
	}
	runAutobahn(t, cases)
}

// 6.4.3 and 6.4.4: the connection fails before the rest of the frame has come.
func TestAutobahn6FailsFast(t *testing.T) {
	stream := whole(Text, kosme+"\xf4\x90\x80\x80edited")
	for name, cut := range map[string]int{"6.4.3": len(stream) - 6, "6.4.4": len(stream) - 8} {
		var conn connection
		conn.read(t, stream[:cut], 1<<20)
		if !slices.Equal(conn.got, []string{ErrUTF8.Error()}) {
			t.Errorf("%s: got %v", name, conn.got)
		}
	}
}

// utf8Cases is Markus Kuhn's decoder stress test as the suite groups it.
func utf8Cases() (valid, invalid map[string][]string) {
	valid = map[string][]string{
		"6.5":  {kosme, "Hello-" + kosme + "-world"},
		"6.7":  {"\x00", "\xc2\x80", "\xe0\xa0\x80", "\xf0\x90\x80\x80"},
		"6.9":  {"\x7f", "\xdf\xbf", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"},
		"6.11": {"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbd", "\xf4\x8f\xbf\xbf"},
		"6.22": {"\xef\xbf\xbe", "\xef\xbf\xbf", "\xf0\x9f\xbf\xbe", "\xf0\x9f\xbf\xbf", "\xf0\xaf\xbf\xbe", "\xf4\x8f\xbf\xbe"},
		"6.23": {"\xef\xbf\xb9", "\xef\xbf\xba", "\xef\xbf\xbb", "\xef\xbf\xbc", "\xef\xbf\xbd", "\xef\xbf\xbe", "\xef\xbf\xbf"},
	}
	invalid = map[string][]string{
		"6.8":  {"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80"},
		"6.10": {"\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf"},
		"6.11": {"\xf4\x90\x80\x80"},
		"6.12": {"\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf", "\x80\xbf\x80\xbf\x80", "\x80\xbf\x80\xbf\x80\xbf"},
		"6.15": {"\xc0\xe0\x80\xf0\x80\x80\xf8\x80\x80\x80\xfc\x80\x80\x80\x80\xdf\xef\xbf\xf7\xbf\xbf\xfb\xbf\xbf\xbf\xfd\xbf\xbf\xbf\xbf"},
		"6.16": {"\xfe", "\xff", "\xfe\xfe\xff\xff"},
		"6.17": {"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf"},
		"6.18": {"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf"},
		"6.19": {"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80"},
		"6.20": {"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf"},
		"6.21": {"\xed\xa0\x80\xed\xb0\x80", "\xed\xa0\x80\xed\xbf\xbf", "\xed\xad\xbf\xed\xb0\x80", "\xed\xaf\xbf\xed\xbf\xbf"},
	}
	boundaries := map[int]bool{0: true, 2: true, 5: true, 7: true, 9: true, 11: true}
	for n := range len(kosme) + 1 { // 6.6: every prefix
		if boundaries[n] {
			valid["6.6"] = append(valid["6.6"], kosme[:n])
		} else {
			invalid["6.6"] = append(invalid["6.6"], kosme[:n])
		}
	}
	for c := 0xc0; c <= 0xff; c++ { // 6.13: lonely lead bytes, 6.14: a last byte that is missing
		invalid["6.13"] = append(invalid["6.13"], string([]byte{byte(c), ' '}))
	}
	for _, s := range []string{"\xc2", "\xe0\xa0", "\xf0\x90\x80", "\xdf", "\xef\xbf", "\xf4\x8f\xbf"} {
		invalid["6.14"] = append(invalid["6.14"], s, s+"x")
	}
	return valid, invalid
}

func TestAutobahn7Close(t *testing.T) {
	big := strings.Repeat("BAsd7&jh23", 26_215)
	reason := strings.Repeat("*", 123)
	behind := frames(whole(Text, "behind"))
	cases := map[string]autobahn{
		"7.1.1": {frames(whole(Text, "Hello World!"), closing(1000, "")), []string{text("Hello World!"), closed(1000, "")}},
		"7.1.2": {frames(closing(1000, ""), closing(1000, "")), []string{closed(1000, "")}},
		"7.1.3": {frames(closing(1000, ""), whole(Ping, "")), []string{closed(1000, "")}},
		"7.1.4": {append(frames(closing(1000, "")), behind...), []string{closed(1000, "")}},
		"7.1.5": {frames(begin(Text, "fragment1"), closing(1000, ""), last("fragment2")), []string{closed(1000, "")}},
		"7.1.6": {frames(whole(Text, big), closing(1000, ""), whole(Ping, "")), []string{text(big), closed(1000, "")}},
		"7.3.1": {frames(whole(Close, "")), []string{closed(CloseNoStatus, "")}},
		"7.3.2": {frames(whole(Close, "a")), []string{ErrCloseLength.Error()}},
		"7.3.3": {frames(closing(1000, "")), []string{closed(1000, "")}},
		"7.3.4": {frames(closing(1000, "Hello World!")), []string{closed(1000, "Hello World!")}},
		"7.3.5": {frames(closing(1000, reason)), []string{closed(1000, reason)}},
		"7.3.6": {frames(closing(1000, reason+"*")), []string{ErrControlLong.Error()}},
		"7.5.1": {frames(closing(1000, kosme+"\xed\xa0\x80edited")), []string{ErrUTF8.Error()}},
	}
	for i, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		cases["7.7."+strconv.Itoa(i+1)] = autobahn{frames(closing(code, "")), []string{closed(code, "")}}
	}
	for i, code := range []uint16{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999} {
		cases["7.9."+strconv.Itoa(i+1)] = autobahn{frames(closing(code, "")), []string{ErrCloseCode.Error()}}
	}
	for i, code := range []uint16{5000, 65535} {
		cases["7.13."+strconv.Itoa(i+1)] = autobahn{frames(closing(code, "")), []string{ErrCloseCode.Error()}}
	}
	runAutobahn(t, cases)
}

func TestAutobahn9And10Sizes(t *testing.T) {
	for i, size := range []int{64 << 10, 256 << 10, 1 << 20, 4 << 20} {
		data := bytes.Repeat([]byte("BAsd7&jh23 äöü "), size/18)
		for _, op := range []Opcode{Text, Binary} {
			group := map[Opcode]string{Text: "9.1.", Binary: "9.2."}[op]
			oneMessage(t, group+strconv.Itoa(i+1), op, frames(whole(op, string(data))), 64<<10, data)
		}
	}
	data := bytes.Repeat([]byte("*"), 256<<10)
	for i, n := range []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10} {
		fragments := inFrames(string(data), n)
		oneMessage(t, "9.3."+strconv.Itoa(i+1), Text, fragments, 4<<10, data)
		fragments[0][0] = fragments[0][0]&finBit | byte(Binary)
		oneMessage(t, "9.4."+strconv.Itoa(i+1), Binary, fragments, 4<<10, data)
	}
	for i, n := range []int{64, 128, 256, 512, 1024, 2048} {
		oneMessage(t, "9.5."+strconv.Itoa(i+1), Text, frames(whole(Text, string(data))), n, data)
		oneMessage(t, "9.6."+strconv.Itoa(i+1), Binary, frames(whole(Binary, string(data))), n, data)
	}
	oneMessage(t, "10.1.1", Text, inFrames(string(data[:65536]), 1300), 997, data[:65536])
}

// oneMessage reads frames in pieces of n bytes and wants data.
func oneMessage(t *testing.T, name string, op Opcode, frames [][]byte, n int, data []byte) {
	t.Helper()
	var conn connection
	for _, piece := range chop(bytes.Join(frames, nil), n) {
		conn.read(t, piece, 4<<20)
	}
	if want := shown(Message{Op: op, Data: data}); !slices.Equal(conn.got, []string{want}) {
		t.Errorf("%s: got %v, want %s", name, conn.got, want)
	}
}
