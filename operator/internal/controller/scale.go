package controller

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/edumatrix/interlink/operator/internal/render"
	"github.com/edumatrix/interlink/operator/internal/scaling"
)

// first is the deletion cost of the pod that is to go: everybody else's is 0, or in a rollout its sockets.
const first = "-1000000"

// scale decides how many pods there are and writes it through the scale subresource, so that no applied template ever
// owns replicas.
func (r *Reconciler) scale(ctx context.Context, v *view) error {
	return errors.Join(r.scaleGateways(ctx, v), r.scaleRouters(ctx, v), r.scaleTo(ctx, v, render.Presence, v.resource.Spec.Presence.Replicas))
}

func (r *Reconciler) scaleGateways(ctx context.Context, v *view) error {
	d := v.deployments[render.Gateway]
	if d == nil {
		return nil // it was applied just now, the next look is soon
	}
	in := scaling.Gateways{Now: v.now, Current: replicas(d), RollingOut: rollingOut(d), Spec: v.resource.Spec.Gateway, Memory: v.memory.gateways}
	for _, p := range v.pods[render.Gateway] {
		in.Pods = append(in.Pods, scaling.Pod{Name: p.Name, Zone: p.Spec.NodeName, Ready: ready(p.Pod), Terminating: p.terminating(), Answered: p.sample.Answered, Sockets: p.sample.Sockets})
	}
	plan := in.Decide()
	v.plan, v.memory.gateways = plan, plan.Memory
	if err := r.price(ctx, v, in.RollingOut, plan); err != nil {
		return err
	}
	if plan.Replicas != in.Current {
		r.Events.Eventf(v.resource, d, corev1.EventTypeNormal, "Scaled", "Scale", "gateways from %d to %d for %d sockets", in.Current, plan.Replicas, plan.Connections)
	}
	return r.scaleTo(ctx, v, render.Gateway, plan.Replicas)
}

// price sets what the deletion of a pod costs: just before one goes, and while a rollout picks from the old ones.
func (r *Reconciler) price(ctx context.Context, v *view, rolling bool, plan scaling.Plan) error {
	going := map[string]bool{}
	if shrink := replicas(v.deployments[render.Gateway]) - plan.Replicas; shrink > 0 {
		for _, name := range plan.Victims[:min(int(shrink), len(plan.Victims))] {
			going[name] = true
		}
	}
	var errs []error
	for _, p := range v.pods[render.Gateway] {
		want := ""
		switch {
		case p.terminating():
			continue
		case going[p.Name]:
			want = first
		case rolling && p.sample.Answered:
			want = strconv.Itoa(int(p.sample.Sockets))
		}
		if have := p.Annotations[corev1.PodDeletionCost]; have != want && !(rolling && near(have, want)) {
			errs = append(errs, r.annotate(ctx, p.Pod, corev1.PodDeletionCost, want))
		}
	}
	return errors.Join(errs...)
}

// near says whether two costs differ by so little that writing it is not worth a request.
func near(a, b string) bool {
	x, err := strconv.Atoi(a)
	y, err2 := strconv.Atoi(b)
	return err == nil && err2 == nil && x >= 0 && max(x, y)-min(x, y) <= 10+max(x, y)/5
}

func (r *Reconciler) scaleRouters(ctx context.Context, v *view) error {
	d := v.deployments[render.Router]
	if d == nil {
		return nil
	}
	in := scaling.Routers{Now: v.now, Current: replicas(d), RollingOut: rollingOut(d), Spec: v.resource.Spec.Router, Memory: v.memory.routers}
	in.Lag, in.Partitions = v.routerLag()
	plan := in.Decide()
	v.memory.routers = plan.Memory
	return r.scaleTo(ctx, v, render.Router, plan.Replicas)
}

// routerLag is what all routers have not read yet; nil if one of them does not say.
func (v *view) routerLag() (lag *int64, partitions int32) {
	total, known := int64(0), false
	for _, p := range v.pods[render.Router] {
		if p.terminating() {
			continue
		}
		if !p.sample.Answered || p.sample.Lag == nil {
			return nil, partitions
		}
		total, known = total+*p.sample.Lag, true
		partitions = max(partitions, p.sample.Partitions)
	}
	if !known || partitions == 0 {
		return nil, partitions
	}
	return &total, partitions
}

func (r *Reconciler) scaleTo(ctx context.Context, v *view, c render.Component, n int32) error {
	d := v.deployments[c]
	if d == nil || replicas(d) == n {
		return nil
	}
	scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: n}}
	scale.Name, scale.Namespace = d.Name, d.Namespace
	scale.ResourceVersion = d.ResourceVersion // decided by what was seen: not over somebody's later change
	if err := r.Client.SubResource("scale").Update(ctx, d.DeepCopy(), client.WithSubResourceBody(scale)); err != nil {
		return fmt.Errorf("scale %s: %w", c, err)
	}
	return nil
}

func replicas(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

// rollingOut says whether pods of an older template are there, or the Deployment has not been looked at.
func rollingOut(d *appsv1.Deployment) bool {
	s := d.Status
	return s.ObservedGeneration < d.Generation || s.UpdatedReplicas < s.Replicas || s.UpdatedReplicas < replicas(d)
}

func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
