package render

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/edumatrix/interlink/operator/api/v1alpha1"
)

func port(name string, number int32) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Port: number, TargetPort: intstr.FromString(name), Protocol: corev1.ProtocolTCP}
}

// peers is how the services find each other, and Prometheus them: with those that are not ready, since a router must
// reach a gateway before that is.
func (r renderer) peers(c Component) *corev1.Service {
	return &corev1.Service{TypeMeta: kind("v1", "Service"), ObjectMeta: r.meta(Name(r.resource.Name, c)+"-peers", c), Spec: corev1.ServiceSpec{
		ClusterIP: corev1.ClusterIPNone, PublishNotReadyAddresses: true, Selector: Selector(r.resource.Name, c),
		Ports: []corev1.ServicePort{port("grpc", c.grpcPort()), port("admin", adminPort)},
	}}
}

func (r renderer) gatewayService() *corev1.Service {
	p := port("http", publicPort)
	p.Port = 80
	return &corev1.Service{TypeMeta: kind("v1", "Service"), ObjectMeta: r.meta(Name(r.resource.Name, Gateway), Gateway), Spec: corev1.ServiceSpec{
		Selector: Selector(r.resource.Name, Gateway), Ports: []corev1.ServicePort{p}}}
}

func (r renderer) routerService() *corev1.Service {
	return &corev1.Service{TypeMeta: kind("v1", "Service"), ObjectMeta: r.meta(Name(r.resource.Name, Router), Router), Spec: corev1.ServiceSpec{
		Selector: Selector(r.resource.Name, Router), Ports: []corev1.ServicePort{port("http", emitPort)}}}
}

func (r renderer) budget(c Component) *policyv1.PodDisruptionBudget {
	most := intstr.FromInt32(r.workload(c).PDB.MaxUnavailable)
	return &policyv1.PodDisruptionBudget{TypeMeta: kind("policy/v1", "PodDisruptionBudget"), ObjectMeta: r.meta(Name(r.resource.Name, c), c), Spec: policyv1.PodDisruptionBudgetSpec{
		MaxUnavailable: &most, Selector: &metav1.LabelSelector{MatchLabels: Selector(r.resource.Name, c)}}}
}

// ingress annotations by controller; connections stay open for hours, and none of them needs affinity.
func ingressAnnotations(profile string) map[string]string {
	switch profile {
	case "Nginx":
		return map[string]string{"nginx.ingress.kubernetes.io/proxy-read-timeout": "3600", "nginx.ingress.kubernetes.io/proxy-send-timeout": "3600"}
	case "ALB":
		return map[string]string{"alb.ingress.kubernetes.io/target-type": "ip", "alb.ingress.kubernetes.io/load-balancer-attributes": "idle_timeout.timeout_seconds=3600",
			"alb.ingress.kubernetes.io/healthcheck-path": "/health"}
	}
	return map[string]string{}
}

func (r renderer) ingress() *networkingv1.Ingress {
	i := r.spec.Exposure.Ingress
	prefix := networkingv1.PathTypePrefix
	o := &networkingv1.Ingress{TypeMeta: kind("networking.k8s.io/v1", "Ingress"), ObjectMeta: r.meta(Name(r.resource.Name, Gateway), Gateway)}
	o.Annotations = ingressAnnotations(i.Profile)
	for k, v := range i.Annotations {
		o.Annotations[k] = v
	}
	if i.ClassName != "" {
		o.Spec.IngressClassName = &i.ClassName
	}
	for _, host := range r.spec.Exposure.Hosts {
		o.Spec.Rules = append(o.Spec.Rules, networkingv1.IngressRule{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
			Paths: []networkingv1.HTTPIngressPath{{Path: "/socket.io", PathType: &prefix, Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
				Name: Name(r.resource.Name, Gateway), Port: networkingv1.ServiceBackendPort{Name: "http"}}}}}}}})
	}
	if i.TLS != nil {
		o.Spec.TLS = []networkingv1.IngressTLS{{Hosts: r.spec.Exposure.Hosts, SecretName: i.TLS.Name}}
	}
	return o
}

// flows is who talks to whom among the services: from, to.
var flows = [][2]Component{{Router, Gateway}, {Gateway, Gateway}, {Gateway, Router}, {Presence, Router}, {Gateway, Presence}, {Router, Presence}}

func tcp(ports ...int32) []networkingv1.NetworkPolicyPort {
	proto := corev1.ProtocolTCP
	var out []networkingv1.NetworkPolicyPort
	for _, p := range ports {
		n := intstr.FromInt32(p)
		out = append(out, networkingv1.NetworkPolicyPort{Protocol: &proto, Port: &n})
	}
	return out
}

func (r renderer) policies() []runtime.Object {
	var out []runtime.Object
	dns := networkingv1.NetworkPolicyEgressRule{Ports: tcp(53)}
	udp := corev1.ProtocolUDP
	dns.Ports = append(dns.Ports, networkingv1.NetworkPolicyPort{Protocol: &udp, Port: dns.Ports[0].Port})
	np := r.spec.Security.NetworkPolicy
	for _, c := range Components() {
		p := &networkingv1.NetworkPolicy{TypeMeta: kind("networking.k8s.io/v1", "NetworkPolicy"), ObjectMeta: r.meta(Name(r.resource.Name, c), c), Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: Selector(r.resource.Name, c)},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
			Ingress:     []networkingv1.NetworkPolicyIngressRule{{Ports: tcp(adminPort), From: namespaces(np.MetricsFrom)}},
			Egress:      []networkingv1.NetworkPolicyEgressRule{dns},
		}}
		for _, f := range flows {
			if f[1] == c {
				p.Spec.Ingress = append(p.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{Ports: tcp(c.grpcPort()), From: []networkingv1.NetworkPolicyPeer{r.pods(f[0])}})
			}
			if f[0] == c {
				p.Spec.Egress = append(p.Spec.Egress, networkingv1.NetworkPolicyEgressRule{Ports: tcp(f[1].grpcPort()), To: []networkingv1.NetworkPolicyPeer{r.pods(f[1])}})
			}
		}
		switch c {
		case Gateway:
			p.Spec.Ingress = append(p.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{Ports: tcp(publicPort), From: namespaces(np.IngressFrom)})
		case Router:
			p.Spec.Ingress = append(p.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{Ports: tcp(emitPort), From: namespaces(r.spec.Router.EmitFrom)})
		}
		if outside := r.outside(c); len(outside) > 0 {
			p.Spec.Egress = append(p.Spec.Egress, networkingv1.NetworkPolicyEgressRule{Ports: tcp(outside...)})
		}
		out = append(out, p)
	}
	return out
}

func (r renderer) pods(c Component) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: Selector(r.resource.Name, c)}}
}

func namespaces(of []v1alpha1.NamespacePeer) []networkingv1.NetworkPolicyPeer {
	var out []networkingv1.NetworkPolicyPeer
	for _, n := range of {
		out = append(out, networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{MatchLabels: n.NamespaceLabels}})
	}
	return out
}

// outside is the ports of what is not ours: Kafka, Redis, Next.js, wherever they are.
func (r renderer) outside(c Component) []int32 {
	var addresses []string
	switch c {
	case Router:
		addresses = r.spec.Kafka.Brokers
	case Presence:
		addresses = r.spec.Redis.Addresses
		if r.spec.Redis.Mode == v1alpha1.RedisSentinel {
			addresses = append(slices.Clone(addresses), ":6379")
		}
	case Gateway:
		for _, text := range []string{r.spec.Auth.APIBaseURL, r.spec.Auth.SessionURL, r.spec.Auth.AuthorizeURL} {
			if u, err := url.Parse(text); err == nil && u.Host != "" {
				p := u.Port()
				if p == "" {
					p = map[string]string{"http": "80", "https": "443"}[u.Scheme]
				}
				addresses = append(addresses, ":"+p)
			}
		}
	}
	var out []int32
	for _, a := range addresses {
		if n, err := strconv.ParseInt(a[strings.LastIndex(a, ":")+1:], 10, 32); err == nil {
			out = append(out, int32(n))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
