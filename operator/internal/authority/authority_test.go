package authority

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

const day = 24 * time.Hour

func made(t *testing.T, now time.Time) string {
	t.Helper()
	a, err := New("chat", now, 100*day)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestACertificateIsOfItsAuthorityForItsNames(t *testing.T) {
	now := time.Now()
	first, second := made(t, now), made(t, now)
	names := []string{"chat-router-peers", "chat-router-peers.realtime.svc"}
	cert, key, err := Issue(first, names, now, 30*day)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair([]byte(cert), []byte(key)); err != nil {
		t.Error(err)
	}
	bundle, err := Bundle([]string{second, first})
	if err != nil || strings.Contains(bundle, "PRIVATE") || strings.Count(bundle, "BEGIN CERTIFICATE") != 2 {
		t.Fatalf("%v\n%s", err, bundle)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(bundle))
	c, err := Certificate(cert)
	if err != nil {
		t.Fatal(err)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := c.Verify(x509.VerifyOptions{Roots: roots, DNSName: names[1], KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Error(err)
		}
	}
	for name, tc := range map[string]struct {
		authority string
		names     []string
		at        time.Time
		want      bool
	}{
		"as issued":                {first, names, now, true},
		"of another authority":     {second, names, now, false},
		"for other names":          {first, names[:1], now, false},
		"two thirds of life over":  {first, names, now.Add(21 * day), false},
		"more than a third before": {first, names, now.Add(19 * day), true},
	} {
		if got := Good(cert, tc.authority, tc.names, tc.at); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if ID(first) == "" || ID(first) == ID(second) || ID("nothing") != "" {
		t.Error("ids")
	}
}

func TestNoCertificateOutlivesItsAuthority(t *testing.T) {
	now := time.Now()
	cert, _, err := Issue(made(t, now), []string{"a"}, now, 1000*day)
	if err != nil {
		t.Fatal(err)
	}
	if c, _ := Certificate(cert); c.NotAfter.After(now.Add(100 * day)) {
		t.Error(c.NotAfter)
	}
}
