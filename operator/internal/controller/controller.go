// Package controller owns the loop of the operator: observe, plan, apply, report. What it decides by is in pure packages
// beside it: render for objects, scaling for numbers, keyring for keys, authority for certificates.
//
// It never writes a spec, has no finalizer (owner references clean up), and applies with one field owner, so that what
// others add to objects, such as the annotation of `kubectl rollout restart`, stays. Secrets are watched by their
// metadata and read by name.
package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/edumatrix/interlink/operator/api/v1alpha1"
	"github.com/edumatrix/interlink/operator/internal/render"
	"github.com/edumatrix/interlink/operator/internal/scaling"
	"github.com/edumatrix/interlink/operator/internal/scrape"
)

// Owner is the field owner of everything that is applied.
const Owner = "interlink-operator"

// Scraper asks pods, by address.
type Scraper interface {
	All(ctx context.Context, addresses []string) map[string]scrape.Sample
}

// Options of New. All but the last two are required.
type Options struct {
	Client  client.Client // reads from a cache
	Live    client.Reader // reads Secrets and ConfigMaps by name
	Scraper Scraper
	Events  events.EventRecorder
	APIs    render.APIs
	Metrics *Metrics
	Every   time.Duration    // between two looks when nothing happens [15s]
	Now     func() time.Time // [time.Now]
}

// Reconciler is the loop for all resources.
type Reconciler struct {
	Options

	mu     sync.Mutex // guards memory
	memory map[types.NamespacedName]*memory
}

// memory is what is known of a resource besides the cluster's state; it may be lost.
type memory struct {
	gateways, routers scaling.Memory
}

// New makes a Reconciler.
func New(o Options) *Reconciler {
	if o.Every == 0 {
		o.Every = 15 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Reconciler{Options: o, memory: map[types.NamespacedName]*memory{}}
}

// Register has a manager run the loop.
func (r *Reconciler) Register(m ctrl.Manager) error {
	err := ctrl.NewControllerManagedBy(m).Named("realtimegateway").For(&v1alpha1.RealtimeGateway{}).
		Owns(&appsv1.Deployment{}).Owns(&corev1.Service{}).Owns(&policyv1.PodDisruptionBudget{}).
		Owns(&networkingv1.NetworkPolicy{}).Owns(&networkingv1.Ingress{}).Owns(&corev1.ServiceAccount{}).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(ofPod)).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.ofReferenced), builder.OnlyMetadata).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(r.ofReferenced), builder.OnlyMetadata).
		Complete(r)
	if err != nil {
		return fmt.Errorf("controller: %w", err)
	}
	return nil
}

// ofPod is the resource that a pod belongs to.
func ofPod(_ context.Context, o client.Object) []reconcile.Request {
	name := o.GetLabels()[render.LabelInstance]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: name}}}
}

// ofReferenced is the resources that name a Secret or ConfigMap, or own it.
func (r *Reconciler) ofReferenced(ctx context.Context, o client.Object) []reconcile.Request {
	var all v1alpha1.RealtimeGatewayList
	if err := r.Client.List(ctx, &all, client.InNamespace(o.GetNamespace())); err != nil {
		return nil // the next look finds it
	}
	var out []reconcile.Request
	for i := range all.Items {
		if refers(&all.Items[i], o.GetName()) {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
		}
	}
	return out
}

// view is what is known of a resource during one look.
type view struct {
	resource    *v1alpha1.RealtimeGateway
	memory      *memory
	now         time.Time
	deployments map[render.Component]*appsv1.Deployment // nil where there is none
	pods        map[render.Component][]pod
	secrets     map[types.NamespacedName]*corev1.Secret // read live, nil where there is none
	problems    []problem
	status      v1alpha1.RealtimeGatewayStatus
	plan        scaling.Plan
	keysDigest  string // of what pods should have reloaded
}

type pod struct {
	*corev1.Pod
	sample scrape.Sample
}

func (p pod) terminating() bool { return p.DeletionTimestamp != nil }

// problem is something that somebody should put right.
type problem struct{ reason, message string }

func (v *view) complain(reason, format string, args ...any) {
	v.problems = append(v.problems, problem{reason, fmt.Sprintf(format, args...)})
}

// Reconcile looks once.
func (r *Reconciler) Reconcile(ctx context.Context, q reconcile.Request) (reconcile.Result, error) {
	resource := &v1alpha1.RealtimeGateway{}
	if err := r.Client.Get(ctx, q.NamespacedName, resource); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(q.NamespacedName)
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, fmt.Errorf("read the resource: %w", err)
	}
	if resource.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	v, err := r.observe(ctx, resource.DeepCopy())
	if err != nil {
		return reconcile.Result{}, err
	}
	// Each part is tried whatever became of the others: a wrong patch must not stop the rotation of a key.
	err = errors.Join(r.rotate(ctx, v), r.certify(ctx, v), r.apply(ctx, v), r.scale(ctx, v), r.hurryKubelets(ctx, v))
	if err != nil && !apierrors.IsConflict(err) {
		v.complain("ApplyFailed", "%v", err)
	}
	if reported := r.report(ctx, resource, v); reported != nil {
		err = errors.Join(err, reported)
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: r.again(v)}, nil
}

// again is sooner while something is under way.
func (r *Reconciler) again(v *view) time.Duration {
	for _, c := range v.status.Conditions {
		if c.Type == v1alpha1.ConditionProgressing && c.Status == "True" {
			return max(r.Every/3, time.Second)
		}
	}
	return r.Every
}

func (r *Reconciler) recall(name types.NamespacedName) *memory {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.memory[name] == nil {
		r.memory[name] = &memory{}
	}
	return r.memory[name]
}

func (r *Reconciler) forget(name types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.memory, name)
	r.Metrics.forget(name)
}

// report writes the status if it is another, and tells of transitions by events.
func (r *Reconciler) report(ctx context.Context, resource *v1alpha1.RealtimeGateway, v *view) error {
	v.summarize()
	r.Metrics.observe(client.ObjectKeyFromObject(resource), v.status)
	if equality.Semantic.DeepEqual(resource.Status, v.status) {
		return nil
	}
	old := resource.Status
	changed := resource.DeepCopy()
	changed.Status = v.status
	if err := r.Client.Status().Update(ctx, changed); err != nil {
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return nil // somebody changed it or removed it, which is a reason to look again
		}
		return fmt.Errorf("write status: %w", err)
	}
	for _, c := range v.status.Conditions {
		if t, ok := transition(old.Conditions, c); ok {
			r.Events.Eventf(resource, nil, t, c.Reason, "Observe", "%s is %s: %s", c.Type, c.Status, c.Message)
		}
	}
	return nil
}
