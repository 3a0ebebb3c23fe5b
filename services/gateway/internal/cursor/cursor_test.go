package cursor

import (
	"encoding/base64"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func signer(t testing.TB, keys ...string) *Signer {
	t.Helper()
	var raw [][]byte
	for _, k := range keys {
		raw = append(raw, []byte(k))
	}
	s, err := NewSigner(raw)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testBase(n int) Base {
	b := Base{ID: 0x1122334455667788, Epoch: Epoch("c/interlink.events/12"), Life: 0xfedcba9876543210, MadeMs: 1_795_000_000_000}
	for p := range n {
		b.Offsets = append(b.Offsets, int64(1_000_000_000+p*77_777))
		b.TimesMs = append(b.TimesMs, b.MadeMs-int64(p))
	}
	return b
}

func TestCursorRoundTrip(t *testing.T) {
	base := testBase(12)
	stored, err := ParseBase(base.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	some := slices.Clone(base.Offsets)
	some[3] += 5
	some[11] += 1 << 40
	for name, c := range map[string]struct {
		base    Base
		offsets []int64
	}{
		"nothing moved":           {base, base.Offsets},
		"some moved":              {base, some},
		"without a base":          {Base{Epoch: base.Epoch, Life: base.Life}, some},
		"one partition":           {testBase(1), []int64{1_000_000_007}},
		"without a base, nothing": {Base{Epoch: base.Epoch, Life: base.Life}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := signer(t, "k1")
			text := string(s.Append(nil, &c.base, 7, c.offsets, base.MadeMs+950))
			got, err := s.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			if got.Base != 0 {
				b := c.base
				if b.ID == stored.ID && len(b.Offsets) == len(stored.Offsets) {
					b = stored
				}
				if err := got.Resolve(b); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(got.Offsets, c.offsets) || got.Era != 7 || got.MintedMs != base.MadeMs+950 || got.Epoch != base.Epoch || got.Life != base.Life {
				t.Errorf("got %+v, want offsets %v", got, c.offsets)
			}
		})
	}
}

func TestTypicalCursorIsAtMost80Characters(t *testing.T) {
	s, base := signer(t, "k1"), testBase(12)
	offsets := slices.Clone(base.Offsets)
	longest, events := 0, 0
	for range 1000 { // a second's worth until the base is renewed
		offsets[rand.IntN(12)]++
		events++
		longest = max(longest, len(s.Append(nil, &base, 3, offsets, base.MadeMs+int64(events))))
	}
	t.Logf("longest of %d cursors: %d characters", events, longest)
	if longest > 80 {
		t.Errorf("longest is %d characters, want at most 80", longest)
	}
	inline := Base{Epoch: base.Epoch, Life: base.Life}
	if n := len(s.Append(nil, &inline, 3, offsets, base.MadeMs)); n > 170 {
		t.Errorf("without a base %d characters, want at most 170", n)
	}
}

func TestKeysRotate(t *testing.T) {
	before, during, after := signer(t, "old"), signer(t, "new", "old"), signer(t, "new")
	base := testBase(3)
	old := string(before.Append(nil, &base, 0, base.Offsets, base.MadeMs))
	fresh := string(during.Append(nil, &base, 0, base.Offsets, base.MadeMs))
	for name, c := range map[string]struct {
		s    *Signer
		text string
		want error
	}{
		"an old cursor while both keys are known": {during, old, nil},
		"a new cursor after the old key is gone":  {after, fresh, nil},
		"an old cursor after the old key is gone": {after, old, ErrForged},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.s.Parse(c.text); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestPoisonedCursorsAreRefused(t *testing.T) {
	s, base := signer(t, "k1"), testBase(12)
	good := string(s.Append(nil, &base, 1, base.Offsets, base.MadeMs))
	flipped := []byte(good)
	flipped[9] ^= 1
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"empty":                   {"", ErrMalformed},
		"a word":                  {"hello", ErrMalformed},
		"an event's own string":   {"2026-11-24T10:00:00Z", ErrMalformed},
		"padding":                 {good + "=", ErrMalformed},
		"one bit changed":         {string(flipped), ErrForged},
		"cut short":               {base64.RawURLEncoding.EncodeToString(raw[:len(raw)-3]), ErrForged},
		"longer":                  {base64.RawURLEncoding.EncodeToString(append(raw, 0)), ErrForged},
		"signed by somebody else": {string(signer(t, "k2").Append(nil, &base, 1, base.Offsets, base.MadeMs)), ErrForged},
		"huge":                    {strings.Repeat("A", MaxBytes+1), ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.Parse(c.text); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	c, err := s.Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	other := testBase(12)
	other.ID++
	if err := c.Resolve(other); !errors.Is(err, ErrBase) {
		t.Errorf("another base: got %v, want ErrBase", err)
	}
}

func FuzzParse(f *testing.F) {
	s, base := signer(f, "k1"), testBase(12)
	f.Add(string(s.Append(nil, &base, 1, base.Offsets, base.MadeMs)), []byte{0, 1, 0, 0})
	f.Add("", base.Append(nil))
	f.Fuzz(func(t *testing.T, text string, raw []byte) {
		if c, err := s.Parse(text); err == nil && len(c.Offsets) > maxPartitions {
			t.Errorf("%d partitions", len(c.Offsets))
		}
		if len(raw) > 2 { // what an attacker who had the key could write
			if c, err := parseBody(raw); err == nil {
				_ = c.Resolve(base)
			}
		}
		if b, err := ParseBase(raw); err == nil && len(b.Offsets) != len(b.TimesMs) {
			t.Errorf("%d offsets, %d times", len(b.Offsets), len(b.TimesMs))
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	s, base := signer(b, "k1"), testBase(12)
	offsets := slices.Clone(base.Offsets)
	for p := range offsets {
		offsets[p] += 80
	}
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		dst = s.Append(dst[:0], &base, 3, offsets, base.MadeMs+500)
	}
}
