// Package v1alpha1 is the RealtimeGateway resource: one object that stands for a whole Interlink, its gateways, routers
// and presence. What goes together and what does not is said by CEL rules in the schema; there are no webhooks.
//
// Durations are whole seconds, choices are enums, lists are bounded. References to Secrets and ConfigMaps are to the
// resource's own namespace. The operator writes status, never spec.
//
// +kubebuilder:object:generate=true
// +groupName=realtime.edumatrix.io
package v1alpha1

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is this API's.
var GroupVersion = schema.GroupVersion{Group: "realtime.edumatrix.io", Version: "v1alpha1"}

// AddToScheme makes the types known to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &RealtimeGateway{}, &RealtimeGatewayList{})
	v1.AddToGroupVersion(s, GroupVersion)
	return nil
}
