package attach

import (
	"context"
	"net"
	"slices"
	"strings"
	"time"
)

const (
	resolveEvery   = time.Second
	resolveTimeout = 2 * time.Second
	dnsScheme      = "dns:///"
)

// resolver turns targets into addresses. A name that can't be looked up keeps its last answer.
type resolver struct {
	targets []string
	last    map[string][]string
	lookup  func(ctx context.Context, host string) ([]string, error)
}

func newResolver(targets []string) *resolver {
	return &resolver{targets: targets, last: map[string][]string{}, lookup: net.DefaultResolver.LookupHost}
}

func (r *resolver) addresses(ctx context.Context) []string {
	var out []string
	for _, t := range r.targets {
		name, isName := strings.CutPrefix(t, dnsScheme)
		if !isName {
			out = append(out, t)
			continue
		}
		out = append(out, r.resolve(ctx, name)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (r *resolver) resolve(ctx context.Context, name string) []string {
	host, port, err := net.SplitHostPort(name)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	found, err := r.lookup(ctx, host)
	if err != nil {
		return r.last[name]
	}
	out := make([]string, len(found))
	for i, a := range found {
		out[i] = net.JoinHostPort(a, port)
	}
	r.last[name] = out
	return out
}
