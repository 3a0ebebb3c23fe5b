package launch

import (
	"crypto/hkdf"
	"crypto/sha256"
	"net"
	"strconv"
	"time"

	"github.com/edumatrix/interlink/services/internal/config"
)

// stopPatience is how long answers under way are waited for.
const stopPatience = 2 * time.Second

const (
	cursorKeyBytes = 32
	cursorKeyUse   = "interlink cursor"
)

// derivedCursorKeys makes a key of each secret (HKDF, RFC 5869), so that a cursor tells nothing of the secret.
func derivedCursorKeys(s config.Secret) [][]byte {
	var keys [][]byte
	for _, secret := range s.Bytes() {
		key, err := hkdf.Key(sha256.New, secret, nil, cursorKeyUse, cursorKeyBytes)
		if err != nil {
			panic("launch: " + err.Error()) // the length is a constant that SHA-256 can fill
		}
		keys = append(keys, key)
	}
	return keys
}

func publicAddr(p config.Public) string { return net.JoinHostPort(p.Host, strconv.Itoa(p.Port)) }
