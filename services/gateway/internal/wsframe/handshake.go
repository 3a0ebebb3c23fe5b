package wsframe

import (
	"crypto/sha1"
	"encoding/base64"
	"strings"
)

// HandshakeError is why a request cannot become a WebSocket.
type HandshakeError uint8

// What CheckHandshake returns (RFC 6455, 4.2.1).
const (
	ErrMethod     HandshakeError = iota + 1 // not GET
	ErrProtocol                             // below HTTP/1.1
	ErrUpgrade                              // no token "websocket" in Upgrade
	ErrConnection                           // no token "upgrade" in Connection
	ErrVersion                              // Sec-WebSocket-Version is not 13
	ErrKey                                  // Sec-WebSocket-Key is not one value of 16 bytes in base64
)

// Error is one sentence without a full stop.
func (e HandshakeError) Error() string {
	switch e {
	case ErrMethod:
		return "websocket handshake: method is not GET"
	case ErrProtocol:
		return "websocket handshake: HTTP version is below 1.1"
	case ErrUpgrade:
		return "websocket handshake: no websocket in Upgrade"
	case ErrConnection:
		return "websocket handshake: no upgrade in Connection"
	case ErrVersion:
		return "websocket handshake: version is not 13"
	case ErrKey:
		return "websocket handshake: key is not 16 bytes of base64"
	default:
		return "websocket handshake: error"
	}
}

// Status is the HTTP status to answer with. 426 wants `Sec-WebSocket-Version: 13` beside it (4.4).
func (e HandshakeError) Status() int {
	switch e {
	case ErrMethod:
		return 405
	case ErrVersion:
		return 426
	default:
		return 400
	}
}

// Asks reports whether a request asks for a WebSocket: "websocket" in Upgrade and "upgrade" in Connection. Header names are in canonical form,
// as net/http gives them.
func Asks(header map[string][]string) bool {
	return hasToken(header["Upgrade"], "websocket") && hasToken(header["Connection"], "upgrade")
}

// CheckHandshake checks a request of HTTP 1.minor (minor 1 or more) and returns its key. Header names are in canonical form, as net/http gives them.
func CheckHandshake(method string, major, minor int, header map[string][]string) (key string, err error) {
	switch {
	case method != "GET":
		return "", ErrMethod
	case major != 1 || minor < 1:
		return "", ErrProtocol
	case !hasToken(header["Upgrade"], "websocket"):
		return "", ErrUpgrade
	case !hasToken(header["Connection"], "upgrade"):
		return "", ErrConnection
	}
	if v := header["Sec-Websocket-Version"]; len(v) != 1 || strings.TrimSpace(v[0]) != "13" {
		return "", ErrVersion
	}
	keys := header["Sec-Websocket-Key"]
	if len(keys) != 1 {
		return "", ErrKey
	}
	key = strings.TrimSpace(keys[0])
	var raw [18]byte
	if len(key) != 24 {
		return "", ErrKey
	}
	if n, err := base64.StdEncoding.Decode(raw[:], []byte(key)); err != nil || n != 16 {
		return "", ErrKey
	}
	return key, nil
}

const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// AppendAccept appends the value of Sec-WebSocket-Accept for a key (4.2.2).
func AppendAccept(dst []byte, key string) []byte {
	var joined [24 + len(guid)]byte
	sum := sha1.Sum(append(append(joined[:0], key...), guid...))
	return base64.StdEncoding.AppendEncode(dst, sum[:])
}

// AppendSwitching appends the whole response that accepts a handshake. more is header lines that each end in CRLF, or empty.
func AppendSwitching(dst []byte, key, more string) []byte {
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = append(AppendAccept(dst, key), "\r\n"...)
	return append(append(dst, more...), "\r\n"...)
}

// hasToken looks for a token in comma-separated lists, without regard to case (RFC 9110, 5.6.1).
func hasToken(values []string, want string) bool {
	for _, list := range values {
		for list != "" {
			var token string
			token, list, _ = strings.Cut(list, ",")
			if strings.EqualFold(strings.Trim(token, " \t"), want) {
				return true
			}
		}
	}
	return false
}
