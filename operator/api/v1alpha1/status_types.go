package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Types of conditions.
const (
	ConditionReady       = "Ready"
	ConditionProgressing = "Progressing"
	ConditionDegraded    = "Degraded"
)

// RealtimeGatewayStatus is what is. It is made anew from what is seen, each time.
type RealtimeGatewayStatus struct {
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Version that all gateways run.
	Version string `json:"version,omitempty"`
	// URL is where browsers connect.
	URL string `json:"url,omitempty"`
	// EmitURL is where Next.js publishes.
	EmitURL         string `json:"emitURL,omitempty"`
	GatewayReplicas int32  `json:"gatewayReplicas,omitempty"`
	GatewaySelector string `json:"gatewaySelector,omitempty"`
	// +listType=map
	// +listMapKey=name
	Components []ComponentStatus `json:"components,omitempty"`
	Scaling    ScalingStatus     `json:"scaling,omitempty"`
	// +listType=map
	// +listMapKey=name
	Keys []KeyStatus `json:"keys,omitempty"`
	// +listType=map
	// +listMapKey=name
	Certificates []CertificateStatus `json:"certificates,omitempty"`
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ComponentStatus counts the pods of one service.
type ComponentStatus struct {
	Name        string `json:"name"`
	Desired     int32  `json:"desired"`
	Updated     int32  `json:"updated"`
	Ready       int32  `json:"ready"`
	Terminating int32  `json:"terminating"`
}

// ScalingStatus is what scaling decides by.
type ScalingStatus struct {
	// Sockets over ready and terminating gateways.
	Connections int32 `json:"connections"`
	BusiestPod  int32 `json:"busiestPod"`
	// Share of the gateways that answered.
	CoveragePercent int32 `json:"coveragePercent"`
	DesiredReplicas int32 `json:"desiredReplicas"`
	// Why the number is not what the sockets ask for; empty if it is.
	LimitedBy string `json:"limitedBy,omitempty"`
	// Records that routers have not read yet; absent when unknown.
	RouterLag        *int64 `json:"routerLag,omitempty"`
	RouterPartitions int32  `json:"routerPartitions,omitempty"`
}

// KeyStatus is one ring of keys. IDs are digests, they tell nothing of the keys.
type KeyStatus struct {
	Name string `json:"name"`
	// Stable, Publishing (the new one is being taken everywhere, but not used) or Overlap (the old one is still taken).
	Phase      string `json:"phase"`
	CurrentID  string `json:"currentID,omitempty"`
	NextID     string `json:"nextID,omitempty"`
	PreviousID string `json:"previousID,omitempty"`
	// When the phase began.
	Since *metav1.Time `json:"since,omitempty"`
	// When a pod last saw the previous key used, and which pods did within the overlap.
	PreviousLastUsed *metav1.Time `json:"previousLastUsed,omitempty"`
	PreviousUsedAt   []string     `json:"previousUsedAt,omitempty"`
	// Pods that have not reported the next key yet.
	WaitingFor     []string     `json:"waitingFor,omitempty"`
	NextRotationAt *metav1.Time `json:"nextRotationAt,omitempty"`
}

// CertificateStatus is one certificate between pods.
type CertificateStatus struct {
	Name     string      `json:"name"`
	NotAfter metav1.Time `json:"notAfter"`
}
