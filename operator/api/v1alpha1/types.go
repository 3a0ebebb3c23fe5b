package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// RealtimeGateway is one Interlink: gateways for browsers, routers that read Kafka, presence beside Redis.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=rtg,categories=all
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.gateway.replicas,statuspath=.status.gatewayReplicas,selectorpath=.status.gatewaySelector
// +kubebuilder:printcolumn:name=Version,type=string,JSONPath=.status.version
// +kubebuilder:printcolumn:name=Gateways,type=integer,JSONPath=.status.gatewayReplicas
// +kubebuilder:printcolumn:name=Sockets,type=integer,JSONPath=.status.scaling.connections
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=.metadata.creationTimestamp
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40",message="metadata.name: at most 40 characters, names of Services are made of it"
type RealtimeGateway struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// +required
	Spec RealtimeGatewaySpec `json:"spec"`
	// +optional
	Status RealtimeGatewayStatus `json:"status,omitempty"`
}

// RealtimeGatewayList is a list of them.
//
// +kubebuilder:object:root=true
type RealtimeGatewayList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []RealtimeGateway `json:"items"`
}

// RealtimeGatewaySpec is what is wanted.
type RealtimeGatewaySpec struct {
	// Version of Interlink that runs, the image's tag. An upgrade of the operator never changes it.
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`
	Version string `json:"version"`
	// +kubebuilder:default={}
	Image ImageSpec `json:"image,omitempty"`
	// +kubebuilder:default={heartbeat: {intervalSeconds: 25, timeoutSeconds: 20}, resume: {windowSeconds: 120}}
	Gateway GatewaySpec `json:"gateway,omitempty"`
	// +kubebuilder:default={}
	Router RouterSpec `json:"router,omitempty"`
	// +kubebuilder:default={}
	Presence PresenceSpec `json:"presence,omitempty"`
	Kafka    KafkaSpec    `json:"kafka"`
	Redis    RedisSpec    `json:"redis"`
	Auth     AuthSpec     `json:"auth"`
	CORS     CORSSpec     `json:"cors,omitempty"`
	Exposure ExposureSpec `json:"exposure,omitempty"`
	// +kubebuilder:default={}
	Security SecuritySpec `json:"security,omitempty"`
	// +kubebuilder:default={}
	Observability ObservabilitySpec `json:"observability,omitempty"`
}

// ImageSpec says where the image comes from.
type ImageSpec struct {
	// +kubebuilder:default="ghcr.io/edumatrix/interlink"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Repository string `json:"repository,omitempty"`
	// +kubebuilder:default=IfNotPresent
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	PullPolicy corev1.PullPolicy `json:"pullPolicy,omitempty"`
	// +kubebuilder:validation:MaxItems=8
	// +listType=map
	// +listMapKey=name
	PullSecrets []LocalName `json:"pullSecrets,omitempty"`
}

// LocalName names an object of the same namespace.
type LocalName struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// KeyRef is one key of a Secret or ConfigMap of the same namespace.
type KeyRef struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`
}

// Workload is what every Deployment can be told. What is not here goes by patch.
type Workload struct {
	// Resources of the container.
	Resources ResourcesSpec `json:"resources,omitempty"`
	// Spread of the pods over hosts and zones.
	// +kubebuilder:default=ZoneAndHost
	// +kubebuilder:validation:Enum=None;Host;ZoneAndHost
	Spread Spread `json:"spread,omitempty"`
	// +kubebuilder:default={maxUnavailable: 1}
	PDB PDBSpec `json:"pdb,omitempty"`
	// Patch is merged into the Deployment, by the rules of kubectl's strategic merge. What it says of replicas is ignored.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	Patch *runtime.RawExtension `json:"patch,omitempty"`
}

// ResourcesSpec are requests and limits.
type ResourcesSpec struct {
	Requests corev1.ResourceList `json:"requests,omitempty"`
	Limits   corev1.ResourceList `json:"limits,omitempty"`
}

// Spread is how pods are kept apart.
type Spread string

// Values of Spread.
const (
	SpreadNone        Spread = "None"
	SpreadHost        Spread = "Host"
	SpreadZoneAndHost Spread = "ZoneAndHost"
)

// PDBSpec bounds evictions.
type PDBSpec struct {
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:default=1
	MaxUnavailable int32 `json:"maxUnavailable,omitempty"`
}

// PresenceSpec is the service beside Redis.
type PresenceSpec struct {
	Workload `json:",inline"`
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=50
	Replicas int32 `json:"replicas,omitempty"`
	// After what time a gateway that says nothing counts as dead.
	// +kubebuilder:default=9
	// +kubebuilder:validation:Minimum=3
	// +kubebuilder:validation:Maximum=120
	LeaseSeconds int32 `json:"leaseSeconds,omitempty"`
	// How long a user stays online after an abrupt loss.
	// +kubebuilder:default=15
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=600
	GraceSeconds int32 `json:"graceSeconds,omitempty"`
	// +kubebuilder:default=6
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=60
	TypingSeconds int32 `json:"typingSeconds,omitempty"`
	// +kubebuilder:default={}
	Inbox InboxSpec `json:"inbox,omitempty"`
}

// InboxSpec is what is kept for users who are away.
type InboxSpec struct {
	// +kubebuilder:default=1000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	Events int32 `json:"events,omitempty"`
	// +kubebuilder:default=604800
	// +kubebuilder:validation:Minimum=60
	KeepSeconds int32 `json:"keepSeconds,omitempty"`
	// After what time an event that nobody has received counts as undelivered.
	// +kubebuilder:default=60
	// +kubebuilder:validation:Minimum=1
	UndeliveredAfterSeconds int32 `json:"undeliveredAfterSeconds,omitempty"`
}

// CORSSpec names the pages that may connect from another host.
type CORSSpec struct {
	// Origins, each scheme://host[:port], or * alone.
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=255
	// +kubebuilder:validation:items:Pattern=`^(\*|https?://[^/\s,]+)$`
	// +kubebuilder:validation:XValidation:rule="!('*' in self) || size(self) == 1",message="cors.origins: * stands alone"
	// +listType=set
	Origins []string `json:"origins,omitempty"`
}

// SecuritySpec is how pods trust each other.
type SecuritySpec struct {
	// +kubebuilder:default={mode: Managed}
	InternalTLS InternalTLSSpec `json:"internalTLS,omitempty"`
	// +kubebuilder:default={mode: Managed}
	NetworkPolicy NetworkPolicySpec `json:"networkPolicy,omitempty"`
}

// TLSMode is who issues the certificates between pods.
type TLSMode string

// Values of TLSMode.
const (
	TLSManaged     TLSMode = "Managed"
	TLSCertManager TLSMode = "CertManager"
	TLSDisabled    TLSMode = "Disabled"
)

// InternalTLSSpec is about gRPC between pods.
// +kubebuilder:validation:XValidation:rule="(self.mode == 'CertManager') == has(self.issuerRef)",message="security.internalTLS.issuerRef: expected with mode CertManager, and only then"
type InternalTLSSpec struct {
	// +kubebuilder:default=Managed
	// +kubebuilder:validation:Enum=Managed;CertManager;Disabled
	Mode TLSMode `json:"mode,omitempty"`
	// +kubebuilder:default=90
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=825
	CertificateDays int32 `json:"certificateDays,omitempty"`
	// +kubebuilder:default=1825
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=3650
	AuthorityDays int32      `json:"authorityDays,omitempty"`
	IssuerRef     *IssuerRef `json:"issuerRef,omitempty"`
}

// IssuerRef names cert-manager's issuer.
type IssuerRef struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// +kubebuilder:default=Issuer
	// +kubebuilder:validation:Enum=Issuer;ClusterIssuer
	Kind string `json:"kind,omitempty"`
}

// Managed is whether the operator makes something.
type Managed string

// Values of Managed.
const (
	ManagedOn  Managed = "Managed"
	ManagedOff Managed = "Disabled"
)

// NetworkPolicySpec is about who may talk to the pods.
type NetworkPolicySpec struct {
	// +kubebuilder:default=Managed
	// +kubebuilder:validation:Enum=Managed;Disabled
	Mode Managed `json:"mode,omitempty"`
	// From where browsers' connections come: the ingress controller's namespaces. Without any, from everywhere.
	// +kubebuilder:validation:MaxItems=16
	IngressFrom []NamespacePeer `json:"ingressFrom,omitempty"`
	// Namespaces of the operator and of Prometheus, who read metrics. Without any, all namespaces.
	// +kubebuilder:validation:MaxItems=16
	MetricsFrom []NamespacePeer `json:"metricsFrom,omitempty"`
}

// NamespacePeer selects namespaces by label.
type NamespacePeer struct {
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	NamespaceLabels map[string]string `json:"namespaceLabels"`
}

// ObservabilitySpec is about metrics and logs.
type ObservabilitySpec struct {
	// +kubebuilder:default=info
	// +kubebuilder:validation:Enum=debug;info;warn;error
	LogLevel string `json:"logLevel,omitempty"`
	// +kubebuilder:default={mode: Managed}
	ServiceMonitor ServiceMonitorSpec `json:"serviceMonitor,omitempty"`
}

// ServiceMonitorSpec is made when Prometheus' operator is there.
type ServiceMonitorSpec struct {
	// +kubebuilder:default=Managed
	// +kubebuilder:validation:Enum=Managed;Disabled
	Mode Managed `json:"mode,omitempty"`
	// +kubebuilder:default=15
	// +kubebuilder:validation:Minimum=1
	IntervalSeconds int32 `json:"intervalSeconds,omitempty"`
	// +kubebuilder:validation:MaxProperties=16
	Labels map[string]string `json:"labels,omitempty"`
}
