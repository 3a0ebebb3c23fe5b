package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

// Principal is an authenticated user, as the credential that he came with tells of him.
type Principal struct {
	User  string // never empty; room.OfUser(User) is a valid room
	Name  string // to show to others, may be empty
	Email string // may be empty

	// IssuedAt is what a revocation "before" is compared with. Zero if the token does not say; of a database session
	// it is the time at which Next.js confirmed it.
	IssuedAt  time.Time
	ExpiresAt time.Time // the end of the socket, never zero

	Grants map[room.Room]permission.Set // from the claim `interlink.rooms`; nil without one
	Claims json.RawMessage              // the claims as they stand in the token; of a database session the user object
	// Cookie is the Cookie header to ask Next.js with in this user's name: his session cookies and no other. Empty if
	// he came with something that Next.js does not know (a ticket).
	Cookie string
}

// LogValue keeps the cookie and the claims out of logs.
func (p Principal) LogValue() slog.Value { return slog.StringValue(p.User) }

// Credentials is what a client brought to the handshake. A token decides alone: with one, the cookies are not looked at.
type Credentials struct {
	Token        string // auth.token
	CookieHeader string // the request's Cookie header; several joined by "; "
	Now          time.Time
}

// LogValue keeps credentials out of logs.
func (c Credentials) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("token_bytes", len(c.Token)), slog.Int("cookie_bytes", len(c.CookieHeader)))
}

// Authenticator is what a gateway needs of this package.
type Authenticator interface {
	// Authenticate may block for as long as Next.js is asked (Options.SessionTimeout). Errors: a *Refusal is definite,
	// anything else is doubt.
	Authenticate(ctx context.Context, c Credentials) (Principal, error)
}

// Code is what a client may branch on.
type Code string

// The codes of a Refusal.
const (
	Unauthenticated Code = "unauthenticated"
	TokenExpired    Code = "token_expired"
)

// Refusal is a definite no.
type Refusal struct {
	Code   Code
	Reason string // for the log: one of a closed set of sentences, never a piece of the credential
}

func (r *Refusal) Error() string { return "refused: " + r.Reason }

// Missing reports whether the client brought nothing at all to be known by.
func (r *Refusal) Missing() bool { return r.Reason == reasonNoCredential }

// Message is the text for the client: it tells whether to sign in again and nothing about what was wrong. The word
// "Authentication" is what the platform's pages look for.
func (r *Refusal) Message() string {
	switch {
	case r.Code == TokenExpired:
		return "Authentication expired. Please sign in again."
	case r.Missing():
		return "Authentication required. Please sign in."
	default:
		return "Authentication failed"
	}
}

const reasonNoCredential = "neither a token nor a session cookie"

func refuse(reason string) error { return &Refusal{Code: Unauthenticated, Reason: reason} }

// Options of New. At least one of Secrets, DerivedKeys, JWTSecrets and SessionURL must give something.
//
// The funcs are asked at each handshake, so that a secret rotates without a restart; they must be cheap and safe for
// use by many goroutines. Keys are derived again only when an answer changes. One that has been empty since the start
// is as good as none; one that is empty for a moment makes doubt, not refusals.
type Options struct {
	NextAuthVersion int      // 4 or 5; 0 is 5
	Cookies         []string // names of the session cookie, the first present decides; default DefaultCookies
	Secrets         func() []string
	// DerivedKeys replaces Secrets by the keys made of them (DeriveKey), which open sessions but nothing else of
	// NextAuth. Each is KEY, good for every cookie name, or NAME=KEY; base64, base64url or hex.
	DerivedKeys func() []string
	LegacyGCM   bool // version 5 also takes the A256GCM of next-auth 5.0.0-beta.4 and .5

	// JWTSecrets are HS256 secrets of at least 32 bytes (RFC 7518, 3.2). One that is a public RSA key in PEM verifies
	// RS256 instead, and only that.
	JWTSecrets func() []string

	SessionURL     string        // Next.js' /api/auth/session; empty: database sessions are refused
	HTTPClient     *http.Client  // for SessionURL; redirects are never followed
	SessionTimeout time.Duration // of one question, default 3 s
	SessionTTL     time.Duration // how long an answer holds, default and at most 60 s

	Leeway time.Duration // for clocks that differ, default 15 s as NextAuth's
}

// maxSecrets bounds what one token can cost: a version 4 token is tried against each.
const maxSecrets = 4

// DefaultCookies are the names that a NextAuth version gives its session cookie. Version 5 includes those of version 4,
// which applications that were upgraded often keep.
func DefaultCookies(version int) []string {
	v4 := []string{"__Secure-next-auth.session-token", "next-auth.session-token"}
	if version == 4 {
		return v4
	}
	return append([]string{"__Secure-authjs.session-token", "authjs.session-token"}, v4...)
}

// Verifier authenticates clients. Safe for use by many goroutines.
type Verifier struct {
	version int
	cookies []string
	leeway  time.Duration
	legacy  bool
	sealed  *sealedKeys // nil: five segments are refused
	signed  *signedKeys // nil: three segments are refused
	session *sessions   // nil: database sessions are refused
}

// New checks the options and derives the keys, so that a wrong secret is an error at start and not at the first
// handshake. All that is wrong is reported at once.
func New(o Options) (*Verifier, error) {
	v := &Verifier{version: o.NextAuthVersion, cookies: o.Cookies, leeway: o.Leeway, legacy: o.LegacyGCM}
	if v.version == 0 {
		v.version = 5
	}
	if len(v.cookies) == 0 {
		v.cookies = DefaultCookies(v.version)
	}
	if v.leeway == 0 {
		v.leeway = 15 * time.Second
	}
	var errs []error
	if v.version != 4 && v.version != 5 {
		return nil, fmt.Errorf("NextAuth version %d: it is 4 or 5", v.version)
	}
	for _, name := range v.cookies {
		if !validCookieName(name) {
			errs = append(errs, fmt.Errorf("session cookie %q: not a cookie name", name))
		}
	}
	ways := 0
	note := func(err error) {
		if err == nil {
			ways++
		} else if !errors.Is(err, errNoKeys) {
			errs = append(errs, err)
		}
	}
	if o.Secrets != nil || o.DerivedKeys != nil {
		v.sealed = newSealedKeys(v.version, v.cookies, v.legacy, o.Secrets, o.DerivedKeys)
		_, err := v.sealed.load()
		note(err)
	}
	if o.JWTSecrets != nil {
		v.signed = &signedKeys{secrets: o.JWTSecrets}
		_, err := v.signed.load()
		note(err)
	}
	if o.SessionURL != "" {
		s, err := newSessions(o)
		note(err)
		v.session = s
	}
	if ways == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("nobody could sign in: no NextAuth secret or key, no JWT secret and no session URL"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return v, nil
}

// Authenticate implements Authenticator. It does no I/O unless the cookie is a database session.
func (v *Verifier) Authenticate(ctx context.Context, c Credentials) (Principal, error) {
	if c.Now.IsZero() {
		c.Now = time.Now() // a clock at zero would take tokens that ended long ago
	}
	cred := credential{token: c.Token}
	if c.Token == "" {
		found, err := sessionCookie(c.CookieHeader, v.cookies)
		if err != nil {
			return Principal{}, err
		}
		cred = found
	}
	if len(cred.token) > maxTokenBytes {
		return Principal{}, refuse(reasonTooLarge)
	}
	switch strings.Count(cred.token, ".") {
	case 4:
		return v.openSealed(cred, c.Now)
	case 2:
		return v.checkSigned(cred, c.Now)
	case 0:
		return v.askSession(ctx, cred, c.Now)
	default:
		return Principal{}, refuse(reasonParts)
	}
}

// credential is one token and where it was found.
type credential struct {
	token  string
	cookie string // the session cookie's base name, empty for auth.token
	header string // the cookies that the token was put together from, ready to be sent; empty for auth.token
}

// cookieHeader is the header to ask Next.js with. A token that came without a cookie is sent under each name that it
// may have: Next.js looks at one of them, and which one depends on its own address.
func (c credential) cookieHeader(names []string) string {
	if c.header != "" {
		return c.header
	}
	var b strings.Builder
	for _, name := range names {
		if b.Len() > 0 {
			if b.Len()+len(name)+len(c.token) > maxCookieSend {
				break
			}
			b.WriteString("; ")
		}
		b.WriteString(name)
		b.WriteByte('=')
		b.WriteString(c.token)
	}
	return b.String()
}

// maxCookieSend bounds a header with one token under several names, in bytes: Node refuses more than 16 KiB of headers.
const maxCookieSend = 8 << 10
