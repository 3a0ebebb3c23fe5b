//go:build !unix

package broker

import "os"

// lockFile only opens the file: these systems refuse to open a log twice by themselves.
func lockFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
}
