package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Mutual is how the services of one house show each other who they are: a certificate and the authority that the
// other's must come from. The files are read again when they change, so that certificates rotate without a restart.
// Safe for use by many goroutines.
type Mutual struct {
	certFile, keyFile, caFile string
	now                       func() time.Time

	mu          sync.Mutex // guards what follows
	cert        *tls.Certificate
	roots       *x509.CertPool
	authorities [][]byte     // of roots, in DER
	stamps      [3]time.Time // of the files when they were read
	checked     time.Time
}

// checkInterval is the time between two looks at the files.
const checkInterval = 5 * time.Second

// NewMutual reads the files, so that a wrong one is an error at start.
func NewMutual(certFile, keyFile, caFile string) (*Mutual, error) {
	m := &Mutual{certFile: certFile, keyFile: keyFile, caFile: caFile, now: time.Now}
	stamps, err := m.times()
	if err != nil {
		return nil, err
	}
	if err := m.read(); err != nil {
		return nil, err
	}
	m.stamps, m.checked = stamps, m.now()
	return m, nil
}

// times are when the files were written.
func (m *Mutual) times() (out [3]time.Time, err error) {
	for i, file := range []string{m.certFile, m.keyFile, m.caFile} {
		info, err := os.Stat(file)
		if err != nil {
			return out, fmt.Errorf("INTERLINK_TLS_CERT, _KEY and _CA: expected readable files: %w", err)
		}
		out[i] = info.ModTime()
	}
	return out, nil
}

func (m *Mutual) read() error {
	cert, err := tls.LoadX509KeyPair(m.certFile, m.keyFile)
	if err != nil {
		return fmt.Errorf("INTERLINK_TLS_CERT and INTERLINK_TLS_KEY: expected a certificate and its key in PEM: %w", err)
	}
	roots, err := Roots("INTERLINK_TLS_CA", m.caFile)
	if err != nil {
		return err
	}
	m.cert, m.roots, m.authorities = &cert, roots, nil
	raw, err := os.ReadFile(m.caFile)
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		m.authorities = append(m.authorities, block.Bytes)
	}
	if err != nil {
		return fmt.Errorf("INTERLINK_TLS_CA: expected a readable file: %w", err)
	}
	return nil
}

// current is what the files hold. Files that are wrong, as they may be for a moment, leave what was there.
func (m *Mutual) current() (*tls.Certificate, *x509.CertPool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := m.now(); now.Sub(m.checked) >= checkInterval {
		m.checked = now
		if stamps, err := m.times(); err == nil && stamps != m.stamps && m.read() == nil {
			m.stamps = stamps
		}
	}
	return m.cert, m.roots
}

// Certificate is the one shown at present.
func (m *Mutual) Certificate() *x509.Certificate {
	cert, _ := m.current()
	return cert.Leaf
}

// Authorities are the certificates, in DER, that others' are checked against at present.
func (m *Mutual) Authorities() [][]byte {
	m.current()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.authorities
}

// Server is for who is called: the caller must show a certificate of the authority.
func (m *Mutual) Server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			cert, roots := m.current()
			return &tls.Config{
				MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"},
				Certificates: []tls.Certificate{*cert}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert,
			}, nil
		},
	}
}

// Client is for the caller: who is called must show a certificate of the authority for the name or address dialled.
func (m *Mutual) Client() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, _ := m.current()
			return cert, nil
		},
		// The usual check knows only roots that stay; this one is the same with those of now.
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection checks
		VerifyConnection:   m.verify,
	}
}

func (m *Mutual) verify(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the other side shows no certificate")
	}
	_, roots := m.current()
	between := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: s.ServerName, CurrentTime: m.now()})
	return err
}
