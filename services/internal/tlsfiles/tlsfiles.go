// Package tlsfiles owns the certificates that settings name as files.
package tlsfiles

import (
	"crypto/x509"
	"fmt"
	"os"
)

// Roots reads the certificates that others' are checked against; without a file nil, which means the system's. setting
// is the name for complaints.
func Roots(setting, file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: expected a readable file: %w", setting, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("%s: expected certificates in PEM, %s has none", setting, file)
	}
	return pool, nil
}
