package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// nextFindings asks Next.js as somebody without a session.
func nextFindings(ctx context.Context, p Patient) []Finding {
	where := p.Settings.Auth.SessionURL
	if where == "" {
		return []Finding{note("API_BASE_URL", "not set: Next.js is never asked, neither about sessions in a database nor about rooms")}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return []Finding{bad("INTERLINK_SESSION_URL", "%v", err)}
	}
	resp, err := p.Client.Do(req)
	if err != nil {
		return []Finding{bad("API_BASE_URL", "Next.js is not reached: %v", err)}
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var found []Finding
	if resp.StatusCode != http.StatusOK || !json.Valid(body) {
		found = append(found, bad("API_BASE_URL", "%s answers %s, and not with JSON as NextAuth does: is it the address of Next.js itself?", where, resp.Status))
	} else {
		found = append(found, fine("Next.js", "%s answers", where))
	}
	if there, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		// The header has whole seconds.
		if skew := there.Sub(p.Now()).Abs(); skew > leastSkew+time.Second {
			found = append(found, bad("clock", "Next.js' clock and this one are %s apart: sessions would end too early or too late; run an NTP client on both", skew.Round(time.Second)))
		}
	}
	return found
}

// selfFindings asks the Interlink of this machine, if there is one.
func selfFindings(ctx context.Context, p Patient) []Finding {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Settings.Public.Port))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/health", nil)
	if err != nil {
		return []Finding{bad("SOCKET_IO_PORT", "%v", err)}
	}
	resp, err := p.Client.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return []Finding{note("Interlink", "nothing listens on port %d of this machine at present", p.Settings.Public.Port)}
	}
	if err != nil {
		return []Finding{bad("SOCKET_IO_PORT", "what listens on port %d does not answer as Interlink does: %v", p.Settings.Public.Port, err)}
	}
	defer func() { _ = resp.Body.Close() }()
	var health struct{ Status, Reason string }
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	switch err := json.Unmarshal(raw, &health); {
	case err != nil || health.Status == "":
		return []Finding{bad("SOCKET_IO_PORT", "something else than Interlink listens on port %d", p.Settings.Public.Port)}
	case health.Status != "healthy":
		return []Finding{bad("Interlink", "runs here and is not well: %s", strings.TrimSpace(health.Reason))}
	}
	return []Finding{fine("Interlink", "runs here and is well")}
}
