package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"strings"
)

// maxTokenBytes is the largest token that is looked at. Node itself refuses larger request headers.
const maxTokenBytes = 16 << 10

const (
	maxHeaderBytes = 512 // decoded

	encGCM = "A256GCM"
	encCBC = "A256CBC-HS512"
)

const (
	reasonTooLarge   = "the token is larger than 16 KiB"
	reasonParts      = "the token has neither five parts nor three"
	reasonAlphabet   = "the token has characters that base64url has not"
	reasonBase64     = "the token's base64 is not canonical"
	reasonHeader     = "the token's header has members or values that are not issued"
	reasonAlgorithm  = "the token's algorithm is not the configured one"
	reasonKeyPart    = "the token brings an encrypted key"
	reasonPartLength = "a part of the token has the wrong length"
)

// header is what may stand in the header of a token. Whoever reads more of it is attackable by it.
type header struct {
	alg, enc, kid, typ string
	hasKid             bool
}

// sealed is a JWE in compact serialization (RFC 7516, 7.1) that the guard admits.
type sealed struct {
	token  string
	header header
}

// The headers that are issued every day are recognised without reading JSON; any other spelling is read.
const (
	headerV4    = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0"    // {"alg":"dir","enc":"A256GCM"}
	headerHS256 = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"       // {"alg":"HS256","typ":"JWT"}
	beginV5     = `{"alg":"dir","enc":"A256CBC-HS512","kid":"` // then 86 characters of base64url
	endV5       = `"}`
	kidBytes    = 86
)

// guardSealed decides without any key whether a token may be decrypted. Everything here was accepted by a widely used
// library at some time: other spellings of the same token, compression, key wrapping with a chosen cost.
func guardSealed(token string, gcm, cbc bool) (sealed, string) {
	var parts [5]string
	if reason := split(token, parts[:]); reason != "" {
		return sealed{}, reason
	}
	if parts[1] != "" {
		return sealed{}, reasonKeyPart
	}
	h, ok := parseHeader(parts[0])
	if !ok {
		return sealed{}, reasonHeader
	}
	if h.alg != "dir" || !(gcm && h.enc == encGCM || cbc && h.enc == encCBC) {
		return sealed{}, reasonAlgorithm
	}
	iv, tag := 16, 22 // 12 and 16 bytes
	if h.enc == encCBC {
		iv, tag = 22, 43 // 16 and 32 bytes
	}
	if len(parts[2]) != iv || len(parts[4]) != tag || parts[3] == "" {
		return sealed{}, reasonPartLength
	}
	if h.enc == encCBC && base64.RawURLEncoding.DecodedLen(len(parts[3]))%16 != 0 {
		return sealed{}, reasonPartLength
	}
	return sealed{token: token, header: h}, ""
}

// guardSigned does the same for a JWS in compact serialization (RFC 7515, 7.1).
func guardSigned(token string) (header, string) {
	var parts [3]string
	if reason := split(token, parts[:]); reason != "" {
		return header{}, reason
	}
	h, ok := parseHeader(parts[0])
	if !ok || h.enc != "" {
		return header{}, reasonHeader
	}
	if parts[1] == "" || parts[2] == "" {
		return header{}, reasonPartLength
	}
	return h, ""
}

// split cuts a token into exactly len(parts) canonical base64url parts.
func split(token string, parts []string) string {
	if len(token) > maxTokenBytes {
		return reasonTooLarge
	}
	dots := 0
	for i := range len(token) {
		switch c := token[i]; {
		case c == '.':
			dots++
		case sextet(c) < 0:
			return reasonAlphabet
		}
	}
	if dots != len(parts)-1 {
		return reasonParts
	}
	for i := range parts {
		parts[i], token, _ = strings.Cut(token, ".")
		if !canonical(parts[i]) {
			return reasonBase64
		}
	}
	return ""
}

// canonical reports whether s is the one spelling of some bytes in unpadded base64url: the spare bits of its last
// character are zero (RFC 4648, 3.5). Characters were checked before.
func canonical(s string) bool {
	switch len(s) % 4 {
	case 0:
		return true
	case 2:
		return sextet(s[len(s)-1])&0x0f == 0
	case 3:
		return sextet(s[len(s)-1])&0x03 == 0
	default:
		return false
	}
}

func sextet(c byte) int {
	switch {
	case c >= 'A' && c <= 'Z':
		return int(c - 'A')
	case c >= 'a' && c <= 'z':
		return int(c-'a') + 26
	case c >= '0' && c <= '9':
		return int(c-'0') + 52
	case c == '-':
		return 62
	case c == '_':
		return 63
	default:
		return -1
	}
}

// parseHeader reads a header segment: one JSON object of at most 512 bytes whose members are alg, enc, kid and typ,
// each at most once, each a string, typ nothing but JWT. This refuses zip, crit, p2c, jwk, epk and whatever comes next.
func parseHeader(segment string) (header, bool) {
	var h header
	if base64.RawURLEncoding.DecodedLen(len(segment)) > maxHeaderBytes {
		return h, false
	}
	switch segment {
	case headerV4:
		return header{alg: "dir", enc: encGCM}, true
	case headerHS256:
		return header{alg: "HS256", typ: "JWT"}, true
	}
	var buffer [maxHeaderBytes]byte
	n, err := base64.RawURLEncoding.Decode(buffer[:], []byte(segment))
	if err != nil {
		return h, false
	}
	raw := buffer[:n]
	if kid, ok := kidV5(raw); ok {
		return header{alg: "dir", enc: encCBC, kid: kid, hasKid: true}, true
	}
	return readHeader(bytes.Clone(raw)) // the buffer stays on the stack
}

// kidV5 is the kid of a header exactly as version 5 writes it.
func kidV5(raw []byte) (string, bool) {
	if len(raw) != len(beginV5)+kidBytes+len(endV5) || string(raw[:len(beginV5)]) != beginV5 || string(raw[len(raw)-len(endV5):]) != endV5 {
		return "", false
	}
	kid := raw[len(beginV5) : len(beginV5)+kidBytes]
	for _, c := range kid {
		if sextet(c) < 0 {
			return "", false
		}
	}
	return string(kid), true
}

// readHeader reads any other spelling.
func readHeader(raw []byte) (header, bool) {
	var h header
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return h, false
	}
	seen := 0
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return h, false
		}
		value, err := d.Token()
		text, ok := value.(string)
		if err != nil || !ok {
			return h, false
		}
		var bit int
		switch name {
		case "alg":
			h.alg, bit = text, 1
		case "enc":
			h.enc, bit = text, 2
		case "kid":
			h.kid, h.hasKid, bit = text, true, 4
		case "typ":
			h.typ, bit = text, 8
		default:
			return h, false
		}
		if seen&bit != 0 {
			return h, false
		}
		seen |= bit
	}
	if _, err := d.Token(); err != nil {
		return h, false
	}
	if _, err := d.Token(); err != io.EOF {
		return h, false
	}
	// A token of another explicit type was made for something else (RFC 8725, 3.11).
	return h, h.typ == "" || strings.EqualFold(h.typ, "JWT")
}
