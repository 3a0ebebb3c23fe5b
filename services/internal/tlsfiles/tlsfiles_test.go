package tlsfiles

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority issues certificates for 127.0.0.1.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key}
	der, err := x509.CreateCertificate(rand.Reader, template(true), template(true), &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func template(ca bool) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "interlink test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: ca, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

// issue writes a certificate, its key and the authority into dir.
func (a *authority) issue(dir string) (cert, key, ca string) {
	a.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf := template(false)
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, leaf, a.cert, &k.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, key, ca = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "ca.crt")
	for file, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}, ca: {Type: "CERTIFICATE", Bytes: a.cert.Raw},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return cert, key, ca
}

func mutual(t *testing.T, a *authority, dir string) *Mutual {
	t.Helper()
	m, err := NewMutual(a.issue(dir))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// greet has the two shake hands; each must take the other.
func greet(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	served := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, err = conn.Write([]byte("hello"))
			_ = conn.Close()
		}
		served <- err
	}()
	conn, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		<-served
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Read(make([]byte, 5)); err != nil {
		<-served
		return err
	}
	return <-served
}

func TestOnlyThoseOfOneAuthorityTalk(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	server, client, stranger := mutual(t, ours, t.TempDir()), mutual(t, ours, t.TempDir()), mutual(t, others, t.TempDir())
	for name, tc := range map[string]struct {
		server, client *tls.Config
		want           bool
	}{
		"both of ours":               {server.Server(), client.Client(), true},
		"a stranger calls":           {server.Server(), stranger.Client(), false},
		"a stranger is called":       {stranger.Server(), client.Client(), false},
		"someone without a name":     {server.Server(), &tls.Config{InsecureSkipVerify: true}, false},
		"ours under another address": {server.Server(), named(client.Client(), "elsewhere"), false},
	} {
		if err := greet(t, tc.server, tc.client); (err == nil) != tc.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func named(c *tls.Config, name string) *tls.Config {
	c.ServerName = name
	return c
}

func TestCertificatesRotateWithoutARestart(t *testing.T) {
	first, second := newAuthority(t), newAuthority(t)
	serverDir, clientDir := t.TempDir(), t.TempDir()
	server, client := mutual(t, first, serverDir), mutual(t, first, clientDir)
	now := time.Now()
	server.now, client.now = func() time.Time { return now }, func() time.Time { return now }
	second.issue(serverDir)
	second.issue(clientDir)
	for _, dir := range []string{serverDir, clientDir} { // file systems whose clock is coarse
		for _, name := range []string{"tls.crt", "tls.key", "ca.crt"} {
			if err := os.Chtimes(filepath.Join(dir, name), now, now.Add(time.Second)); err != nil {
				t.Fatal(err)
			}
		}
	}
	fresh := mutual(t, second, t.TempDir())
	if err := greet(t, server.Server(), fresh.Client()); err == nil {
		t.Error("the new authority is taken before anybody looked at the files")
	}
	now = now.Add(checkInterval)
	if err := greet(t, server.Server(), fresh.Client()); err != nil {
		t.Errorf("after the files changed: %v", err)
	}
	if err := greet(t, fresh.Server(), client.Client()); err != nil {
		t.Errorf("after the files changed: %v", err)
	}
}

func TestWrongFilesAreNamed(t *testing.T) {
	dir := t.TempDir()
	cert, key, ca := newAuthority(t).issue(dir)
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ cert, key, ca, want string }{
		"no such file":          {cert, key, dir + "/none", "expected readable files"},
		"a key that is none":    {cert, text, ca, "INTERLINK_TLS_CERT and INTERLINK_TLS_KEY"},
		"an authority of words": {cert, key, text, "INTERLINK_TLS_CA: expected certificates in PEM"},
	} {
		if _, err := NewMutual(tc.cert, tc.key, tc.ca); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if pool, err := Roots("X", ""); pool != nil || err != nil {
		t.Errorf("without a file: %v, %v", pool, err)
	}
}
