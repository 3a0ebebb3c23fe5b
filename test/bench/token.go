package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/edumatrix/interlink/test/harness"
)

// benchRoom is the room that messages go to.
const benchRoom = "conversation:bench"

// idleRooms are the rooms that a socket at rest joins: one of everybody, one of a hundred. Its user's own is the third.
func idleRooms(i int) []string {
	return []string{benchRoom, fmt.Sprintf("conversation:class-%d", i/100)}
}

// sealer makes session tokens as NextAuth 4 does: JWE (RFC 7516), alg dir, enc A256GCM, the key by HKDF of the secret.
type sealer struct{ aead cipher.AEAD }

func newSealer() (sealer, error) {
	key, err := hkdf.Key(sha256.New, []byte(harness.NextAuthSecret), nil, "NextAuth.js Generated Encryption Key", 32)
	if err != nil {
		return sealer{}, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, err
	}
	aead, err := cipher.NewGCM(block)
	return sealer{aead}, err
}

// token is a session of a user that grants some rooms.
func (s sealer) token(user string, rooms []string) (string, error) {
	grants := map[string][]string{}
	for _, room := range rooms {
		grants[room] = []string{"join"}
	}
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"sub": user, "name": user, "email": user + "@example.org", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"jti": user, "interlink": map[string]any{"rooms": grants},
	})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	header := encode([]byte(`{"alg":"dir","enc":"A256GCM"}`))
	iv := make([]byte, s.aead.NonceSize())
	if _, err := rand.Read(iv); err != nil {
		return "", err
	}
	sealed := s.aead.Seal(nil, iv, claims, []byte(header))
	cut := len(sealed) - s.aead.Overhead()
	return header + ".." + encode(iv) + "." + encode(sealed[:cut]) + "." + encode(sealed[cut:]), nil
}
