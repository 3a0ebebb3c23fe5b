// Package scaling owns how many pods there should be. It is pure: sockets, lag, time and what was decided before are
// given. Idle sockets use no CPU, so gateways are counted in connections; an operator that sees nothing does nothing.
package scaling

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/edumatrix/interlink/operator/api/v1alpha1"
)

// Limit is why the number is not what load asks for. The values are a closed set, status and metrics show them.
type Limit string

// Why a number is held.
const (
	Free                Limit = ""
	AtMaximum           Limit = "AtMaximum"
	AtMinimum           Limit = "AtMinimum"
	WithinTolerance     Limit = "WithinTolerance"
	ScaleUpRate         Limit = "ScaleUpRate"
	ScaleDownStabilized Limit = "ScaleDownStabilized"
	ScaleDownPeriod     Limit = "ScaleDownPeriod"
	RolloutInProgress   Limit = "RolloutInProgress"
	Draining            Limit = "Draining"
	MetricsUnavailable  Limit = "MetricsUnavailable"
	ReconnectStorm      Limit = "ReconnectStorm"
)

// Pod is one gateway as it is seen.
type Pod struct {
	Name        string
	Zone        string
	Ready       bool
	Terminating bool
	Answered    bool
	Sockets     int32
}

// Memory is what a planner has to remember. It may be lost: then nothing shrinks until it is known again.
type Memory struct {
	Began      time.Time // of remembering
	LastChange time.Time // of the number
	Steps      []Step    // newest last
}

// Step is what was seen and recommended once.
type Step struct {
	At          time.Time
	Recommended int32
	Sockets     int32
}

// remember adds a step and drops what is older than keep.
func (m *Memory) remember(s Step, keep time.Duration) {
	if m.Began.IsZero() {
		m.Began, m.LastChange = s.At, s.At
	}
	m.Steps = slices.DeleteFunc(m.Steps, func(old Step) bool { return s.At.Sub(old.At) > keep })
	m.Steps = append(m.Steps, s)
}

func (m *Memory) highest(now time.Time, window time.Duration) int32 {
	out := int32(0)
	for _, s := range m.Steps {
		if now.Sub(s.At) <= window {
			out = max(out, s.Recommended)
		}
	}
	return out
}

// storm: a fifth of the sockets went within the last minute, they are about to come back.
func (m *Memory) storm(now time.Time, sockets int32) bool {
	for _, s := range m.Steps {
		if now.Sub(s.At) <= time.Minute && float64(sockets) < 0.8*float64(s.Sockets) && s.Sockets-sockets > 10 {
			return true
		}
	}
	return false
}

// Gateways is the input of a plan for gateways.
type Gateways struct {
	Now        time.Time
	Pods       []Pod
	Current    int32 // the Deployment's
	RollingOut bool
	Spec       v1alpha1.GatewaySpec
	Memory     Memory
}

// Plan is a number, why it is not another, and who goes if it is lower.
type Plan struct {
	Replicas                            int32
	Recommended                         int32
	Limit                               Limit
	Victims                             []string // emptiest first, all that may go
	Connections, Busiest                int32
	Coverage                            int32 // percent
	Memory                              Memory
	ready, terminating, expected, heard int32
}

// Decide is the number of gateways.
func (g Gateways) Decide() Plan {
	p := Plan{Memory: g.Memory, Coverage: 100}
	p.Memory.Steps = slices.Clone(g.Memory.Steps)
	p.count(g)
	switch g.Spec.Scaling.Mode {
	case v1alpha1.ScalingConnections:
		p.byConnections(g)
	default:
		p.fixed(g)
	}
	p.Victims = victims(g.Pods)
	return p
}

func (p *Plan) count(g Gateways) {
	for _, pod := range g.Pods {
		if pod.Terminating {
			p.terminating++
		} else if pod.Ready {
			p.ready++
		}
		if !pod.Ready && !pod.Terminating {
			continue // it has no sockets yet
		}
		p.expected++
		if pod.Answered {
			p.heard++
			p.Connections += pod.Sockets
			p.Busiest = max(p.Busiest, pod.Sockets)
		}
	}
	if p.expected > 0 {
		p.Coverage = 100 * p.heard / p.expected
	}
}

// total counts the target for each that does not answer: never fewer than there may be.
func (p *Plan) total(target int32) int32 { return p.Connections + (p.expected-p.heard)*target }

func (p *Plan) byConnections(g Gateways) {
	c := g.Spec.Scaling.Connections
	p.Recommended = max(over(p.total(c.TargetPerPod), c.TargetPerPod), over(p.total(c.TargetPerPod), c.MaxPerPod)+1)
	if p.total(c.TargetPerPod) == 0 {
		p.Recommended = 0
	}
	within := g.Current > 0 && math.Abs(float64(p.total(c.TargetPerPod))/float64(g.Current)/float64(c.TargetPerPod)-1) <= float64(c.TolerancePercent)/100
	if within {
		p.Recommended = g.Current
	}
	wanted := min(max(p.Recommended, c.MinReplicas), c.MaxReplicas)
	switch {
	case p.Recommended > c.MaxReplicas:
		p.Limit = AtMaximum
	case p.Recommended < c.MinReplicas:
		p.Limit = AtMinimum
	case within:
		p.Limit = WithinTolerance
	}
	window := time.Duration(c.ScaleDown.StabilizationSeconds) * time.Second
	p.Memory.remember(Step{At: g.Now, Recommended: wanted, Sockets: p.Connections}, max(window, 2*time.Minute))
	switch {
	case g.Current < c.MinReplicas:
		p.change(g, c.MinReplicas, p.Limit)
	case p.expected > 0 && p.heard == 0:
		p.hold(g, MetricsUnavailable)
	case wanted > g.Current:
		p.up(g, wanted, c.ScaleUp)
	case wanted < g.Current:
		p.down(g, window, time.Duration(c.ScaleDown.PeriodSeconds)*time.Second, c.MinCoveragePercent)
	default:
		p.Replicas = g.Current
	}
}

func (p *Plan) change(g Gateways, to int32, limit Limit) {
	if to != g.Current {
		p.Memory.LastChange = g.Now
	}
	p.Replicas, p.Limit = to, limit
}

func (p *Plan) up(g Gateways, wanted int32, rate v1alpha1.ScaleRate) {
	period := time.Duration(rate.PeriodSeconds) * time.Second
	if recent := g.Now.Sub(p.Memory.LastChange) < period; recent && !p.Memory.LastChange.Equal(p.Memory.Began) {
		p.hold(g, ScaleUpRate)
		return
	}
	if most := g.Current + rate.MaxPods; wanted > most {
		p.change(g, most, ScaleUpRate)
		return
	}
	p.change(g, wanted, p.Limit)
}

func (p *Plan) hold(g Gateways, why Limit) { p.Replicas, p.Limit = g.Current, why }

func (p *Plan) down(g Gateways, window, period time.Duration, coverage int32) {
	pause := time.Duration(g.Spec.Drain.SpreadSeconds+30) * time.Second
	switch {
	case p.Coverage < coverage:
		p.hold(g, MetricsUnavailable)
	case g.RollingOut:
		p.hold(g, RolloutInProgress)
	case p.terminating > 0:
		p.hold(g, Draining)
	case p.Memory.highest(g.Now, window) >= g.Current || g.Now.Sub(p.Memory.Began) < window:
		p.hold(g, ScaleDownStabilized)
	case p.Memory.storm(g.Now, p.Connections):
		p.hold(g, ReconnectStorm)
	case g.Now.Sub(p.Memory.LastChange) < max(pause, period):
		p.hold(g, ScaleDownPeriod)
	default:
		p.change(g, g.Current-1, ScaleDownPeriod)
	}
}

// fixed follows the number of the spec, up at once, down a drain at a time and never beside a rollout.
func (p *Plan) fixed(g Gateways) {
	p.Recommended = g.Spec.Replicas
	p.Memory.remember(Step{At: g.Now, Recommended: p.Recommended, Sockets: p.Connections}, time.Minute)
	switch {
	case g.Spec.Replicas >= g.Current:
		p.change(g, g.Spec.Replicas, Free)
	case g.RollingOut:
		p.hold(g, RolloutInProgress)
	case p.terminating > 0:
		p.hold(g, Draining)
	default:
		p.change(g, g.Current-1, Free)
	}
}

// victims: who is over-represented in a zone goes only among equals; who has the fewest sockets goes first.
func victims(pods []Pod) []string {
	zones := map[string]int{}
	var live []Pod
	for _, p := range pods {
		if !p.Terminating {
			live = append(live, p)
			zones[p.Zone]++
		}
	}
	weight := func(p Pod) int32 {
		if !p.Answered {
			return math.MaxInt32 // unknown is not empty
		}
		return p.Sockets
	}
	slices.SortFunc(live, func(a, b Pod) int {
		return cmp.Or(cmp.Compare(weight(a), weight(b)), cmp.Compare(zones[b.Zone], zones[a.Zone]), cmp.Compare(a.Name, b.Name))
	})
	out := make([]string, len(live))
	for i, p := range live {
		out[i] = p.Name
	}
	return out
}

func over(total, each int32) int32 { return (total + each - 1) / each }

// Routers is the input of a plan for routers. Lag is nil when a router did not say.
type Routers struct {
	Now        time.Time
	Current    int32
	Lag        *int64
	Partitions int32 // 0: unknown
	RollingOut bool
	Spec       v1alpha1.RouterSpec
	Memory     Memory
}

// Decide is the number of routers.
func (r Routers) Decide() Plan {
	p := Plan{Memory: r.Memory, Replicas: r.Current}
	p.Memory.Steps = slices.Clone(r.Memory.Steps)
	if r.Spec.Scaling.Mode == v1alpha1.ScalingFixed {
		p.Replicas, p.Recommended = r.Spec.Replicas, r.Spec.Replicas
		return p
	}
	s := r.Spec.Scaling.KafkaLag
	if r.Current < s.MinReplicas {
		p.Replicas, p.Recommended = s.MinReplicas, s.MinReplicas
		return p
	}
	if r.Lag == nil || r.Partitions == 0 {
		p.Limit = MetricsUnavailable
		return p
	}
	asked := int32(min((*r.Lag+int64(s.TargetLagPerReplica)-1)/int64(s.TargetLagPerReplica), math.MaxInt32))
	most := max(min(s.MaxReplicas, r.Partitions), s.MinReplicas)
	p.Recommended = min(max(asked, s.MinReplicas), most)
	window := time.Duration(s.StabilizationSeconds) * time.Second
	p.Memory.remember(Step{At: r.Now, Recommended: p.Recommended}, window)
	switch {
	case p.Recommended > r.Current:
		p.Replicas = p.Recommended
	case p.Recommended == r.Current:
	case r.RollingOut:
		p.Limit = RolloutInProgress
	case p.Memory.highest(r.Now, window) >= r.Current || r.Now.Sub(p.Memory.Began) < window:
		p.Limit = ScaleDownStabilized
	default:
		p.Replicas = r.Current - 1
	}
	if asked > most {
		p.Limit = AtMaximum
	}
	return p
}
