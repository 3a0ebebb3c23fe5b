package render

import (
	"encoding/json"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/edumatrix/interlink/operator/api/v1alpha1"
)

// The rings of keys, each a file in the keys Secret.
const (
	RingNextAuth = "nextauth"
	RingDerived  = "nextauth-derived"
	RingJWT      = "jwt"
	RingAPI      = "internal-api-key"
	RingCursor   = "cursor"
)

// Rings are those that a spec has.
func Rings(s *v1alpha1.RealtimeGatewaySpec) []string {
	var out []string
	if n := s.Auth.NextAuth; n != nil && n.Current != nil {
		out = append(out, RingNextAuth)
	} else if n != nil && n.DerivedKey != nil {
		out = append(out, RingDerived)
	}
	if s.Auth.JWT != nil {
		out = append(out, RingJWT)
	}
	return append(out, RingAPI, RingCursor)
}

// ringsOf is those that a component reads; it is shown no other.
func (r renderer) ringsOf(c Component) []string {
	switch c {
	case Gateway:
		return Rings(r.spec)
	case Router:
		return []string{RingAPI}
	}
	return nil
}

func (r renderer) workload(c Component) v1alpha1.Workload {
	return map[Component]v1alpha1.Workload{Gateway: r.spec.Gateway.Workload, Router: r.spec.Router.Workload, Presence: r.spec.Presence.Workload}[c]
}

// deployment has no replicas: they go through the scale subresource, a field that is applied here would fight with it.
func (r renderer) deployment(c Component) (*unstructured.Unstructured, error) {
	history := int32(3)
	d := &appsv1.Deployment{TypeMeta: kind("apps/v1", "Deployment"), ObjectMeta: r.meta(Name(r.resource.Name, c), c), Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: Selector(r.resource.Name, c)}, RevisionHistoryLimit: &history,
		Template: r.template(c),
	}}
	r.pace(c, &d.Spec)
	u, err := plain(d)
	if err != nil {
		return nil, err
	}
	patch := r.workload(c).Patch
	if patch != nil && len(patch.Raw) > 0 {
		if u, err = merged(u, patch.Raw); err != nil {
			return nil, fmt.Errorf("%s.patch: %w", c, err)
		}
	}
	unstructured.RemoveNestedField(u.Object, "spec", "replicas")
	return u, nil
}

func merged(u *unstructured.Unstructured, patch []byte) (*unstructured.Unstructured, error) {
	before, err := json.Marshal(u.Object)
	if err != nil {
		return nil, err
	}
	after, err := strategicpatch.StrategicMergePatch(before, patch, appsv1.Deployment{})
	if err != nil {
		return nil, err
	}
	out := &unstructured.Unstructured{}
	if err := out.UnmarshalJSON(after); err != nil {
		return nil, err
	}
	return out, nil
}

// pace lets a rollout of gateways wait for drains: a new pod counts as there when the old one has given its clients away.
func (r renderer) pace(c Component, s *appsv1.DeploymentSpec) {
	surge, none, deadline := intstr.FromInt32(1), intstr.FromInt32(0), int32(600)
	if c == Gateway {
		drain := r.spec.Gateway.Drain
		s.MinReadySeconds = drain.EndpointDelaySeconds + drain.SpreadSeconds
		surge = intstr.FromInt32(drain.MaxConcurrent)
		if r.resource.Annotations[AnnotationHurry] == "true" {
			s.MinReadySeconds, surge = 0, intstr.FromString("100%")
		}
		deadline += s.MinReadySeconds
	}
	s.ProgressDeadlineSeconds = &deadline
	s.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &surge, MaxUnavailable: &none}}
}

func (r renderer) template(c Component) corev1.PodTemplateSpec {
	labels := Selector(r.resource.Name, c)
	labels[labelVersion] = label(r.spec.Version)
	t := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}}
	if boot := r.in.Boot[c]; boot != "" {
		t.Annotations = map[string]string{AnnotationBoot: boot}
	}
	yes, no, grace := true, false, int64(30)
	if c == Gateway {
		grace = int64(r.spec.Gateway.Drain.GracePeriodSeconds)
	}
	volumes, mounts := r.volumes(c)
	t.Spec = corev1.PodSpec{
		ServiceAccountName: r.resource.Name, AutomountServiceAccountToken: &no, EnableServiceLinks: &no, TerminationGracePeriodSeconds: &grace,
		SecurityContext:           &corev1.PodSecurityContext{RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		TopologySpreadConstraints: r.spread(c), Volumes: volumes,
		Containers: []corev1.Container{r.container(c, mounts)},
	}
	for _, s := range r.spec.Image.PullSecrets {
		t.Spec.ImagePullSecrets = append(t.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: s.Name})
	}
	return t
}

// label shortens a version to what a label may hold.
func label(version string) string { return version[:min(len(version), 63)] }

func (r renderer) container(c Component, mounts []corev1.VolumeMount) corev1.Container {
	yes, no := true, false
	w := r.workload(c)
	ports := []corev1.ContainerPort{{Name: "grpc", ContainerPort: c.grpcPort(), Protocol: corev1.ProtocolTCP}, {Name: "admin", ContainerPort: adminPort, Protocol: corev1.ProtocolTCP}}
	switch c {
	case Gateway:
		ports = append(ports, corev1.ContainerPort{Name: "http", ContainerPort: publicPort, Protocol: corev1.ProtocolTCP})
	case Router:
		ports = append(ports, corev1.ContainerPort{Name: "http", ContainerPort: emitPort, Protocol: corev1.ProtocolTCP})
	}
	probe := func(path string, period, failures int32) *corev1.Probe {
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("admin"), Scheme: corev1.URISchemeHTTP}},
			PeriodSeconds: period, FailureThreshold: failures, TimeoutSeconds: 2, SuccessThreshold: 1}
	}
	return corev1.Container{
		Name: string(c), Image: r.spec.Image.Repository + ":" + r.spec.Version, ImagePullPolicy: r.spec.Image.PullPolicy, Args: []string{string(c)},
		Env: r.environment(c), Ports: ports, VolumeMounts: mounts,
		Resources:      corev1.ResourceRequirements{Requests: w.Resources.Requests, Limits: w.Resources.Limits},
		ReadinessProbe: probe("/readyz", 2, 2), LivenessProbe: probe("/livez", 10, 3),
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes, RunAsNonRoot: &yes,
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
	}
}

func (r renderer) environment(c Component) []corev1.EnvVar {
	var out []corev1.EnvVar
	for _, s := range settings() {
		if !slices.Contains(s.of, c) {
			continue
		}
		if v := s.value(r); v != "" {
			out = append(out, corev1.EnvVar{Name: s.name, Value: v})
		}
	}
	return out
}

func (r renderer) spread(c Component) []corev1.TopologySpreadConstraint {
	over := func(key string) corev1.TopologySpreadConstraint {
		return corev1.TopologySpreadConstraint{MaxSkew: 1, TopologyKey: key, WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector: &metav1.LabelSelector{MatchLabels: Selector(r.resource.Name, c)}}
	}
	switch r.workload(c).Spread {
	case v1alpha1.SpreadHost:
		return []corev1.TopologySpreadConstraint{over(corev1.LabelHostname)}
	case v1alpha1.SpreadZoneAndHost:
		return []corev1.TopologySpreadConstraint{over(corev1.LabelTopologyZone), over(corev1.LabelHostname)}
	}
	return nil
}

// volumes are directories, never single files: only those change in a running pod.
func (r renderer) volumes(c Component) (volumes []corev1.Volume, mounts []corev1.VolumeMount) {
	add := func(name, dir string, sources ...corev1.VolumeProjection) {
		if len(sources) == 0 {
			return
		}
		volumes = append(volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: sources}}})
		mounts = append(mounts, corev1.VolumeMount{Name: name, MountPath: dir, ReadOnly: true})
	}
	var rings []corev1.KeyToPath
	for _, ring := range r.ringsOf(c) {
		rings = append(rings, corev1.KeyToPath{Key: ring, Path: ring})
	}
	if rings != nil {
		add("keys", keysDir, fromSecret(KeysSecret(r.resource.Name), rings...))
	}
	if tlsOn(r.spec) {
		add("tls", tlsDir, fromSecret(TLSSecret(r.resource.Name, c), corev1.KeyToPath{Key: "tls.crt", Path: "tls.crt"}, corev1.KeyToPath{Key: "tls.key", Path: "tls.key"}, corev1.KeyToPath{Key: "ca.crt", Path: "ca.crt"}))
	}
	var sources []corev1.VolumeProjection
	for _, f := range BootFiles(r.spec, c) {
		item := corev1.KeyToPath{Key: f.Ref.Key, Path: f.Path}
		if f.ConfigMap {
			sources = append(sources, corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: f.Ref.Name}, Items: []corev1.KeyToPath{item}}})
		} else {
			sources = append(sources, fromSecret(f.Ref.Name, item))
		}
	}
	if r.spec.Router.Mapping != nil && c != Presence {
		add("mapping", mapDir, sources[0])
		sources = sources[1:]
	}
	switch c {
	case Router:
		add("kafka", kafkaDir, sources...)
	case Presence:
		add("redis", redisDir, sources...)
	}
	return volumes, mounts
}

func fromSecret(name string, items ...corev1.KeyToPath) corev1.VolumeProjection {
	return corev1.VolumeProjection{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Items: items}}
}

// BootFile is something that pods read only when they start.
type BootFile struct {
	Ref       v1alpha1.KeyRef
	Path      string
	ConfigMap bool   // else a Secret
	Field     string // of the spec, for complaints
}

// BootFiles are those of a component; a mapping comes first.
func BootFiles(s *v1alpha1.RealtimeGatewaySpec, c Component) []BootFile {
	var out []BootFile
	add := func(ref *v1alpha1.KeyRef, path, field string) {
		if ref != nil {
			out = append(out, BootFile{Ref: *ref, Path: path, Field: field})
		}
	}
	if s.Router.Mapping != nil && c != Presence { // gateways read from it what pages and routes of the platform mean
		out = append(out, BootFile{Ref: *s.Router.Mapping, Path: "mapping.yaml", ConfigMap: true, Field: "router.mapping"})
	}
	switch c {
	case Router:
		if s.Kafka.SASL != nil {
			add(&s.Kafka.SASL.Username, "username", "kafka.sasl.username")
			add(&s.Kafka.SASL.Password, "password", "kafka.sasl.password")
		}
		if s.Kafka.TLS != nil {
			add(s.Kafka.TLS.CA, "ca.crt", "kafka.tls.ca")
		}
	case Presence:
		add(s.Redis.Username, "username", "redis.username")
		add(s.Redis.Password, "password", "redis.password")
		if s.Redis.TLS != nil {
			add(s.Redis.TLS.CA, "ca.crt", "redis.tls.ca")
		}
	}
	return out
}
