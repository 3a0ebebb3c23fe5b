//go:build !linux

package poller

import "time"

// Poller cannot be made here.
type Poller struct{}

// New returns ErrUnsupported.
func New() (*Poller, error) { return nil, ErrUnsupported }

// Add returns ErrUnsupported.
func (p *Poller) Add(int, uint64) error { return ErrUnsupported }

// Interest returns ErrUnsupported.
func (p *Poller) Interest(int, uint64, bool) error { return ErrUnsupported }

// Wait returns ErrUnsupported.
func (p *Poller) Wait([]Event, time.Time) (int, error) { return 0, ErrUnsupported }

// Wake returns ErrUnsupported.
func (p *Poller) Wake() error { return ErrUnsupported }

// Close does nothing.
func (p *Poller) Close() error { return nil }
