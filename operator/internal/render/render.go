// Package render owns how a RealtimeGateway looks as Kubernetes objects. It is pure: the same resource and the same
// observations give the same bytes, in the same order, whatever the version of the operator; the golden files in
// testdata hold it to that, since another pod template would restart every gateway.
package render

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/edumatrix/interlink/operator/api/v1alpha1"
)

// Component is one of the three services.
type Component string

// The components, and their ports: what browsers and callers reach, gRPC, metrics.
const (
	Gateway  Component = "gateway"
	Router   Component = "router"
	Presence Component = "presence"

	publicPort = 3001
	emitPort   = 3002
	adminPort  = 9090
)

// AdminPort is where metrics and readiness are asked for.
const AdminPort = adminPort

// Components in the order in which they are applied.
func Components() []Component { return []Component{Presence, Router, Gateway} }

func (c Component) grpcPort() int32 {
	return map[Component]int32{Gateway: 9101, Router: 9102, Presence: 9103}[c]
}

// Labels and annotations of ours.
const (
	LabelInstance  = "app.kubernetes.io/instance"
	LabelComponent = "app.kubernetes.io/component"
	labelName      = "app.kubernetes.io/name"
	labelManagedBy = "app.kubernetes.io/managed-by"
	labelVersion   = "app.kubernetes.io/version"
	// AnnotationBoot is a digest of what pods read only when they start.
	AnnotationBoot = "realtime.edumatrix.io/boot"
	// AnnotationHurry on a RealtimeGateway: its rollouts don't wait for drains while it is "true".
	AnnotationHurry = "realtime.edumatrix.io/hurry"
	instanceName    = "interlink"
)

// APIs says which optional kinds the cluster has.
type APIs struct{ HTTPRoute, ServiceMonitor, Certificate bool }

// Input is a resource, with defaults, and what of the cluster shows in objects.
type Input struct {
	Resource *v1alpha1.RealtimeGateway
	APIs     APIs
	Boot     map[Component]string // digests, see AnnotationBoot
}

// Objects is everything but Secrets, ready to be applied.
func Objects(in Input) ([]*unstructured.Unstructured, error) {
	var typed []runtime.Object
	r := renderer{in, in.Resource, &in.Resource.Spec}
	typed = append(typed, r.serviceAccount())
	for _, c := range Components() {
		typed = append(typed, r.peers(c), r.budget(c))
	}
	typed = append(typed, r.gatewayService(), r.routerService())
	if r.spec.Security.NetworkPolicy.Mode == v1alpha1.ManagedOn {
		typed = append(typed, r.policies()...)
	}
	if r.spec.Exposure.Ingress != nil {
		typed = append(typed, r.ingress())
	}
	var out []*unstructured.Unstructured
	for _, object := range typed {
		u, err := plain(object)
		if err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	out = append(out, r.optional()...)
	for _, c := range Components() {
		d, err := r.deployment(c)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

type renderer struct {
	in       Input
	resource *v1alpha1.RealtimeGateway
	spec     *v1alpha1.RealtimeGatewaySpec
}

// Name of an object of a component.
func Name(resource string, c Component) string { return resource + "-" + string(c) }

// KeysSecret holds the rings, TLSSecret a component's certificate, AuthoritySecret the authority's keys, CallerSecret
// the managed key that callers read.
func KeysSecret(resource string) string { return resource + "-keys" }

// TLSSecret names the Secret of a component's certificate.
func TLSSecret(resource string, c Component) string { return Name(resource, c) + "-tls" }

// AuthoritySecret names the Secret of the authority that signs certificates.
func AuthoritySecret(resource string) string { return resource + "-authority" }

// CallerSecret names the Secret that callers read a managed API key from.
func CallerSecret(resource string) string { return resource + "-internal-api-key" }

// Selector selects the pods of a component.
func Selector(resource string, c Component) map[string]string {
	return map[string]string{labelName: instanceName, LabelInstance: resource, LabelComponent: string(c)}
}

// DNSNames that a component's certificate must have: its headless Service's.
func DNSNames(namespace, resource string, c Component) []string {
	name := Name(resource, c) + "-peers"
	return []string{name, name + "." + namespace, name + "." + namespace + ".svc", name + "." + namespace + ".svc.cluster.local"}
}

func (r renderer) meta(name string, c Component) metav1.ObjectMeta {
	return ObjectMeta(r.resource, name, c)
}

// ObjectMeta is that of every object of the resource: it goes when the resource goes.
func ObjectMeta(resource *v1alpha1.RealtimeGateway, name string, c Component) metav1.ObjectMeta {
	labels := map[string]string{labelName: instanceName, LabelInstance: resource.Name, labelManagedBy: "interlink-operator"}
	if c != "" {
		labels[LabelComponent] = string(c)
	}
	yes := true
	return metav1.ObjectMeta{Name: name, Namespace: resource.Namespace, Labels: labels, OwnerReferences: []metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "RealtimeGateway", Name: resource.Name, UID: resource.UID, Controller: &yes, BlockOwnerDeletion: &yes,
	}}}
}

func (r renderer) serviceAccount() *corev1.ServiceAccount {
	no := false
	return &corev1.ServiceAccount{TypeMeta: kind("v1", "ServiceAccount"), ObjectMeta: r.meta(r.resource.Name, ""), AutomountServiceAccountToken: &no}
}

func kind(version, name string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: version, Kind: name}
}

// plain is an object without what typed structs add to it: what is applied is owned, so nothing may be in it by chance.
func plain(object runtime.Object) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	delete(content, "status")
	strip(content)
	return &unstructured.Unstructured{Object: content}, nil
}

// strip drops nulls, and empty objects where they say nothing.
func strip(content map[string]any) {
	for k, v := range content {
		switch v := v.(type) {
		case nil:
			delete(content, k)
		case map[string]any:
			strip(v)
			if len(v) == 0 && (k == "resources" || k == "strategy" || k == "metadata" || k == "loadBalancer") {
				delete(content, k)
			}
		case []any:
			for _, item := range v {
				if m, ok := item.(map[string]any); ok {
					strip(m)
				}
			}
		}
	}
}

// URL is where browsers connect; empty without a host.
func URL(r *v1alpha1.RealtimeGateway) string {
	if len(r.Spec.Exposure.Hosts) == 0 {
		return ""
	}
	scheme := "wss"
	if i := r.Spec.Exposure.Ingress; i != nil && i.TLS == nil {
		scheme = "ws"
	}
	return scheme + "://" + strings.TrimPrefix(r.Spec.Exposure.Hosts[0], "*.") + "/socket.io/"
}

// EmitURL is where callers inside the cluster publish.
func EmitURL(r *v1alpha1.RealtimeGateway) string {
	return fmt.Sprintf("http://%s.%s.svc:%d", Name(r.Name, Router), r.Namespace, emitPort)
}
