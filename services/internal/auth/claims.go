package auth

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

const (
	reasonClaims    = "the claims are not a JSON object"
	reasonNoExpiry  = "the token has no exp"
	reasonTime      = "a time in the token is not a number of seconds up to the year 9999"
	reasonExpired   = "the token has expired"
	reasonNotYet    = "the token is not valid yet"
	reasonIdentity  = "the token has neither sub nor email"
	reasonUser      = "the token's identity cannot be the name of a room"
	reasonAudience  = "the token is for another audience"
	reasonTicketAge = "the ticket is good for longer than 60 s"
	reasonTicketEnd = "the ticket has no session_exp"
)

const (
	ticketAudience = "interlink"
	ticketLife     = 60 * time.Second

	maxUnix = 253402300799 // the last second of the year 9999
)

// claims are the members of a claims set (RFC 7519, 4), read by their exact names: encoding/json would take `SUB` for
// a field `sub`.
type claims struct {
	raw     json.RawMessage
	members map[string]json.RawMessage
}

func readClaims(raw []byte) (claims, string) {
	c := claims{raw: raw}
	if trimmed := bytes.TrimLeft(raw, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return c, reasonClaims
	}
	if err := json.Unmarshal(raw, &c.members); err != nil {
		return c, reasonClaims
	}
	return c, ""
}

// text returns a string claim, "" if it is absent or anything else.
func (c claims) text(name string) string {
	var s string
	if raw := c.members[name]; len(raw) > 0 && raw[0] == '"' {
		if json.Unmarshal(raw, &s) != nil {
			return ""
		}
	}
	return s
}

// when returns a NumericDate; there is false if the claim is absent.
func (c claims) when(name string) (t time.Time, there, ok bool) {
	raw, there := c.members[name]
	if !there {
		return t, false, true
	}
	if raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return t, true, false
	}
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || seconds < 0 || seconds > maxUnix {
		return t, true, false
	}
	whole := int64(seconds)
	return time.Unix(whole, int64((seconds-float64(whole))*1e9)), true, true
}

// principal checks the times and the identity: exp is required and leeway is given on both ends, as NextAuth does.
func (c claims) principal(now time.Time, leeway time.Duration) (Principal, error) {
	expires, there, ok := c.when("exp")
	if !there {
		return Principal{}, refuse(reasonNoExpiry)
	}
	begins, _, ok2 := c.when("nbf")
	issued, _, ok3 := c.when("iat")
	if !ok || !ok2 || !ok3 {
		return Principal{}, refuse(reasonTime)
	}
	user, reason := c.identity()
	if reason != "" {
		return Principal{}, refuse(reason)
	}
	if !now.Before(expires.Add(leeway)) {
		return Principal{}, &Refusal{Code: TokenExpired, Reason: reasonExpired}
	}
	if begins.After(now.Add(leeway)) {
		return Principal{}, refuse(reasonNotYet)
	}
	return Principal{
		User: user, Name: c.text("name"), Email: c.text("email"),
		IssuedAt: issued, ExpiresAt: expires, Grants: c.grants(), Claims: c.raw,
	}, nil
}

// identity is `sub`, else `email`: NextAuth issues no sub if the application's authorize() gives no id.
func (c claims) identity() (user, reason string) {
	if raw, there := c.members["sub"]; there && raw[0] != '"' && string(raw) != "null" {
		return "", reasonIdentity
	}
	if user = c.text("sub"); user == "" {
		user = c.text("email")
	}
	return user, checkUser(user)
}

func checkUser(user string) (reason string) {
	if user == "" {
		return reasonIdentity
	}
	if _, err := room.Parse(string(room.OfUser(user))); err != nil {
		return reasonUser
	}
	return ""
}

// grants reads `interlink: {rooms: {"conversation:42": ["join","type"]}}`. What is malformed grants nothing.
func (c claims) grants() map[room.Room]permission.Set {
	var outer map[string]json.RawMessage
	if raw, ok := c.members["interlink"]; !ok || json.Unmarshal(raw, &outer) != nil {
		return nil
	}
	var rooms map[string]json.RawMessage
	if raw, ok := outer["rooms"]; !ok || json.Unmarshal(raw, &rooms) != nil {
		return nil
	}
	var grants map[room.Room]permission.Set
	for name, raw := range rooms {
		r, err := room.Parse(name)
		var list []string
		if err != nil || json.Unmarshal(raw, &list) != nil {
			continue
		}
		if grants == nil {
			grants = make(map[room.Room]permission.Set, len(rooms))
		}
		grants[r] = permission.Parse(list)
	}
	return grants
}

// audience reads `aud`: a string or a list (RFC 7519, 4.1.3).
func (c claims) audience() (list []string, ok bool) {
	raw, there := c.members["aud"]
	if !there {
		return nil, true
	}
	var one string
	if json.Unmarshal(raw, &one) == nil && raw[0] == '"' {
		return []string{one}, true
	}
	return list, json.Unmarshal(raw, &list) == nil && raw[0] == '['
}
