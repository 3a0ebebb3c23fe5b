package auth

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

// Token is what Mint signs.
type Token struct {
	User   string
	Name   string // left out if empty
	Email  string // left out if empty
	Now    time.Time
	TTL    time.Duration // more than zero
	Grants map[room.Room]permission.Set
}

// Mint signs an HS256 token that Authenticate takes, for the command line, the developer page and tests. secret is one
// of JWTSecrets.
func Mint(secret string, t Token) (string, error) {
	claims, err := t.claims()
	if err != nil {
		return "", err
	}
	return sign(secret, claims)
}

// MintTicket signs a ticket: good for a handshake until 60 s after t.Now (t.TTL is not used), for a session that ends
// at sessionExpires.
func MintTicket(secret string, t Token, sessionExpires time.Time) (string, error) {
	t.TTL = ticketLife
	claims, err := t.claims()
	if err != nil {
		return "", err
	}
	claims["aud"] = ticketAudience
	claims["session_exp"] = sessionExpires.Unix()
	return sign(secret, claims)
}

func (t Token) claims() (jwt.MapClaims, error) {
	if reason := checkUser(t.User); reason != "" {
		return nil, fmt.Errorf("mint a token for %q: %s", t.User, reason)
	}
	if t.TTL <= 0 || t.Now.IsZero() {
		return nil, errors.New("mint a token: it needs a time and a life")
	}
	claims := jwt.MapClaims{"sub": t.User, "iat": t.Now.Unix(), "exp": t.Now.Add(t.TTL).Unix()}
	if t.Name != "" {
		claims["name"] = t.Name
	}
	if t.Email != "" {
		claims["email"] = t.Email
	}
	if len(t.Grants) > 0 {
		rooms := make(map[string][]string, len(t.Grants))
		for r, set := range t.Grants {
			rooms[string(r)] = set.Names()
		}
		claims["interlink"] = map[string]any{"rooms": rooms}
	}
	return claims, nil
}

func sign(secret string, claims jwt.MapClaims) (string, error) {
	if strings.Contains(secret, "-----BEGIN") {
		return "", errors.New("mint a token: the JWT secret is a public key, which verifies and cannot sign")
	}
	if len(secret) < minSecretBytes {
		return "", fmt.Errorf("mint a token: the JWT secret has %d bytes, want %d or more", len(secret), minSecretBytes)
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		return "", fmt.Errorf("mint a token: %w", err)
	}
	return token, nil
}
