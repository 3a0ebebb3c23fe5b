package harness

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"
)

// Token returns an HS256 token by JWTSecret (RFC 7515, 7519) that admits the user to some rooms with every permission.
func Token(user string, rooms ...string) string {
	grants := map[string][]string{}
	for _, room := range rooms {
		grants[room] = []string{"join", "type", "publish", "presence"}
	}
	now := time.Now()
	claims, _ := json.Marshal(map[string]any{
		"sub": user, "name": user, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"interlink": map[string]any{"rooms": grants},
	})
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(claims)
	mac := hmac.New(sha256.New, []byte(JWTSecret))
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil))
}
