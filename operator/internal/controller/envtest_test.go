//go:build envtest

package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/edumatrix/interlink/operator/api/v1alpha1"
	"github.com/edumatrix/interlink/operator/internal/keyring"
	"github.com/edumatrix/interlink/operator/internal/render"
	"github.com/edumatrix/interlink/operator/internal/scrape"
)

// said is what pods say, by address.
type said map[string]scrape.Sample

func (s said) All(context.Context, []string) map[string]scrape.Sample { return s }

type world struct {
	*testing.T
	client.Client
	r    *Reconciler
	pods said
	now  time.Time
}

var chat = types.NamespacedName{Namespace: "default", Name: "chat"}

func TestAgainstARealAPIServer(t *testing.T) {
	env := &envtest.Environment{CRDDirectoryPaths: []string{"../../../charts/interlink/files"}, ErrorIfCRDPathMissing: true}
	config, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	scheme := runtime.NewScheme()
	if clientgoscheme.AddToScheme(scheme) != nil || v1alpha1.AddToScheme(scheme) != nil {
		t.Fatal("scheme")
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, Client: c, pods: said{}, now: time.Now()}
	w.r = New(Options{Client: c, Live: c, Scraper: w.pods, Events: events.NewFakeRecorder(1000), Metrics: m, Now: func() time.Time { return w.now }})
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "jwt", Namespace: "default"}, StringData: map[string]string{"key": "one"}})
	rtg := &unstructured.Unstructured{}
	if err := rtg.UnmarshalJSON([]byte(`{"apiVersion":"realtime.edumatrix.io/v1alpha1","kind":"RealtimeGateway","metadata":{"name":"chat","namespace":"default"},"spec":{
		"version":"1","kafka":{"brokers":["k:1"]},"redis":{"addresses":["r:1"],"password":{"name":"later","key":"p"}},
		"auth":{"jwt":{"current":{"name":"jwt","key":"key"}}},"gateway":{"scaling":{"mode":"Fixed"},"replicas":3}}}`)); err != nil {
		t.Fatal(err)
	}
	w.create(rtg)
	for _, step := range []struct {
		name string
		run  func(*world)
	}{
		{"a missing Secret is a reason, and the rest is made", missing},
		{"the same again writes nothing", idle},
		{"what kubectl adds stays, and replicas are nobody's", restart},
		{"a number of the scale subresource is followed", external},
		{"the emptiest gateway is to go, and is named before", victim},
		{"a key is published, promoted and dropped", rotation},
		{"a Secret of somebody else is left alone", foreign},
	} {
		if !t.Run(step.name, func(t *testing.T) { w.T = t; step.run(w) }) {
			return
		}
	}
}

func (w *world) create(o client.Object) {
	w.Helper()
	if err := w.Client.Create(w.Context(), o); err != nil {
		w.Fatal(err)
	}
}

func (w *world) look(times int) *v1alpha1.RealtimeGateway {
	w.Helper()
	for range times {
		if _, err := w.r.Reconcile(w.Context(), reconcile.Request{NamespacedName: chat}); err != nil {
			w.Fatal(err)
		}
	}
	out := &v1alpha1.RealtimeGateway{}
	w.get("chat", out)
	return out
}

func (w *world) get(name string, into client.Object) {
	w.Helper()
	if err := w.Client.Get(w.Context(), types.NamespacedName{Namespace: "default", Name: name}, into); err != nil {
		w.Fatal(err)
	}
}

func (w *world) patch(o client.Object, merge string) {
	w.Helper()
	if err := w.Client.Patch(w.Context(), o, client.RawPatch(types.MergePatchType, []byte(merge))); err != nil {
		w.Fatal(err)
	}
}

func reasons(r *v1alpha1.RealtimeGateway) string {
	var out []string
	for _, c := range r.Status.Conditions {
		out = append(out, c.Type+"="+c.Reason)
	}
	return strings.Join(out, " ")
}

func missing(w *world) {
	r := w.look(3)
	if got := reasons(r); got != "Ready=SecretMissing Progressing=RolloutInProgress Degraded=SecretMissing" {
		w.Error(got)
	}
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "later", Namespace: "default"}, StringData: map[string]string{"p": "x"}})
	if got := reasons(w.look(1)); !strings.Contains(got, "Ready=PodsNotReady") || !strings.Contains(got, "Degraded=AsExpected") {
		w.Error(got)
	}
	var d appsv1.Deployment
	w.get("chat-gateway", &d)
	if *d.Spec.Replicas != 3 || !metav1.IsControlledBy(&d, r) {
		w.Errorf("%d replicas, owners %v", *d.Spec.Replicas, d.OwnerReferences)
	}
	for _, f := range d.ManagedFields {
		if f.Operation == metav1.ManagedFieldsOperationApply && strings.Contains(f.FieldsV1.GetRawString(), "f:replicas") {
			w.Error("applying owns replicas")
		}
	}
}

// versions of everything that the resource owns.
func (w *world) versions() string {
	var out []string
	for _, list := range []client.ObjectList{&appsv1.DeploymentList{}, &corev1.ServiceList{}, &corev1.SecretList{}, &policyv1.PodDisruptionBudgetList{}, &v1alpha1.RealtimeGatewayList{}} {
		if err := w.List(w.Context(), list, client.InNamespace("default")); err != nil {
			w.Fatal(err)
		}
		raw, err := json.Marshal(list)
		if err != nil {
			w.Fatal(err)
		}
		var parsed struct {
			Items []metav1.PartialObjectMetadata
		}
		if err := json.Unmarshal(raw, &parsed); err != nil {
			w.Fatal(err)
		}
		for _, i := range parsed.Items {
			out = append(out, i.Name+"="+i.ResourceVersion)
		}
	}
	return strings.Join(out, " ")
}

func idle(w *world) {
	w.look(2)
	before := w.versions()
	w.look(3)
	if after := w.versions(); after != before {
		w.Errorf("before %s\nafter  %s", before, after)
	}
}

func restart(w *world) {
	var d appsv1.Deployment
	w.get("chat-gateway", &d)
	w.patch(&d, `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"now"}}}}}`)
	w.look(2)
	w.get("chat-gateway", &d)
	if d.Spec.Template.Annotations["kubectl.kubernetes.io/restartedAt"] != "now" || *d.Spec.Replicas != 3 {
		w.Errorf("annotations %v, replicas %d", d.Spec.Template.Annotations, *d.Spec.Replicas)
	}
}

func external(w *world) {
	r := w.look(1)
	w.patch(r, `{"spec":{"gateway":{"scaling":{"mode":"External"},"replicas":5}}}`)
	w.look(1)
	var d appsv1.Deployment
	w.get("chat-gateway", &d)
	if *d.Spec.Replicas != 5 {
		w.Errorf("%d replicas", *d.Spec.Replicas)
	}
}

// pod makes a ready gateway with sockets.
func (w *world) pod(n, sockets int, keys map[string][]string) {
	w.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("chat-gateway-", n), Namespace: "default", Labels: render.Selector("chat", render.Gateway)},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "gateway", Image: "interlink:1"}}}}
	w.create(p)
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: fmt.Sprint("10.0.0.", n), PodIPs: []corev1.PodIP{{IP: fmt.Sprint("10.0.0.", n)}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	if err := w.Status().Update(w.Context(), p); err != nil {
		w.Fatal(err)
	}
	w.pods[p.Status.PodIP] = scrape.Sample{Answered: true, Sockets: int32(sockets), Keys: keys}
}

func victim(w *world) {
	var d appsv1.Deployment
	w.get("chat-gateway", &d)
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 5, UpdatedReplicas: 5, ReadyReplicas: 5, AvailableReplicas: 5}
	if err := w.Status().Update(w.Context(), &d); err != nil {
		w.Fatal(err)
	}
	for n, sockets := range []int{40, 30, 7, 50, 60} {
		w.pod(n+1, sockets, nil)
	}
	w.patch(w.look(1), `{"spec":{"gateway":{"replicas":4}}}`)
	w.look(1)
	var pods corev1.PodList
	if err := w.List(w.Context(), &pods, client.InNamespace("default")); err != nil {
		w.Fatal(err)
	}
	for _, p := range pods.Items {
		if cost := p.Annotations[corev1.PodDeletionCost]; (cost != "") != (p.Name == "chat-gateway-3") {
			w.Errorf("%s costs %q", p.Name, cost)
		}
	}
	w.get("chat-gateway", &d)
	if *d.Spec.Replicas != 4 {
		w.Errorf("%d replicas", *d.Spec.Replicas)
	}
}

func rotation(w *world) {
	ring := func(r *v1alpha1.RealtimeGateway) v1alpha1.KeyStatus {
		for _, k := range r.Status.Keys {
			if k.Name == render.RingJWT {
				return k
			}
		}
		w.Fatal("no ring")
		return v1alpha1.KeyStatus{}
	}
	var s corev1.Secret
	w.get("jwt", &s)
	w.patch(&s, `{"stringData":{"key":"two"}}`)
	if k := ring(w.look(2)); k.Phase != "Publishing" || len(k.WaitingFor) != 5 || k.CurrentID != keyring.ID("one") {
		w.Errorf("%+v", k)
	}
	for address, sample := range w.pods {
		sample.Keys = map[string][]string{render.RingJWT: {keyring.ID("one"), keyring.ID("two")}}
		w.pods[address] = sample
	}
	if k := ring(w.look(1)); k.Phase != "Overlap" || k.CurrentID != keyring.ID("two") || k.PreviousID != keyring.ID("one") {
		w.Errorf("%+v", k)
	}
	w.get("chat-keys", &s)
	if string(s.Data[render.RingJWT]) != "two,one" {
		w.Errorf("the ring is %s", s.Data[render.RingJWT])
	}
	w.now = w.now.Add(25 * time.Hour)
	if k := ring(w.look(1)); k.Phase != "Stable" || k.PreviousID != "" {
		w.Errorf("%+v", k)
	}
}

func foreign(w *world) {
	var s corev1.Secret
	w.get("chat-internal-api-key", &s)
	if err := w.Delete(w.Context(), &s); err != nil {
		w.Fatal(err)
	}
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: s.Name, Namespace: "default"}, StringData: map[string]string{"key": "mine"}})
	if got := reasons(w.look(1)); !strings.Contains(got, "Degraded=SecretNotOurs") {
		w.Error(got)
	}
	w.get(s.Name, &s)
	if string(s.Data["key"]) != "mine" || len(s.OwnerReferences) > 0 {
		w.Error("it was taken over")
	}
}
