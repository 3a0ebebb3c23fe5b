package render

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/edumatrix/interlink/operator/api/v1alpha1"
)

// optional is what needs kinds that a cluster may not have.
func (r renderer) optional() []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	if r.spec.Exposure.HTTPRoute != nil && r.in.APIs.HTTPRoute {
		out = append(out, r.route())
	}
	if r.in.APIs.ServiceMonitor && r.spec.Observability.ServiceMonitor.Mode == v1alpha1.ManagedOn {
		out = append(out, r.monitor())
	}
	if r.in.APIs.Certificate && r.spec.Security.InternalTLS.Mode == v1alpha1.TLSCertManager {
		for _, c := range Components() {
			out = append(out, r.certificate(c))
		}
	}
	return out
}

func (r renderer) object(version, kind, name string, c Component, spec map[string]any) *unstructured.Unstructured {
	meta := r.meta(name, c)
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&meta)
	if err != nil {
		panic("render: " + err.Error()) // ObjectMeta is always convertible
	}
	strip(content)
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": version, "kind": kind, "metadata": content, "spec": spec}}
}

func list[T any](of []T, each func(T) any) []any {
	out := make([]any, 0, len(of))
	for _, v := range of {
		out = append(out, each(v))
	}
	return out
}

func (r renderer) route() *unstructured.Unstructured {
	h := r.spec.Exposure.HTTPRoute
	rule := map[string]any{
		"matches":     []any{map[string]any{"path": map[string]any{"type": "PathPrefix", "value": "/socket.io"}}},
		"backendRefs": []any{map[string]any{"name": Name(r.resource.Name, Gateway), "port": int64(80)}},
	}
	if h.Timeouts == "Unlimited" {
		rule["timeouts"] = map[string]any{"request": "0s", "backendRequest": "0s"}
	}
	return r.object("gateway.networking.k8s.io/v1", "HTTPRoute", Name(r.resource.Name, Gateway), Gateway, map[string]any{
		"parentRefs": list(h.ParentRefs, func(p v1alpha1.ParentRef) any {
			ref := map[string]any{"name": p.Name}
			if p.Namespace != "" {
				ref["namespace"] = p.Namespace
			}
			if p.SectionName != "" {
				ref["sectionName"] = p.SectionName
			}
			return ref
		}),
		"hostnames": list(r.spec.Exposure.Hosts, func(h string) any { return h }),
		"rules":     []any{rule},
	})
}

func (r renderer) monitor() *unstructured.Unstructured {
	m := r.spec.Observability.ServiceMonitor
	u := r.object("monitoring.coreos.com/v1", "ServiceMonitor", r.resource.Name, "", map[string]any{
		"selector":  map[string]any{"matchLabels": map[string]any{labelName: instanceName, LabelInstance: r.resource.Name}},
		"endpoints": []any{map[string]any{"port": "admin", "path": "/metrics", "interval": fmt.Sprintf("%ds", m.IntervalSeconds)}},
	})
	labels := u.GetLabels()
	for k, v := range m.Labels {
		labels[k] = v
	}
	u.SetLabels(labels)
	return u
}

func (r renderer) certificate(c Component) *unstructured.Unstructured {
	t := r.spec.Security.InternalTLS
	return r.object("cert-manager.io/v1", "Certificate", TLSSecret(r.resource.Name, c), c, map[string]any{
		"secretName": TLSSecret(r.resource.Name, c),
		"duration":   fmt.Sprintf("%dh", t.CertificateDays*24),
		"dnsNames":   list(DNSNames(r.resource.Namespace, r.resource.Name, c), func(n string) any { return n }),
		"usages":     []any{"digital signature", "client auth", "server auth"},
		"privateKey": map[string]any{"algorithm": "ECDSA", "size": int64(256), "rotationPolicy": "Always"},
		"issuerRef":  map[string]any{"name": t.IssuerRef.Name, "kind": t.IssuerRef.Kind},
	})
}

// Unwanted is what another spec of the resource would have asked for and this one does not, without content: to be
// removed if it is there and the resource's.
func Unwanted(in Input) []*unstructured.Unstructured {
	r := renderer{in, in.Resource, &in.Resource.Spec}
	var out []*unstructured.Unstructured
	add := func(unwanted bool, version, kind, name string) {
		if unwanted {
			u := &unstructured.Unstructured{}
			u.SetAPIVersion(version)
			u.SetKind(kind)
			u.SetNamespace(r.resource.Namespace)
			u.SetName(name)
			out = append(out, u)
		}
	}
	add(r.spec.Exposure.Ingress == nil, "networking.k8s.io/v1", "Ingress", Name(r.resource.Name, Gateway))
	add(in.APIs.HTTPRoute && r.spec.Exposure.HTTPRoute == nil, "gateway.networking.k8s.io/v1", "HTTPRoute", Name(r.resource.Name, Gateway))
	add(in.APIs.ServiceMonitor && r.spec.Observability.ServiceMonitor.Mode == v1alpha1.ManagedOff, "monitoring.coreos.com/v1", "ServiceMonitor", r.resource.Name)
	for _, c := range Components() {
		add(r.spec.Security.NetworkPolicy.Mode == v1alpha1.ManagedOff, "networking.k8s.io/v1", "NetworkPolicy", Name(r.resource.Name, c))
		add(in.APIs.Certificate && r.spec.Security.InternalTLS.Mode != v1alpha1.TLSCertManager, "cert-manager.io/v1", "Certificate", TLSSecret(r.resource.Name, c))
	}
	return out
}
