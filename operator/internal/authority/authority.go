// Package authority owns the certificates that pods show each other where no cert-manager issues them: an authority of
// the resource's own and one certificate a component. Pure but for randomness; the clock is given.
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/edumatrix/interlink/operator/internal/keyring"
)

// backdate covers clocks that differ.
const backdate = 5 * time.Minute

// New makes an authority: its certificate and key in one PEM text.
func New(name string, now time.Time, life time.Duration) (string, error) {
	t, err := template(name, now, life)
	if err != nil {
		return "", err
	}
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", fmt.Errorf("authority: %w", err)
	}
	cert, private, err := sign(t, t, key, key)
	return cert + private, err
}

// Issue signs a certificate for names by an authority that New made.
func Issue(authority string, names []string, now time.Time, life time.Duration) (cert, key string, err error) {
	by, err := tls.X509KeyPair([]byte(authority), []byte(authority))
	if err != nil {
		return "", "", fmt.Errorf("authority: %w", err)
	}
	t, err := template(names[0], now, life)
	if err != nil {
		return "", "", err
	}
	if t.NotAfter.After(by.Leaf.NotAfter) {
		t.NotAfter = by.Leaf.NotAfter
	}
	t.DNSNames, t.KeyUsage = names, x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", fmt.Errorf("authority: %w", err)
	}
	return sign(t, by.Leaf, private, by.PrivateKey)
}

func template(name string, now time.Time, life time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-backdate), NotAfter: now.Add(life)}, nil
}

func sign(t, parent *x509.Certificate, key *ecdsa.PrivateKey, by any) (cert, private string, err error) {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, &key.PublicKey, by)
	if err != nil {
		return "", "", fmt.Errorf("authority: %w", err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", fmt.Errorf("authority: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})), nil
}

// Certificate is the first of a PEM text.
func Certificate(text string) (*x509.Certificate, error) {
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
	return nil, errors.New("authority: no certificate")
}

// Bundle is the certificates, without keys, of authorities.
func Bundle(authorities []string) (string, error) {
	out := ""
	for _, a := range authorities {
		c, err := Certificate(a)
		if err != nil {
			return "", err
		}
		out += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return out, nil
}

// ID names an authority or a certificate as pods do; empty if there is none in text.
func ID(text string) string {
	c, err := Certificate(text)
	if err != nil {
		return ""
	}
	return keyring.ID(string(c.Raw))
}

// Good says whether a certificate is of this authority, for these names, and has a third of its life before it.
func Good(cert, authority string, names []string, now time.Time) bool {
	c, err := Certificate(cert)
	if err != nil {
		return false
	}
	a, err := Certificate(authority)
	if err != nil || c.CheckSignatureFrom(a) != nil || !slices.Equal(c.DNSNames, names) {
		return false
	}
	return Left(c, now) > 1.0/3
}

// Left is the share of a certificate's life that is still to come.
func Left(c *x509.Certificate, now time.Time) float64 {
	return float64(c.NotAfter.Sub(now)) / float64(c.NotAfter.Sub(c.NotBefore))
}
