package session

import (
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

// proof is what permissions are asked with, beside the name.
type proof struct {
	grants packed
	asked  *asked // nil: nobody is asked with more than the name
}

// asked is what others are asked with: the authorizer with claims, the application with the user's cookie.
type asked struct {
	claims json.RawMessage
	cookie cookie
}

// packed are the grants of a token at rest, a fifth of what a map takes: for each the room's name behind its length, and the permissions.
type packed string

func pack(grants map[room.Room]permission.Set) packed {
	size := 0
	for r := range grants {
		size += len(r) + 2
	}
	b := make([]byte, 0, size)
	for r, set := range grants {
		b = binary.AppendUvarint(b, uint64(len(r)))
		b = append(b, r...)
		b = binary.AppendUvarint(b, uint64(set))
	}
	return packed(b)
}

func (p packed) unpack() map[room.Room]permission.Set {
	if p == "" {
		return nil
	}
	grants := make(map[room.Room]permission.Set)
	for b := []byte(p); len(b) > 0; {
		size, n := binary.Uvarint(b)
		name := b[n : n+int(size)]
		set, m := binary.Uvarint(b[n+int(size):])
		grants[room.Room(name)] = permission.Set(set)
		b = b[n+int(size)+m:]
	}
	return grants
}

// identify keeps what is needed of a principal.
func (st *session) identify(p auth.Principal) {
	st.name, st.issued, st.expires = p.Name, 0, p.ExpiresAt.UnixMilli()
	if !p.IssuedAt.IsZero() {
		st.issued = p.IssuedAt.UnixMilli()
	}
	var with asked
	if st.handler.options.KeepClaims {
		with.claims = p.Claims
	}
	if st.handler.options.KeepCookie {
		with.cookie = packCookie(p.Cookie)
	}
	kept := proof{grants: pack(p.Grants)}
	if with.claims != nil || !with.cookie.empty() {
		kept.asked = &with
	}
	st.proof = nil
	if kept != (proof{}) {
		st.proof = &kept
	}
}

// principal is who permissions are asked for.
func (st *session) principal() auth.Principal {
	p := auth.Principal{User: st.member.User, Name: st.name, ExpiresAt: time.UnixMilli(st.expires)}
	if st.issued != 0 {
		p.IssuedAt = time.UnixMilli(st.issued)
	}
	if st.proof != nil {
		p.Grants = st.proof.grants.unpack()
		if with := st.proof.asked; with != nil {
			p.Claims, p.Cookie = with.claims, with.cookie.header()
		}
	}
	return p
}
