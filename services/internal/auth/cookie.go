package auth

import (
	"strconv"
	"strings"
)

const (
	maxCookieHeader = 64 << 10 // bytes
	maxChunks       = 16
)

const (
	reasonCookieHeader    = "the Cookie header is larger than 64 KiB"
	reasonCookieTwice     = "the session cookie is there twice with different values"
	reasonCookieMixed     = "the session cookie is there both whole and in chunks"
	reasonCookieChunkName = "a chunk of the session cookie has a number that NextAuth does not write"
	reasonCookieGap       = "a chunk of the session cookie is missing"
)

// found is what a Cookie header has of one name.
type found struct {
	whole    string
	hasWhole bool
	chunks   [maxChunks]string
	has      [maxChunks]bool
	count    int // chunks
}

// sessionCookie puts the session token together from a Cookie header (RFC 6265, 5.4). The first of names that is
// present, whole or in chunks, decides: there is no falling back to the next one, so that nobody can slip a plain
// cookie in behind a `__Secure-` one. What is ambiguous is refused, since Next.js might read it the other way.
func sessionCookie(header string, names []string) (credential, error) {
	if len(header) > maxCookieHeader {
		return credential{}, refuse(reasonCookieHeader)
	}
	for _, name := range names {
		if !strings.Contains(header, name) {
			continue
		}
		f, err := collect(header, name)
		if err != nil {
			return credential{}, err
		}
		switch {
		case f.whole != "" && f.count > 0:
			return credential{}, refuse(reasonCookieMixed)
		case f.whole != "":
			return credential{token: f.whole, cookie: name, header: name + "=" + f.whole}, nil
		case f.count > 0:
			return f.join(name)
		}
	}
	return credential{}, refuse(reasonNoCredential)
}

// collect reads all cookies of one name and its chunks.
func collect(header, name string) (found, error) {
	var f found
	for header != "" {
		var pair string
		pair, header, _ = strings.Cut(header, ";")
		key, value, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
		if !ok {
			continue
		}
		rest, ok := strings.CutPrefix(key, name)
		switch {
		case !ok:
		case rest == "":
			if f.hasWhole && f.whole != value {
				return f, refuse(reasonCookieTwice)
			}
			f.whole, f.hasWhole = value, true
		case rest[0] == '.' && digits(rest[1:]):
			n, err := strconv.Atoi(rest[1:])
			if err != nil || n >= maxChunks || strconv.Itoa(n) != rest[1:] {
				return f, refuse(reasonCookieChunkName)
			}
			if f.has[n] && f.chunks[n] != value {
				return f, refuse(reasonCookieTwice)
			}
			if !f.has[n] {
				f.has[n], f.chunks[n] = true, value
				f.count++
			}
		}
	}
	return f, nil
}

// join puts the chunks in order, whatever order the header has them in.
func (f *found) join(name string) (credential, error) {
	var token, header strings.Builder
	for n := range f.count {
		if !f.has[n] {
			return credential{}, refuse(reasonCookieGap)
		}
		token.WriteString(f.chunks[n])
		if n > 0 {
			header.WriteString("; ")
		}
		header.WriteString(name)
		header.WriteByte('.')
		header.WriteString(strconv.Itoa(n))
		header.WriteByte('=')
		header.WriteString(f.chunks[n])
	}
	return credential{token: token.String(), cookie: name, header: header.String()}, nil
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// validCookieName holds a configured name to RFC 6265's token, since it is written into headers.
func validCookieName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?={}`, c) >= 0 {
			return false
		}
	}
	return name != "" && len(name) <= 128
}
