package controller

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/edumatrix/interlink/operator/api/v1alpha1"
	"github.com/edumatrix/interlink/operator/internal/render"
)

// observe reads what there is: Deployments, pods, and what pods say.
func (r *Reconciler) observe(ctx context.Context, resource *v1alpha1.RealtimeGateway) (*view, error) {
	v := &view{resource: resource, memory: r.recall(client.ObjectKeyFromObject(resource)), now: r.Now(),
		deployments: map[render.Component]*appsv1.Deployment{}, pods: map[render.Component][]pod{}, secrets: map[types.NamespacedName]*corev1.Secret{}}
	v.plan.Coverage = 100 // of no gateways, until there are some
	v.status.Conditions = slices.Clone(resource.Status.Conditions)
	for _, c := range render.Components() {
		d := &appsv1.Deployment{}
		err := r.Client.Get(ctx, types.NamespacedName{Namespace: resource.Namespace, Name: render.Name(resource.Name, c)}, d)
		if err == nil {
			v.deployments[c] = d
		} else if !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("read %s: %w", c, err)
		}
	}
	var pods corev1.PodList
	if err := r.Client.List(ctx, &pods, client.InNamespace(resource.Namespace), client.MatchingLabels{render.LabelInstance: resource.Name}); err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	var addresses []string
	for i := range pods.Items {
		if p := &pods.Items[i]; p.Status.PodIP != "" && p.Status.Phase == corev1.PodRunning {
			addresses = append(addresses, p.Status.PodIP)
		}
	}
	samples := r.Scraper.All(ctx, addresses)
	for i := range pods.Items {
		p := &pods.Items[i]
		if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		c := render.Component(p.Labels[render.LabelComponent])
		v.pods[c] = append(v.pods[c], pod{p, samples[p.Status.PodIP]})
	}
	for _, of := range v.pods {
		slices.SortFunc(of, func(a, b pod) int { return cmp.Compare(a.Name, b.Name) })
	}
	return v, nil
}

// secret reads one live, once a look; nil if there is none.
func (r *Reconciler) secret(ctx context.Context, v *view, name string) (*corev1.Secret, error) {
	key := types.NamespacedName{Namespace: v.resource.Namespace, Name: name}
	if s, ok := v.secrets[key]; ok {
		return s, nil
	}
	s := &corev1.Secret{}
	if err := r.Live.Get(ctx, key, s); apierrors.IsNotFound(err) {
		s = nil
	} else if err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", name, err)
	}
	v.secrets[key] = s
	return s, nil
}

// value is what a reference to a Secret holds. What is missing is a problem of the view, not an error.
func (r *Reconciler) value(ctx context.Context, v *view, ref v1alpha1.KeyRef, field string) (string, bool, error) {
	s, err := r.secret(ctx, v, ref.Name)
	if err != nil {
		return "", false, err
	}
	if s == nil {
		v.complain("SecretMissing", "spec.%s: there is no Secret %s", field, ref.Name)
		return "", false, nil
	}
	text := strings.TrimRight(string(s.Data[ref.Key]), "\r\n")
	if text == "" {
		v.complain("SecretMissing", "spec.%s: Secret %s has nothing under %s", field, ref.Name, ref.Key)
		return "", false, nil
	}
	return text, true, nil
}

// boot digests what the pods of a component read when they start. While something is missing the digest stays what it
// was, so that nothing is restarted to wait for it.
func (r *Reconciler) boot(ctx context.Context, v *view, c render.Component) (string, error) {
	files := render.BootFiles(&v.resource.Spec, c)
	if len(files) == 0 {
		return "", nil
	}
	sum, complete := sha256.New(), true
	for _, f := range files {
		text, ok, err := r.bootValue(ctx, v, f)
		if err != nil {
			return "", err
		}
		complete = complete && ok
		fmt.Fprintf(sum, "%s %d %s\n", f.Path, len(text), text)
	}
	if d := v.deployments[c]; !complete && d != nil {
		return d.Spec.Template.Annotations[render.AnnotationBoot], nil
	}
	return hex.EncodeToString(sum.Sum(nil)[:8]), nil
}

func (r *Reconciler) bootValue(ctx context.Context, v *view, f render.BootFile) (string, bool, error) {
	if !f.ConfigMap {
		return r.value(ctx, v, f.Ref, f.Field)
	}
	m := &corev1.ConfigMap{}
	err := r.Live.Get(ctx, types.NamespacedName{Namespace: v.resource.Namespace, Name: f.Ref.Name}, m)
	if client.IgnoreNotFound(err) != nil {
		return "", false, fmt.Errorf("read ConfigMap %s: %w", f.Ref.Name, err)
	}
	if err != nil || m.Data[f.Ref.Key] == "" {
		v.complain("ConfigMapMissing", "spec.%s: there is no ConfigMap %s with %s", f.Field, f.Ref.Name, f.Ref.Key)
		return "", false, nil
	}
	return m.Data[f.Ref.Key], true, nil
}

// refers says whether a resource names a Secret or ConfigMap, or owns one of that name.
func refers(r *v1alpha1.RealtimeGateway, name string) bool {
	if strings.HasPrefix(name, r.Name+"-") {
		return true
	}
	for _, c := range render.Components() {
		for _, f := range render.BootFiles(&r.Spec, c) {
			if f.Ref.Name == name {
				return true
			}
		}
	}
	a := r.Spec.Auth
	refs := []*v1alpha1.KeyRef{a.InternalAPIKey.Secret}
	if a.JWT != nil {
		refs = append(refs, &a.JWT.Current, a.JWT.Previous)
	}
	if a.NextAuth != nil {
		refs = append(refs, a.NextAuth.Current, a.NextAuth.Previous, a.NextAuth.DerivedKey)
	}
	return slices.ContainsFunc(refs, func(ref *v1alpha1.KeyRef) bool { return ref != nil && ref.Name == name })
}
