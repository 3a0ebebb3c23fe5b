package auth

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"
	"regexp"
	"strings"
	"time"
)

// oracle is a second reader of tokens, of the standard library alone and written from the RFCs (7515, 7516, 7518)
// rather than from the code beside it. The fuzzers compare the two. It knows one secret and one cookie name.
type oracle struct {
	profile string // v4, v5, hs256
	secret  string
	cookie  string
}

var (
	errOracle   = errors.New("refused")
	errTicket   = errors.New("it has an audience: tickets are not modelled")
	headerShape = map[string]*regexp.Regexp{
		"v4":    regexp.MustCompile(`^[A-Za-z0-9_-]{1,683}\.\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{22}$`),
		"v5":    regexp.MustCompile(`^[A-Za-z0-9_-]{1,683}\.\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}$`),
		"hs256": regexp.MustCompile(`^[A-Za-z0-9_-]{1,683}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`),
	}
)

func (o oracle) user(token string, now time.Time) (string, error) {
	if len(token) > 16<<10 || !headerShape[o.profile].MatchString(token) {
		return "", errOracle
	}
	var parts [][]byte
	for _, part := range strings.Split(token, ".") {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil {
			return "", errOracle
		}
		parts = append(parts, raw)
	}
	h, ok := oracleHeader(parts[0])
	if !ok {
		return "", errOracle
	}
	plain, err := o.open(token, h, parts)
	if err != nil {
		return "", errOracle
	}
	return oracleClaims(plain, now, o.profile == "hs256")
}

func (o oracle) open(token string, h map[string]string, parts [][]byte) ([]byte, error) {
	aad := []byte(token[:strings.IndexByte(token, '.')])
	switch o.profile {
	case "v4":
		if h["alg"] != "dir" || h["enc"] != "A256GCM" {
			return nil, errOracle
		}
		key, _ := hkdf.Key(sha256.New, []byte(o.secret), nil, "NextAuth.js Generated Encryption Key", 32)
		block, _ := aes.NewCipher(key)
		gcm, _ := cipher.NewGCM(block)
		return gcm.Open(nil, parts[2], append(parts[3], parts[4]...), aad)
	case "v5":
		if h["alg"] != "dir" || h["enc"] != "A256CBC-HS512" {
			return nil, errOracle
		}
		key, _ := hkdf.Key(sha256.New, []byte(o.secret), []byte(o.cookie), "Auth.js Generated Encryption Key ("+o.cookie+")", 64)
		thumb := sha512.Sum512([]byte(`{"k":"` + base64.RawURLEncoding.EncodeToString(key) + `","kty":"oct"}`))
		if kid, has := h["kid"]; has && kid != base64.RawURLEncoding.EncodeToString(thumb[:]) {
			return nil, errOracle
		}
		return oracleCBC(key, aad, parts[2], parts[3], parts[4])
	default:
		if _, has := h["enc"]; has || h["alg"] != "HS256" {
			return nil, errOracle
		}
		mac := hmac.New(sha256.New, []byte(o.secret))
		mac.Write([]byte(token[:strings.LastIndexByte(token, '.')]))
		if !hmac.Equal(mac.Sum(nil), parts[2]) {
			return nil, errOracle
		}
		return parts[1], nil
	}
}

// oracleCBC is RFC 7518, 5.2.2.2 with A256CBC-HS512.
func oracleCBC(key, aad, iv, text, tag []byte) ([]byte, error) {
	mac := hmac.New(sha512.New, key[:32])
	mac.Write(aad)
	mac.Write(iv)
	mac.Write(text)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(aad))*8))
	if !hmac.Equal(mac.Sum(nil)[:32], tag) || len(text) == 0 || len(text)%16 != 0 {
		return nil, errOracle
	}
	block, _ := aes.NewCipher(key[32:])
	out := make([]byte, len(text))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(out, text)
	pad := int(out[len(out)-1])
	if pad == 0 || pad > 16 || !bytes.Equal(out[len(out)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, errOracle
	}
	return out[:len(out)-pad], nil
}

// oracleHeader takes an object of strings with known names. Names given twice show in the number of quotes: neither
// the names nor the values that are issued need an escape.
func oracleHeader(raw []byte) (map[string]string, bool) {
	if len(raw) > 512 {
		return nil, false
	}
	var any map[string]json.RawMessage
	if json.Unmarshal(raw, &any) != nil || any == nil {
		return nil, false
	}
	out := map[string]string{}
	for name, value := range any {
		var text *string
		if !strings.Contains(" alg enc kid typ ", " "+name+" ") || json.Unmarshal(value, &text) != nil || text == nil {
			return nil, false
		}
		out[name] = *text
	}
	members := 0 // strings at the even places of the flat object
	for rest := raw; ; members++ {
		i := bytes.IndexByte(rest, '"')
		if i < 0 {
			break
		}
		rest = rest[i+1:]
		for rest[0] != '"' {
			if rest[0] == '\\' {
				rest = rest[1:]
			}
			rest = rest[1:]
		}
		rest = rest[1:]
	}
	typ, typed := out["typ"]
	return out, members == 2*len(out) && (!typed || typ == "" || strings.ToUpper(typ) == "JWT")
}

func oracleClaims(plain []byte, now time.Time, signed bool) (string, error) {
	var set map[string]any
	d := json.NewDecoder(bytes.NewReader(plain))
	d.UseNumber()
	if d.Decode(&set) != nil || set == nil {
		return "", errOracle
	}
	if _, err := d.Token(); err != io.EOF {
		return "", errOracle
	}
	if _, has := set["aud"]; has && signed {
		return "", errTicket
	}
	seconds := float64(now.UnixNano()) / 1e9
	if _, has := set["exp"]; !has {
		return "", errOracle
	}
	for name, limits := range map[string][2]float64{"exp": {seconds - 15, math.Inf(1)}, "nbf": {-1, seconds + 15}, "iat": {-1, math.Inf(1)}} {
		v, has := set[name]
		if !has {
			continue
		}
		number, _ := v.(json.Number)
		n, err := number.Float64()
		if err != nil || n < 0 || n > 253402300799 || n <= limits[0] || n > limits[1] {
			return "", errOracle
		}
	}
	if sub, has := set["sub"]; has && sub != nil {
		if _, ok := sub.(string); !ok {
			return "", errOracle
		}
	}
	user, _ := set["sub"].(string)
	if user == "" {
		user, _ = set["email"].(string)
	}
	if user == "" {
		return "", errOracle
	}
	return user, nil
}
