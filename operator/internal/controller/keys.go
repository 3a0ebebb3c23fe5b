package controller

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/edumatrix/interlink/operator/api/v1alpha1"
	"github.com/edumatrix/interlink/operator/internal/keyring"
	"github.com/edumatrix/interlink/operator/internal/render"
)

// annotationRotate with the name of a ring asks for a rotation when its value changes.
const annotationRotate = "realtime.edumatrix.io/rotate-"

// stateKey holds, in a Secret of ours, how its rings came to be as they are.
const stateKey = "state.json"

// source is where a ring's keys come from.
type source struct {
	refs    []v1alpha1.KeyRef // current, previous; empty for a managed key
	fields  []string
	managed *v1alpha1.ManagedKey
	overlap time.Duration
	outside bool
	readers []render.Component
}

func hours(n int32) time.Duration { return time.Duration(n) * time.Hour }

// sourceOf says where the keys of a ring come from.
func sourceOf(s *v1alpha1.RealtimeGatewaySpec, ring string) source {
	gateways := []render.Component{render.Gateway}
	pair := func(field string, overlap int32, current v1alpha1.KeyRef, previous *v1alpha1.KeyRef) source {
		out := source{refs: []v1alpha1.KeyRef{current}, fields: []string{field + ".current"}, overlap: hours(overlap), readers: gateways}
		if previous != nil {
			out.refs, out.fields = append(out.refs, *previous), append(out.fields, field+".previous")
		}
		return out
	}
	switch a := s.Auth; ring {
	case render.RingNextAuth:
		return pair("auth.nextAuth", a.NextAuth.OverlapHours, *a.NextAuth.Current, a.NextAuth.Previous)
	case render.RingDerived:
		return source{refs: []v1alpha1.KeyRef{*a.NextAuth.DerivedKey}, fields: []string{"auth.nextAuth.derivedKey"}, overlap: hours(a.NextAuth.OverlapHours), readers: gateways}
	case render.RingJWT:
		return pair("auth.jwt", a.JWT.OverlapHours, a.JWT.Current, a.JWT.Previous)
	case render.RingAPI:
		out := source{overlap: hours(a.InternalAPIKey.OverlapHours), outside: true, readers: []render.Component{render.Gateway, render.Router}}
		if m := a.InternalAPIKey.Managed; m != nil {
			out.managed, out.overlap = m, hours(m.OverlapHours)
		} else {
			out.refs, out.fields = []v1alpha1.KeyRef{*a.InternalAPIKey.Secret}, []string{"auth.internalApiKey.secret"}
		}
		return out
	default:
		return source{managed: &a.CursorKey, overlap: hours(a.CursorKey.OverlapHours), readers: gateways}
	}
}

// rotate takes each ring a step further, and writes the keys for pods and callers.
func (r *Reconciler) rotate(ctx context.Context, v *view) error {
	name := render.KeysSecret(v.resource.Name)
	secret, ours, err := r.own(ctx, v, name)
	if err != nil || !ours {
		return err
	}
	states := map[string]keyring.Ring{}
	if raw := secret.Data[stateKey]; raw != nil {
		if err := json.Unmarshal(raw, &states); err != nil {
			return fmt.Errorf("state in Secret %s: %s: %w", name, stateKey, err)
		}
	}
	data := map[string][]byte{}
	for _, ring := range render.Rings(&v.resource.Spec) {
		state := states[ring]
		state.Keys = split(string(secret.Data[ring]))
		next, report, ok, err := r.step(ctx, v, ring, state)
		if err != nil {
			return err
		}
		if !ok && len(state.Keys) == 0 {
			continue
		}
		states[ring], data[ring] = next, []byte(strings.Join(next.Keys, ","))
		v.status.Keys = append(v.status.Keys, keyStatus(ring, next, report))
		if report.Changed != "" {
			r.Events.Eventf(v.resource, nil, corev1.EventTypeNormal, "Key"+report.Changed, "Rotate", "key ring %s: %s", ring, strings.Join(append([]string{report.Current}, report.Next, report.Previous), " "))
		}
		if ring == render.RingAPI && v.resource.Spec.Auth.InternalAPIKey.Managed != nil {
			if err := r.handOut(ctx, v, next.Keys[0]); err != nil {
				return err
			}
		}
	}
	if data[stateKey], err = json.Marshal(states); err != nil {
		return fmt.Errorf("state of keys: %w", err)
	}
	v.digest(data)
	return r.keep(ctx, v, secret, data)
}

// step plans one ring; ok is false when the Secret that it is made of is missing.
func (r *Reconciler) step(ctx context.Context, v *view, ring string, state keyring.Ring) (keyring.Ring, keyring.Report, bool, error) {
	from := sourceOf(&v.resource.Spec, ring)
	in := keyring.Input{Now: v.now, Overlap: from.overlap, Outside: from.outside, Pods: v.reports(ring, from.readers...),
		Asked: v.resource.Annotations[annotationRotate+ring]}
	if from.managed != nil {
		in.Fresh = fresh
		if from.managed.Rotation == v1alpha1.RotationScheduled {
			in.Every = hours(from.managed.RotationDays * 24)
		}
	}
	for i, ref := range from.refs {
		text, ok, err := r.value(ctx, v, ref, from.fields[i])
		if err != nil {
			return state, keyring.Report{}, false, err
		}
		if ok {
			in.Wanted = append(in.Wanted, split(text)...)
			continue
		}
		if len(state.Keys) == 0 {
			return state, keyring.Report{}, false, nil
		}
		in.Wanted, in.Unknown = state.Keys, true
		break
	}
	next, report := keyring.Plan(state, in)
	return next, report, true, nil
}

// reports is what the pods that read a ring say about it.
func (v *view) reports(ring string, readers ...render.Component) []keyring.Pod {
	var out []keyring.Pod
	for _, c := range readers {
		for _, p := range v.pods[c] {
			if p.terminating() {
				continue
			}
			out = append(out, keyring.Pod{Name: p.Name, Answered: p.sample.Answered, Loaded: p.sample.Keys[ring], LastUse: p.sample.LastUse[ring]})
		}
	}
	return out
}

func fresh() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func split(text string) []string {
	var out []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" && !slices.Contains(out, part) {
			out = append(out, part)
		}
	}
	return out
}

func keyStatus(ring string, state keyring.Ring, report keyring.Report) v1alpha1.KeyStatus {
	at := func(t time.Time) *metav1.Time {
		if t.IsZero() {
			return nil
		}
		return &metav1.Time{Time: t.Truncate(time.Second)}
	}
	return v1alpha1.KeyStatus{Name: ring, Phase: string(state.Phase), CurrentID: report.Current, NextID: report.Next, PreviousID: report.Previous,
		Since: at(state.Since), PreviousLastUsed: at(report.LastUse), PreviousUsedAt: report.UsedAt, WaitingFor: report.WaitingFor, NextRotationAt: at(report.NextRotation)}
}

// handOut writes the managed API key for callers.
func (r *Reconciler) handOut(ctx context.Context, v *view, key string) error {
	secret, ours, err := r.own(ctx, v, render.CallerSecret(v.resource.Name))
	if err != nil || !ours {
		return err
	}
	return r.keep(ctx, v, secret, map[string][]byte{"key": []byte(key)})
}

// own reads a Secret that the operator makes; an empty one if there is none. One of somebody else is never taken over.
func (r *Reconciler) own(ctx context.Context, v *view, name string) (*corev1.Secret, bool, error) {
	s, err := r.secret(ctx, v, name)
	if err != nil {
		return nil, false, err
	}
	if s == nil {
		return &corev1.Secret{ObjectMeta: render.ObjectMeta(v.resource, name, "")}, true, nil
	}
	if !metav1.IsControlledBy(s, v.resource) {
		v.complain("SecretNotOurs", "there is a Secret %s that the operator has not made; it is left alone, rename or remove it", name)
		return nil, false, nil
	}
	return s.DeepCopy(), true, nil
}

// keep writes a Secret of ours if it is another. The resource version guards against a second operator.
func (r *Reconciler) keep(ctx context.Context, v *view, s *corev1.Secret, data map[string][]byte) error {
	if equality.Semantic.DeepEqual(s.Data, data) {
		return nil
	}
	s.Data = maps.Clone(data)
	var err error
	if s.ResourceVersion == "" {
		err = r.Client.Create(ctx, s)
	} else {
		err = r.Client.Update(ctx, s)
	}
	if err != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("write Secret %s: %w", s.Name, err)
	}
	return err
}
