// Package keyring owns how keys are changed while they are in use: published to every pod, then used, and dropped when
// nobody needs them any more. It is pure; time, randomness and what pods report are given. Internal authorities are
// rotated by the same rules, each a key whose publication is the trust bundle.
//
// Invariant: what is first in a ring, and so signs, has been reported by every pod that verifies.
package keyring

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"
)

// Phase of a ring.
type Phase string

// The phases. Publishing: the last key is taken everywhere, but not used yet. Overlap: what is not first was first.
const (
	Stable     Phase = "Stable"
	Publishing Phase = "Publishing"
	Overlap    Phase = "Overlap"
)

// Ring is a list of keys, the first signs, and how it came to be so.
type Ring struct {
	Keys     []string  `json:"-"`
	Phase    Phase     `json:"phase"`
	Since    time.Time `json:"since"`    // of the phase
	Promoted time.Time `json:"promoted"` // of the first key
	Asked    string    `json:"asked,omitempty"`
}

// ID names a key without telling it: pods report the same. Eight hex digits of a SHA-256.
func ID(key string) string {
	sum := sha256.Sum256([]byte("interlink key id\x00" + key))
	return hex.EncodeToString(sum[:4])
}

// Pod is what one pod says of a ring.
type Pod struct {
	Name     string
	Answered bool
	Loaded   []string             // ids that it takes
	LastUse  map[string]time.Time // when it last saw one used
}

// Input of Plan.
type Input struct {
	Now time.Time
	// Wanted is what the resource's Secrets hold, the first to sign; nil for a managed key.
	Wanted []string
	// Unknown says that Wanted can't be read now: nothing changes until it can.
	Unknown bool
	// Fresh makes a managed key.
	Fresh func() string
	// Every is the age at which a managed key is rotated; 0: only when asked.
	Every time.Duration
	// Asked changes when somebody asks for a rotation of a managed key.
	Asked string
	// Overlap is the least time for which the old key is still taken.
	Overlap time.Duration
	// Outside says that callers hold the key, who may read it only when they start: it is dropped when none was seen
	// to use it for the overlap.
	Outside bool
	Pods    []Pod
	ID      func(key string) string // [ID]
}

// Report is what there is to say about a ring besides itself.
type Report struct {
	Current, Next, Previous string // ids
	WaitingFor              []string
	LastUse                 time.Time // of the previous key
	UsedAt                  []string  // pods that saw it used within the overlap
	NextRotation            time.Time
	Changed                 string // what just happened: Created, Published, Promoted, Dropped; else empty
}

// Plan is the ring after what is known now. At most one step at a time.
func Plan(r Ring, in Input) (Ring, Report) {
	if in.ID == nil {
		in.ID = ID
	}
	r.Keys = slices.Clone(r.Keys)
	var changed, next string
	if in.Unknown && len(r.Keys) > 0 {
		return r, in.report(r, "")
	}
	if len(r.Keys) > 0 {
		next = in.next(r)
	}
	switch {
	case len(r.Keys) == 0:
		r = Ring{Keys: wantedOr(in), Phase: Stable, Since: in.Now, Promoted: in.Now, Asked: in.Asked}
		changed = "Created"
	case next != "":
		r, changed = in.publish(r, next), "Published"
	case r.Phase == Publishing && in.Wanted != nil && in.Wanted[0] == r.Keys[0]:
		r.Keys = r.Keys[:len(r.Keys)-1] // the edit was taken back
		r.Phase, r.Since, changed = phaseOf(r.Keys), in.Now, "Dropped"
	case r.Phase == Publishing && len(in.missing(r)) == 0:
		last := len(r.Keys) - 1
		r.Keys = append([]string{r.Keys[last]}, r.Keys[:last]...)
		r.Phase, r.Since, r.Promoted, changed = Overlap, in.Now, in.Now, "Promoted"
	case r.Phase == Overlap && in.spent(r):
		r.Keys, r.Phase, r.Since, changed = r.Keys[:1], Stable, in.Now, "Dropped"
	}
	for _, k := range in.Wanted[min(1, len(in.Wanted)):] { // named by the resource, so kept as long as it is
		if !slices.Contains(r.Keys, k) && r.Phase != Publishing {
			r.Keys = append(r.Keys, k)
		}
	}
	return r, in.report(r, changed)
}

func wantedOr(in Input) []string {
	if in.Wanted != nil {
		return slices.Clone(in.Wanted)
	}
	return []string{in.Fresh()}
}

func phaseOf(keys []string) Phase {
	if len(keys) > 1 {
		return Overlap
	}
	return Stable
}

// next is a key that should be published, if there is one that is not.
func (in Input) next(r Ring) string {
	if in.Wanted != nil {
		if in.Wanted[0] == r.Keys[0] || (r.Phase == Publishing && in.Wanted[0] == r.Keys[len(r.Keys)-1]) {
			return ""
		}
		return in.Wanted[0]
	}
	if r.Phase != Stable {
		return ""
	}
	if in.Asked != r.Asked || (in.Every > 0 && in.Now.Sub(r.Promoted) >= in.Every) {
		return in.Fresh()
	}
	return ""
}

func (in Input) publish(r Ring, next string) Ring {
	if r.Phase == Publishing {
		r.Keys = r.Keys[:len(r.Keys)-1] // nobody has signed with it
	}
	r.Keys = append(slices.DeleteFunc(r.Keys, func(k string) bool { return k == next }), next)
	r.Phase, r.Since, r.Asked = Publishing, in.Now, in.Asked
	return r
}

// missing is the pods that have not reported the last key.
func (in Input) missing(r Ring) []string {
	id := in.ID(r.Keys[len(r.Keys)-1])
	var out []string
	for _, p := range in.Pods {
		if !p.Answered || !slices.Contains(p.Loaded, id) {
			out = append(out, p.Name)
		}
	}
	if len(in.Pods) == 0 {
		return []string{"any pod"}
	}
	return out
}

// spent says whether nobody needs anything but the first key.
func (in Input) spent(r Ring) bool {
	if in.Now.Sub(r.Since) < in.Overlap {
		return false
	}
	for _, p := range in.Pods {
		if !p.Answered || !slices.Contains(p.Loaded, in.ID(r.Keys[0])) {
			return false
		}
	}
	used, _ := in.uses(r)
	return !in.Outside || len(used) == 0
}

// uses is the pods that saw an old key used within the overlap, and when it was last.
func (in Input) uses(r Ring) (pods []string, last time.Time) {
	for _, p := range in.Pods {
		recent := false
		for _, k := range r.Keys[1:] {
			at := p.LastUse[in.ID(k)]
			if at.After(last) {
				last = at
			}
			recent = recent || (!at.IsZero() && in.Now.Sub(at) < max(in.Overlap, time.Minute))
		}
		if recent {
			pods = append(pods, p.Name)
		}
	}
	return pods, last
}

func (in Input) report(r Ring, changed string) Report {
	out := Report{Current: in.ID(r.Keys[0]), Changed: changed}
	switch {
	case r.Phase == Publishing:
		out.Next, out.WaitingFor = in.ID(r.Keys[len(r.Keys)-1]), in.missing(r)
	case len(r.Keys) > 1:
		out.Previous = in.ID(r.Keys[1])
		out.UsedAt, out.LastUse = in.uses(r)
	}
	if in.Wanted == nil && in.Every > 0 {
		out.NextRotation = r.Promoted.Add(in.Every)
	}
	return out
}
