// Package resume decides whether a session goes on with another connection, and from where (DESIGN, "Delivery", 6). It
// is pure: what it judges was fetched by the caller, who acts on the verdict.
//
// The order of the questions matters to clients, who are told the first reason that holds: whether the cursor is one of
// ours at all, whether its base and the session's record are there, whose session it is, whether it is of this topic,
// how old the cursor is, and whether the record may be trusted.
package resume

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/cursor"
	"github.com/edumatrix/interlink/services/gateway/internal/recovery"
	"github.com/edumatrix/interlink/services/internal/sessionrecord"
)

// Reason is what session:ready says of a connect.
type Reason string

// The reasons.
const (
	New              Reason = "new"
	Resumed          Reason = "resumed"
	Window           Reason = "window"
	Events           Reason = "events"
	Bytes            Reason = "bytes"
	NoSession        Reason = "no_session"
	NoBase           Reason = "no_base"
	Epoch            Reason = "epoch"
	BadCursor        Reason = "bad_cursor"
	OtherUser        Reason = "other_user"
	StoreUnavailable Reason = "store_unavailable"
)

// Reasons lists what may become of a resume.
var Reasons = []Reason{Resumed, Window, Events, Bytes, NoSession, NoBase, Epoch, BadCursor, OtherUser, StoreUnavailable}

// Life is how session records name the life that cursors carry as a number.
func Life(life uint64) sessionrecord.Life { return sessionrecord.Life(fmt.Sprintf("%016x", life)) }

// Start is where a session began, as its record keeps it: the position, of which topic, and when.
type Start struct {
	Epoch  uint64
	At     recovery.Vector
	MadeMs int64 // epoch milliseconds
}

// Append encodes the start: epoch (8 bytes), time and offsets as unsigned varints.
func (s Start) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, s.Epoch)
	b = binary.AppendUvarint(b, uint64(s.MadeMs))
	for _, offset := range s.At {
		b = binary.AppendUvarint(b, uint64(offset))
	}
	return b
}

var errStart = errors.New("session's start: malformed")

// ParseStart reads what Append wrote.
func ParseStart(b []byte) (Start, error) {
	if len(b) < 9 {
		return Start{}, errStart
	}
	s := Start{Epoch: binary.BigEndian.Uint64(b)}
	var numbers []int64
	for b = b[8:]; len(b) > 0; {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > math.MaxInt64 {
			return Start{}, errStart
		}
		numbers, b = append(numbers, int64(n)), b[size:]
	}
	s.MadeMs, s.At = numbers[0], numbers[1:]
	return s, nil
}

// Input is what is known of a resume.
type Input struct {
	Arrived time.Time      // when CONNECT came
	Window  time.Duration  // that a client may have been away
	User    string         // who it is now
	Cursor  *cursor.Cursor // verified and resolved; nil: the client has handled nothing
	Record  *sessionrecord.Record
	Start   Start  // of Record
	Run     string // present run of the store
}

// Verdict says how a resume goes on.
type Verdict struct {
	Reason Reason // why it does not; empty: it does
	// Wait means that Reason may yet be overcome: the record's gateway has to write it again.
	Wait  bool
	Since recovery.Vector      // the position up to which the client has everything
	Proof sessionrecord.Cursor // what the record has to stand for
}

// Judge decides.
func Judge(in Input) Verdict {
	start := in.Start
	switch {
	case in.Record.User != in.User:
		return Verdict{Reason: OtherUser}
	case in.Cursor != nil && (in.Cursor.Epoch != start.Epoch || len(in.Cursor.Offsets) != len(start.At)):
		return Verdict{Reason: Epoch}
	}
	minted, proof, own := start.MadeMs, sessionrecord.Cursor{}, in.Cursor
	if own != nil && older(own, start) {
		own = nil // the client has handled nothing of this session yet
	}
	var at recovery.Vector
	if own != nil {
		at, minted = own.Offsets, max(minted, own.MintedMs)
		proof = sessionrecord.Cursor{Life: Life(own.Life), Era: own.Era}
	}
	if in.Arrived.UnixMilli()-minted > in.Window.Milliseconds() {
		return Verdict{Reason: Window}
	}
	v := Verdict{Since: recovery.Since(at, start.At), Proof: proof}
	if !sessionrecord.Resumable(in.Record, proof, in.Run) {
		v.Reason, v.Wait = NoSession, true
	}
	return v
}

// older reports whether a cursor is from before the session: a client that was refused once gives back what it has. Both
// must say so: clocks of gateways differ a little, and one gateway may be ahead of another.
func older(c *cursor.Cursor, start Start) bool {
	if c.MintedMs >= start.MadeMs {
		return false
	}
	for p, offset := range c.Offsets {
		if offset > start.At[p] {
			return false
		}
	}
	return true
}

// Offer is what a client gives back with its CONNECT.
type Offer struct {
	Session string
	Cursor  string // empty: none
	Bad     bool   // the cursor is not a text
}

// ReadOffer takes the client's pid and offset as they came; ok is false if it asks for no resume.
func ReadOffer(pid string, offset json.RawMessage) (o Offer, ok bool) {
	if pid == "" {
		return Offer{}, false
	}
	o.Session = pid
	switch text := strings.TrimSpace(string(offset)); {
	case text == "" || text == "null":
	case text[0] != '"' || len(text) > cursor.MaxBytes:
		o.Bad = true
	default:
		o.Bad = json.Unmarshal(offset, &o.Cursor) != nil
	}
	return o, true
}
