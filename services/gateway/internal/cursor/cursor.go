// Package cursor owns the opaque string from which a client resumes: the gateway's position in every partition at the
// moment an event was queued, signed. It is the same for every socket (DESIGN, "Delivery", 5). Pure: bases are stored by the caller.
//
// A cursor is base64url, without padding, of
//
//	key id (1) | flags (1) | era | minted | body | MAC (12)
//
// with unsigned varints. With a base: its id (8 bytes), minted as milliseconds since the base was made, and as body a bitmap
// of the partitions that moved since, then by how much each. Without one (flag inline): the epoch and the life of the gateway
// (8 bytes each), minted as epoch milliseconds, the number of partitions and every offset. The MAC is HMAC-SHA256 over all
// before it, cut to 96 bits.
package cursor

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
)

const (
	macBytes      = 12
	maxPartitions = 4096
	// MaxBytes bounds the text of a cursor that is looked at.
	MaxBytes = 64 << 10

	flagInline = 1
)

// Errors of Parse and Resolve.
var (
	ErrMalformed = errors.New("cursor: malformed")
	ErrForged    = errors.New("cursor: signature does not match any key")
	ErrBase      = errors.New("cursor: base does not belong to this cursor")
)

// Base is a whole position, stored before any cursor cites it, so that cursors need to say only what moved since.
type Base struct {
	ID      uint64  // random, never 0
	Epoch   uint64  // incarnation of the topic, see Epoch
	Life    uint64  // of the gateway whose position it is
	MadeMs  int64   // epoch milliseconds
	Offsets []int64 // next offset by partition
	TimesMs []int64 // time fingerprint of the record before it, 0 if unknown; as long as Offsets
}

// Epoch folds a topic's identity (cluster, name, partition count) into the number that bases and cursors carry.
func Epoch(topic string) uint64 {
	sum := sha256.Sum256([]byte(topic))
	return binary.BigEndian.Uint64(sum[:8])
}

// Append encodes the base for the store.
func (b Base) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, b.ID)
	dst = binary.BigEndian.AppendUint64(dst, b.Epoch)
	dst = binary.BigEndian.AppendUint64(dst, b.Life)
	dst = binary.AppendUvarint(dst, uint64(b.MadeMs))
	dst = binary.AppendUvarint(dst, uint64(len(b.Offsets)))
	for p, o := range b.Offsets {
		dst = binary.AppendUvarint(dst, uint64(o))
		dst = binary.AppendUvarint(dst, uint64(b.TimesMs[p]))
	}
	return dst
}

// ParseBase reads what Append wrote.
func ParseBase(data []byte) (Base, error) {
	r := reader{data: data}
	b := Base{ID: r.fixed(), Epoch: r.fixed(), Life: r.fixed(), MadeMs: r.varint()}
	n := r.count()
	b.Offsets, b.TimesMs = make([]int64, n), make([]int64, n)
	for p := range n {
		b.Offsets[p], b.TimesMs[p] = r.varint(), r.varint()
	}
	if r.bad || len(r.data) > 0 {
		return Base{}, fmt.Errorf("base: %w", ErrMalformed)
	}
	return b, nil
}

// Cursor is a verified cursor. Offsets is complete after Resolve, or at once if Base is 0.
type Cursor struct {
	Base     uint64 // id of the base that it cites, 0 if it holds everything itself
	Era      uint64 // era of the gateway that minted it: joins acknowledged while the store was away raise it
	Epoch    uint64 // set by Resolve if it cites a base, as is
	Life     uint64 // that of the gateway that minted it
	MintedMs int64  // epoch milliseconds; since the base was made until Resolve
	Offsets  []int64
}

// Resolve completes a cursor that cites a base.
func (c *Cursor) Resolve(b Base) error {
	if b.ID != c.Base || len(b.Offsets) < len(c.Offsets) {
		return ErrBase
	}
	whole := slices.Clone(b.Offsets)
	for p, moved := range c.Offsets {
		whole[p] += moved
	}
	c.Offsets, c.Epoch, c.Life, c.Base = whole, b.Epoch, b.Life, 0
	c.MintedMs += b.MadeMs
	return nil
}

// Signer mints and verifies. It is not safe for concurrent use: the sequencer owns one, the verifying side another.
type Signer struct {
	keys []key // the first signs
	sum  []byte
	raw  []byte
}

type key struct {
	id  byte
	mac hash.Hash
}

// NewSigner takes the keys, newest first; all of them verify. At least one.
func NewSigner(keys [][]byte) (*Signer, error) {
	if len(keys) == 0 {
		return nil, errors.New("cursor: no key")
	}
	s := &Signer{}
	for _, k := range keys {
		derived := sha256.Sum256(append([]byte("interlink cursor key\x00"), k...))
		id := sha256.Sum256(derived[:])
		s.keys = append(s.keys, key{id: id[0], mac: hmac.New(sha256.New, derived[:])})
	}
	return s, nil
}

// Append mints a cursor for a position and appends its text to dst. Offsets must not lie before the base's; a base whose ID
// is 0 means that none is stored: the whole vector goes inline, and b.Epoch and b.Life say of which topic and gateway.
func (s *Signer) Append(dst []byte, b *Base, era uint64, offsets []int64, nowMs int64) []byte {
	raw := append(s.raw[:0], s.keys[0].id, 0)
	raw = binary.AppendUvarint(raw, era)
	if b.ID == 0 {
		raw[1] = flagInline
		raw = binary.AppendUvarint(raw, uint64(nowMs))
		raw = binary.BigEndian.AppendUint64(raw, b.Epoch)
		raw = binary.BigEndian.AppendUint64(raw, b.Life)
		raw = binary.AppendUvarint(raw, uint64(len(offsets)))
		for _, o := range offsets {
			raw = binary.AppendUvarint(raw, uint64(o))
		}
	} else {
		raw = binary.AppendUvarint(raw, uint64(max(0, nowMs-b.MadeMs)))
		raw = binary.BigEndian.AppendUint64(raw, b.ID)
		raw = appendMoved(raw, b.Offsets, offsets)
	}
	s.sum = s.keys[0].sign(s.sum[:0], raw)
	raw = append(raw, s.sum[:macBytes]...)
	s.raw = raw
	return base64.RawURLEncoding.AppendEncode(dst, raw)
}

// appendMoved writes the bitmap, without trailing zero bytes, and the differences.
func appendMoved(raw []byte, base, offsets []int64) []byte {
	last := -1
	for p := range offsets {
		if offsets[p] != base[p] {
			last = p
		}
	}
	bitmap := last/8 + 1
	if last < 0 {
		bitmap = 0
	}
	raw = binary.AppendUvarint(raw, uint64(bitmap))
	at := len(raw)
	raw = append(raw, make([]byte, bitmap)...)
	for p := range last + 1 {
		if moved := offsets[p] - base[p]; moved != 0 {
			raw[at+p/8] |= 1 << (p % 8)
			raw = binary.AppendUvarint(raw, uint64(moved))
		}
	}
	return raw
}

func (k key) sign(dst, data []byte) []byte {
	k.mac.Reset()
	k.mac.Write(data)
	return k.mac.Sum(dst)
}

// Parse verifies a cursor. ErrMalformed: not a cursor at all; ErrForged: not signed by one of the keys.
func (s *Signer) Parse(text string) (Cursor, error) {
	if len(text) > MaxBytes {
		return Cursor{}, ErrMalformed
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) < 2+macBytes {
		return Cursor{}, ErrMalformed
	}
	body, mac := raw[:len(raw)-macBytes], raw[len(raw)-macBytes:]
	if !s.signed(body, mac) {
		return Cursor{}, ErrForged
	}
	return parseBody(body)
}

func (s *Signer) signed(body, mac []byte) bool {
	for _, k := range s.keys {
		if k.id == body[0] && hmac.Equal(k.sign(nil, body)[:macBytes], mac) {
			return true
		}
	}
	return false
}

func parseBody(body []byte) (Cursor, error) {
	flags, r := body[1], reader{data: body[2:]}
	c := Cursor{Era: r.uvarint(), MintedMs: r.varint()}
	if flags&flagInline != 0 {
		c.Epoch, c.Life = r.fixed(), r.fixed()
		c.Offsets = make([]int64, r.count())
		for p := range c.Offsets {
			c.Offsets[p] = r.varint()
		}
	} else {
		c.Base = r.fixed()
		c.Offsets = r.moved()
		r.bad = r.bad || c.Base == 0
	}
	if r.bad || len(r.data) > 0 {
		return Cursor{}, ErrMalformed
	}
	return c, nil
}

// reader takes values off the front; after the first failure it gives zeros and bad stays set.
type reader struct {
	data []byte
	bad  bool
}

func (r *reader) take(n int) []byte {
	if r.bad || len(r.data) < n {
		r.bad = true
		return make([]byte, n)
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

func (r *reader) fixed() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.data)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *reader) varint() int64 {
	v := r.uvarint()
	if v > 1<<62 {
		r.bad = true
		return 0
	}
	return int64(v)
}

// count reads a number of partitions.
func (r *reader) count() int {
	n := r.uvarint()
	if n > maxPartitions {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *reader) moved() []int64 {
	n := r.uvarint()
	if n > maxPartitions/8 || uint64(len(r.data)) < n {
		r.bad = true
		return nil
	}
	bitmap := r.take(int(n))
	offsets := make([]int64, 8*len(bitmap))
	last := 0
	for p := range offsets {
		if bitmap[p/8]&(1<<(p%8)) != 0 {
			offsets[p] = r.varint()
			last = p + 1
		}
	}
	return offsets[:last]
}
