package launch

import (
	"errors"
	"sync"
)

// readiness is what must be well for the process to be ready.
type readiness struct {
	mu    sync.Mutex // guards parts
	parts []part
}

type part struct {
	name  string
	ready func() error
}

// needs adds a part.
func (r *readiness) needs(name string, ready func() error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parts = append(r.parts, part{name, ready})
}

// err is nil when every part is ready, else what is missing. Before the first part is there, nothing is.
func (r *readiness) err() error {
	r.mu.Lock()
	parts := r.parts
	r.mu.Unlock()
	if len(parts) == 0 {
		return errors.New("starting")
	}
	var errs []error
	for _, p := range parts {
		if err := p.ready(); err != nil {
			errs = append(errs, named(p.name, err))
		}
	}
	return errors.Join(errs...)
}
