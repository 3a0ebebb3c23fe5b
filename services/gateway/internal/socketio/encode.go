package socketio

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// Arguments of the functions below that are JSON are appended as they are: valid JSON in UTF-8, which the caller has checked.

func appendUint(dst []byte, n uint64) []byte { return strconv.AppendUint(dst, n, 10) }

// AppendHeader appends what stands before the payload: type, number of attachments (of binary types), namespace (unless it is Main or empty).
// An ack id follows by AppendID.
func AppendHeader(dst []byte, t Type, attachments int, namespace string) []byte {
	dst = append(dst, '0'+byte(t))
	if t.binary() {
		dst = append(appendUint(dst, uint64(attachments)), '-')
	}
	if namespace != "" && namespace != Main {
		dst = append(append(dst, namespace...), ',')
	}
	return dst
}

// AppendID appends an ack id behind a header.
func AppendID(dst []byte, id uint64) []byte { return appendUint(dst, id) }

// AppendConnect appends the server's answer to CONNECT in the main namespace, `0{"sid":"…","pid":"…"}`; without pid if that is empty
// (section "Connection to a namespace").
func AppendConnect(dst []byte, sid, pid string) []byte {
	dst = AppendString(append(dst, `0{"sid":`...), sid)
	if pid != "" {
		dst = AppendString(append(dst, `,"pid":`...), pid)
	}
	return append(dst, '}')
}

// AppendConnectError appends the refusal of a CONNECT, `4{"message":"…","data":…}`; without data if that is empty.
func AppendConnectError(dst []byte, namespace, message string, data json.RawMessage) []byte {
	dst = AppendHeader(dst, ConnectError, 0, namespace)
	dst = AppendString(append(dst, `{"message":`...), message)
	if len(data) > 0 {
		dst = append(append(dst, `,"data":`...), data...)
	}
	return append(dst, '}')
}

// AppendDisconnect appends `1`, which ends a namespace: the stock client does not come back after it.
func AppendDisconnect(dst []byte) []byte { return append(dst, '1') }

// AppendEvent appends an event in the main namespace, `2["name",…]`.
func AppendEvent(dst []byte, name string, args ...json.RawMessage) []byte {
	return appendArray(append(dst, '2'), name, args)
}

// AppendEventAck appends an event that asks for an ack, `2<id>["name",…]`.
func AppendEventAck(dst []byte, id uint64, name string, args ...json.RawMessage) []byte {
	return appendArray(AppendID(append(dst, '2'), id), name, args)
}

// AppendBinaryEvent appends the text of an event with attachments (1 or more), which follow it as binary messages, in order;
// args hold their placeholders.
func AppendBinaryEvent(dst []byte, attachments int, name string, args ...json.RawMessage) []byte {
	return appendArray(AppendHeader(dst, BinaryEvent, attachments, Main), name, args)
}

// AppendAck appends an acknowledgement, `3<id>[…]`.
func AppendAck(dst []byte, id uint64, args ...json.RawMessage) []byte {
	return appendArgs(append(AppendID(append(dst, '3'), id), '['), args)
}

// AppendBinaryAck appends the text of an acknowledgement with attachments, as AppendBinaryEvent does.
func AppendBinaryAck(dst []byte, attachments int, id uint64, args ...json.RawMessage) []byte {
	return appendArgs(append(AppendID(AppendHeader(dst, BinaryAck, attachments, Main), id), '['), args)
}

func appendArray(dst []byte, name string, args []json.RawMessage) []byte {
	dst = AppendString(append(dst, '['), name)
	if len(args) > 0 {
		dst = append(dst, ',')
	}
	return appendArgs(dst, args)
}

func appendArgs(dst []byte, args []json.RawMessage) []byte {
	for i, arg := range args {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, arg...)
	}
	return append(dst, ']')
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[from:i]...), "\uFFFD"...)
				from = i + 1
			}
			i += size
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}
