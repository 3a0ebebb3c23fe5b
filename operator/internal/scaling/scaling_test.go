package scaling

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/edumatrix/interlink/operator/api/v1alpha1"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// gateways is a fleet that has been watched for an hour, with these sockets.
func gateways(sockets ...int32) Gateways {
	g := Gateways{Now: noon, Current: int32(len(sockets)), Memory: Memory{Began: noon.Add(-time.Hour), LastChange: noon.Add(-30 * time.Minute)}}
	g.Spec.Scaling = v1alpha1.GatewayScaling{Mode: v1alpha1.ScalingConnections, Connections: v1alpha1.ConnectionScaling{
		MinReplicas: 2, MaxReplicas: 10, TargetPerPod: 100, MaxPerPod: 150, TolerancePercent: 10, MinCoveragePercent: 80,
		ScaleUp: v1alpha1.ScaleRate{MaxPods: 3, PeriodSeconds: 30}, ScaleDown: v1alpha1.ScaleDown{StabilizationSeconds: 900, PeriodSeconds: 300}}}
	g.Spec.Drain.SpreadSeconds = 60
	for i, n := range sockets {
		g.Pods = append(g.Pods, Pod{Name: fmt.Sprint("p", i), Ready: true, Answered: true, Sockets: n})
	}
	return g
}

func (g Gateways) with(change func(*Gateways)) Gateways { change(&g); return g }

func TestGatewaysFollowConnections(t *testing.T) {
	for name, tc := range map[string]struct {
		in        Gateways
		want      int32
		wantLimit Limit
	}{
		"on target nothing changes":                 {gateways(100, 100, 95), 3, WithinTolerance},
		"more sockets, more pods, at once":          {gateways(150, 150, 150), 5, Free},
		"no more than so many a period":             {gateways(150, 150, 150, 150, 150).with(func(g *Gateways) { g.Pods[0].Sockets = 600 }), 8, ScaleUpRate},
		"not twice within a period":                 {gateways(150, 150, 150).with(func(g *Gateways) { g.Memory.LastChange = noon.Add(-10 * time.Second) }), 3, ScaleUpRate},
		"never above the maximum":                   {gateways(150, 150, 150, 150, 150, 150, 150, 150, 150, 150), 10, AtMaximum},
		"never below the minimum":                   {gateways(0, 0), 2, AtMinimum},
		"a new fleet begins with the minimum":       {gateways().with(func(g *Gateways) { g.Current = 1 }), 2, AtMinimum},
		"fewer sockets, one pod goes":               {gateways(40, 40, 40, 40), 3, ScaleDownPeriod},
		"a pod that does not answer counts as full": {gateways(100, 100, 0).with(func(g *Gateways) { g.Pods[2].Answered = false }), 3, WithinTolerance},
		"nothing goes while too few answer":         {gateways(40, 40, 40, 40, 0, 0).with(func(g *Gateways) { g.Pods[4].Answered, g.Pods[5].Answered = false, false; g.Pods[0].Sockets = 1 }), 6, MetricsUnavailable},
		"blind, nothing changes":                    {gateways(0, 0, 0).with(func(g *Gateways) { blind(g) }), 3, MetricsUnavailable},
		"nothing goes beside a rollout":             {gateways(40, 40, 40, 40).with(func(g *Gateways) { g.RollingOut = true }), 4, RolloutInProgress},
		"nothing goes while another drains":         {gateways(40, 40, 40, 40).with(func(g *Gateways) { g.Pods = append(g.Pods, Pod{Name: "x", Terminating: true, Answered: true}) }), 4, Draining},
		"sockets of a terminating pod count": {gateways(100, 100).with(func(g *Gateways) {
			g.Pods = append(g.Pods, Pod{Name: "x", Terminating: true, Answered: true, Sockets: 100})
		}), 3, Free},
		"what was needed a while ago is kept":         {gateways(40, 40, 40, 40).with(func(g *Gateways) { g.Memory.Steps = []Step{{At: noon.Add(-10 * time.Minute), Recommended: 4}} }), 4, ScaleDownStabilized},
		"what was needed long ago is not":             {gateways(40, 40, 40, 40).with(func(g *Gateways) { g.Memory.Steps = []Step{{At: noon.Add(-20 * time.Minute), Recommended: 4}} }), 3, ScaleDownPeriod},
		"an operator that just began takes none away": {gateways(40, 40, 40, 40).with(func(g *Gateways) { g.Memory = Memory{} }), 4, ScaleDownStabilized},
		"one pod a period":                            {gateways(40, 40, 40, 40).with(func(g *Gateways) { g.Memory.LastChange = noon.Add(-2 * time.Minute) }), 4, ScaleDownPeriod},
		"nothing goes while all are about to return": {gateways(20, 20, 20, 20).with(func(g *Gateways) {
			g.Memory.Steps = []Step{{At: noon.Add(-30 * time.Second), Recommended: 2, Sockets: 400}}
		}), 4, ReconnectStorm},
		"fixed: up at once":                            {gateways(1, 1).with(func(g *Gateways) { fixed(g, 6) }), 6, Free},
		"fixed: down one after the other":              {gateways(1, 1, 1, 1).with(func(g *Gateways) { fixed(g, 1) }), 3, Free},
		"fixed: replicas and resources at once, first": {gateways(1, 1, 1, 1).with(func(g *Gateways) { fixed(g, 1); g.RollingOut = true }), 4, RolloutInProgress},
		"external: as the scale subresource says":      {gateways(1, 1).with(func(g *Gateways) { fixed(g, 4); g.Spec.Scaling.Mode = v1alpha1.ScalingExternal }), 4, Free},
		"down to none, if somebody wants that":         {gateways(1).with(func(g *Gateways) { fixed(g, 0) }), 0, Free},
	} {
		t.Run(name, func(t *testing.T) {
			p := tc.in.Decide()
			if p.Replicas != tc.want || p.Limit != tc.wantLimit {
				t.Errorf("%d (%q), want %d (%q); plan %+v", p.Replicas, p.Limit, tc.want, tc.wantLimit, p)
			}
		})
	}
}

func blind(g *Gateways) {
	for i := range g.Pods {
		g.Pods[i].Answered = false
	}
}

func fixed(g *Gateways, n int32) {
	g.Spec.Scaling.Mode, g.Spec.Replicas = v1alpha1.ScalingFixed, n
}

func TestTheEmptiestGoesFirst(t *testing.T) {
	g := gateways(30, 10, 20, 10, 5)
	g.Pods[4].Answered = false
	g.Pods[3].Zone, g.Pods[2].Zone = "b", "b"
	g.Pods = append(g.Pods, Pod{Name: "leaving", Terminating: true})
	if got, want := g.Decide().Victims, []string{"p1", "p3", "p2", "p0", "p4"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestADayOfGatewaysAsATranscript(t *testing.T) {
	g := gateways(100, 100)
	g.Memory = Memory{}
	var numbers []int32
	for minute := range 120 {
		total := int32(200)
		if minute >= 10 && minute < 40 {
			total = 700
		}
		g.Now, g.Pods = noon.Add(time.Duration(minute)*time.Minute), nil
		for i := range g.Current {
			g.Pods = append(g.Pods, Pod{Name: fmt.Sprint(i), Ready: true, Answered: true, Sockets: total / g.Current})
		}
		p := g.Decide()
		if len(numbers) == 0 || numbers[len(numbers)-1] != p.Replicas {
			numbers = append(numbers, p.Replicas)
		}
		g.Current, g.Memory = p.Replicas, p.Memory
	}
	if want := []int32{2, 5, 7, 6, 5, 4, 3}; !slices.Equal(numbers, want) {
		t.Errorf("%v, want %v", numbers, want)
	}
}

func TestRoutersFollowLag(t *testing.T) {
	lag := func(n int64) *int64 { return &n }
	old := Memory{Began: noon.Add(-time.Hour)}
	for name, tc := range map[string]struct {
		in        Routers
		want      int32
		wantLimit Limit
	}{
		"as many as the lag asks for":          {Routers{Current: 2, Lag: lag(4500), Partitions: 12}, 5, Free},
		"no more than partitions":              {Routers{Current: 2, Lag: lag(90000), Partitions: 4}, 4, AtMaximum},
		"no more than the maximum":             {Routers{Current: 2, Lag: lag(90000), Partitions: 24}, 8, AtMaximum},
		"unknown lag changes nothing":          {Routers{Current: 5, Partitions: 12}, 5, MetricsUnavailable},
		"unknown partitions change nothing":    {Routers{Current: 5, Lag: lag(0)}, 5, MetricsUnavailable},
		"without lag slowly down":              {Routers{Current: 5, Lag: lag(0), Partitions: 12, Memory: old}, 4, Free},
		"not down beside a rollout":            {Routers{Current: 5, Lag: lag(0), Partitions: 12, Memory: old, RollingOut: true}, 5, RolloutInProgress},
		"not down when it was needed just now": {Routers{Current: 5, Lag: lag(0), Partitions: 12, Memory: Memory{Began: old.Began, Steps: []Step{{At: noon.Add(-time.Minute), Recommended: 5}}}}, 5, ScaleDownStabilized},
		"an operator that just began waits":    {Routers{Current: 5, Lag: lag(0), Partitions: 12}, 5, ScaleDownStabilized},
		"fewer than the minimum is put right":  {Routers{Current: 1}, 2, Free},
	} {
		t.Run(name, func(t *testing.T) {
			tc.in.Now = noon
			tc.in.Spec.Scaling = v1alpha1.RouterScaling{Mode: v1alpha1.ScalingKafkaLag, KafkaLag: v1alpha1.LagScaling{MinReplicas: 2, MaxReplicas: 8, TargetLagPerReplica: 1000, StabilizationSeconds: 600}}
			if p := tc.in.Decide(); p.Replicas != tc.want || p.Limit != tc.wantLimit {
				t.Errorf("%d (%q), want %d (%q)", p.Replicas, p.Limit, tc.want, tc.wantLimit)
			}
		})
	}
}
