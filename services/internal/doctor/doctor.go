// Package doctor owns `interlink doctor`: what is wrong with the settings, and with what they point to, as far as it
// can be seen from here. It only looks; it changes nothing.
package doctor

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/edumatrix/interlink/services/internal/config"
)

// Level says how bad a finding is.
type Level int

// The levels, from good to bad.
const (
	Fine Level = iota
	Note       // works, but someone may be surprised
	Bad        // does not work
)

// Finding is one thing that was looked at.
type Finding struct {
	Level Level
	About string // a setting or a part: AUTH_SECRET, Kafka
	Text  string // what is so, and what to do about it
}

func fine(about, format string, args ...any) Finding {
	return Finding{Fine, about, fmt.Sprintf(format, args...)}
}

func note(about, format string, args ...any) Finding {
	return Finding{Note, about, fmt.Sprintf(format, args...)}
}

func bad(about, format string, args ...any) Finding {
	return Finding{Bad, about, fmt.Sprintf(format, args...)}
}

// Patient is what the doctor looks at.
type Patient struct {
	Settings  config.Config
	Environ   map[string]string // for the names of the Next.js side
	Container bool              // this is a container
	Client    *http.Client
	Now       func() time.Time
}

// Container reports whether this process runs in a container.
func Container(environ map[string]string) bool {
	if environ["KUBERNETES_SERVICE_HOST"] != "" {
		return true
	}
	return slices.ContainsFunc([]string{"/.dockerenv", "/run/.containerenv"}, func(file string) bool {
		_, err := os.Stat(file)
		return err == nil
	})
}

// patience bounds each look at another service.
const patience = 5 * time.Second

// Examine looks at everything, in the order in which things are best put right. It blocks for some seconds where a
// service does not answer.
func Examine(ctx context.Context, p Patient) []Finding {
	found := secrets(p)
	found = append(found, pages(p)...)
	found = append(found, places(p)...)
	for _, look := range []func(context.Context, Patient) []Finding{kafkaFindings, redisFindings, nextFindings, platformFindings, selfFindings} {
		part, cancel := context.WithTimeout(ctx, 2*patience)
		found = append(found, look(part, p)...)
		cancel()
	}
	return found
}

// Worst is the level of the worst finding.
func Worst(found []Finding) Level {
	worst := Fine
	for _, f := range found {
		worst = max(worst, f.Level)
	}
	return worst
}
