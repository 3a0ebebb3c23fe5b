package wsframe

import "unicode/utf8"

// decoder is the state of reading UTF-8 piece by piece: accept between characters, reject for good, else what the next byte may be.
// It refuses at the first byte that cannot belong to a character (RFC 3629, 4).
type decoder uint8

const (
	accept  decoder = iota
	one             // one more continuation byte
	two             // two more
	three           // three more
	afterE0         // A0..BF, then one
	afterED         // 80..9F, then one
	afterF0         // 90..BF, then two
	afterF4         // 80..8F, then two
	reject
)

// next takes data and returns the state behind it.
func (d decoder) next(data []byte) decoder {
	for len(data) > 0 && d != accept {
		if d = d.step(data[0]); d == reject {
			return reject
		}
		data = data[1:]
	}
	// All but a character cut off at the end goes through the standard library's fast path.
	whole := len(data)
	for back := 1; back <= 3 && back <= len(data); back++ {
		if b := data[len(data)-back]; b >= 0xc0 {
			if need := length(b); need > back {
				whole = len(data) - back
			}
			break
		} else if b < 0x80 {
			break
		}
	}
	if !utf8.Valid(data[:whole]) {
		return reject
	}
	for _, b := range data[whole:] {
		if d = d.step(b); d == reject {
			return reject
		}
	}
	return d
}

func length(first byte) int {
	switch {
	case first >= 0xf0:
		return 4
	case first >= 0xe0:
		return 3
	default:
		return 2
	}
}

func (d decoder) step(b byte) decoder {
	low, high, then := byte(0x80), byte(0xbf), accept
	switch d {
	case accept:
		return lead(b)
	case one:
	case two:
		then = one
	case three:
		then = two
	case afterE0:
		low, then = 0xa0, one
	case afterED:
		high, then = 0x9f, one
	case afterF0:
		low, then = 0x90, two
	case afterF4:
		high, then = 0x8f, two
	default:
		return reject
	}
	if b < low || b > high {
		return reject
	}
	return then
}

func lead(b byte) decoder {
	switch {
	case b < 0x80:
		return accept
	case b < 0xc2:
		return reject
	case b < 0xe0:
		return one
	case b == 0xe0:
		return afterE0
	case b == 0xed:
		return afterED
	case b < 0xf0:
		return two
	case b == 0xf0:
		return afterF0
	case b < 0xf4:
		return three
	case b == 0xf4:
		return afterF4
	default:
		return reject
	}
}
