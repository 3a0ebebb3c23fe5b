package auth

import (
	"encoding/base64"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// seal makes a token as NextAuth would: profile v4, v5 or hs256.
func seal(tb testing.TB, profile, secret, cookie string, claims []byte) string {
	tb.Helper()
	if profile == "hs256" {
		text := "eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString(claims)
		signature, err := jwt.SigningMethodHS256.Sign(text, []byte(secret))
		if err != nil {
			tb.Fatal(err)
		}
		return text + "." + base64.RawURLEncoding.EncodeToString(signature)
	}
	version, enc := 4, jose.A256GCM
	if profile == "v5" {
		version, enc = 5, jose.A256CBC_HS512
	}
	key, err := DeriveKey(version, secret, cookie)
	if err != nil {
		tb.Fatal(err)
	}
	recipient := jose.Recipient{Algorithm: jose.DIRECT, Key: key}
	if version == 5 {
		recipient.KeyID = keyID(key)
	}
	encrypter, err := jose.NewEncrypter(enc, recipient, nil)
	if err != nil {
		tb.Fatal(err)
	}
	object, err := encrypter.Encrypt(claims)
	if err != nil {
		tb.Fatal(err)
	}
	token, err := object.CompactSerialize()
	if err != nil {
		tb.Fatal(err)
	}
	return token
}
