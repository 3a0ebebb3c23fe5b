package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/edumatrix/interlink/operator/api/v1alpha1"
	"github.com/edumatrix/interlink/operator/internal/render"
)

// annotationKeys on a pod makes its kubelet look at mounted Secrets now and not within a minute.
const annotationKeys = "realtime.edumatrix.io/keys"

// apply has the API server hold what the resource means. The same again writes nothing.
func (r *Reconciler) apply(ctx context.Context, v *view) error {
	in := render.Input{Resource: v.resource, APIs: r.APIs, Boot: map[render.Component]string{}}
	for _, c := range render.Components() {
		boot, err := r.boot(ctx, v, c)
		if err != nil {
			return err
		}
		in.Boot[c] = boot
	}
	if v.resource.Spec.Exposure.HTTPRoute != nil && !r.APIs.HTTPRoute {
		v.complain("GatewayAPIMissing", "spec.exposure.httpRoute: the cluster has no gateway.networking.k8s.io/v1 HTTPRoute")
	}
	objects, err := render.Objects(in)
	if err != nil {
		return err
	}
	var errs []error
	for _, o := range objects {
		if err := r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner(Owner), client.ForceOwnership); err != nil {
			if meta.IsNoMatchError(err) {
				continue // an optional API went away
			}
			errs = append(errs, fmt.Errorf("apply %s %s: %w", o.GetKind(), o.GetName(), err))
		}
		// A template that was changed just now is a rollout already: nothing shrinks beside it, and nobody is told that
		// all is settled.
		if d := v.deployments[render.Component(o.GetLabels()[render.LabelComponent])]; d != nil && o.GetKind() == "Deployment" {
			d.Generation, d.ResourceVersion = o.GetGeneration(), o.GetResourceVersion()
		}
	}
	return errors.Join(append(errs, r.prune(ctx, v, in))...)
}

// prune removes what an earlier spec asked for and this one does not.
func (r *Reconciler) prune(ctx context.Context, v *view, in render.Input) error {
	var errs []error
	for _, o := range render.Unwanted(in) {
		if err := r.Client.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
			if client.IgnoreNotFound(err) != nil && !meta.IsNoMatchError(err) {
				errs = append(errs, err)
			}
			continue
		}
		if owner := ownerOf(o); owner != v.resource.UID {
			continue
		}
		if err := client.IgnoreNotFound(r.Client.Delete(ctx, o)); err != nil {
			errs = append(errs, fmt.Errorf("remove %s: %w", o.GetName(), err))
		}
	}
	return errors.Join(errs...)
}

func ownerOf(o client.Object) types.UID {
	for _, owner := range o.GetOwnerReferences() {
		if owner.Controller != nil && *owner.Controller {
			return owner.UID
		}
	}
	return ""
}

// digest adds to the sum of what pods should have reloaded; how rings came about is not of it.
func (v *view) digest(data map[string][]byte) {
	sum := sha256.New()
	sum.Write([]byte(v.keysDigest))
	for _, k := range slices.Sorted(maps.Keys(data)) {
		if k != stateKey {
			fmt.Fprintf(sum, "%s %d ", k, len(data[k]))
			sum.Write(data[k])
		}
	}
	v.keysDigest = hex.EncodeToString(sum.Sum(nil)[:8])
}

// hurryKubelets touches pods that may still hold old keys. Pods are not restarted by it.
func (r *Reconciler) hurryKubelets(ctx context.Context, v *view) error {
	if v.keysDigest == "" {
		return nil
	}
	var errs []error
	for _, c := range render.Components() {
		for _, p := range v.pods[c] {
			if p.terminating() || p.Annotations[annotationKeys] == v.keysDigest {
				continue
			}
			errs = append(errs, r.annotate(ctx, p.Pod, annotationKeys, v.keysDigest))
		}
	}
	return errors.Join(errs...)
}

// annotate sets an annotation of a pod, or removes it if value is empty.
func (r *Reconciler) annotate(ctx context.Context, p *corev1.Pod, name, value string) error {
	changed := p.DeepCopy()
	if value == "" {
		delete(changed.Annotations, name)
	} else {
		if changed.Annotations == nil {
			changed.Annotations = map[string]string{}
		}
		changed.Annotations[name] = value
	}
	if err := client.IgnoreNotFound(r.Client.Patch(ctx, changed, client.MergeFrom(p))); err != nil {
		return fmt.Errorf("annotate pod %s: %w", p.Name, err)
	}
	p.Annotations = changed.Annotations
	return nil
}

// selectorText is a component's selector as scale subresources show it.
func selectorText(r *v1alpha1.RealtimeGateway, c render.Component) string {
	return fmt.Sprintf("%s=%s,%s=%s", render.LabelInstance, r.Name, render.LabelComponent, c)
}
