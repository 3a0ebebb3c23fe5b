package controller

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/edumatrix/interlink/operator/api/v1alpha1"
	"github.com/edumatrix/interlink/operator/internal/keyring"
	"github.com/edumatrix/interlink/operator/internal/render"
	"github.com/edumatrix/interlink/operator/internal/scaling"
)

// summarize fills in the status from what was seen.
func (v *view) summarize() {
	s := &v.status
	s.ObservedGeneration = v.resource.Generation
	s.URL, s.EmitURL = render.URL(v.resource), render.EmitURL(v.resource)
	s.GatewaySelector = selectorText(v.resource, render.Gateway)
	for _, c := range render.Components() {
		s.Components = append(s.Components, v.component(c))
		if d := v.deployments[c]; d != nil && c == render.Gateway {
			s.GatewayReplicas = d.Status.Replicas
		}
	}
	s.Version = v.version()
	p := v.plan
	s.Scaling = v1alpha1.ScalingStatus{Connections: p.Connections, BusiestPod: p.Busiest, CoveragePercent: p.Coverage, DesiredReplicas: p.Recommended, LimitedBy: string(p.Limit)}
	s.Scaling.RouterLag, s.Scaling.RouterPartitions = v.routerLag()
	for _, c := range []metav1.Condition{v.readyCondition(), v.progressing(), v.degraded()} {
		c.ObservedGeneration = v.resource.Generation
		meta.SetStatusCondition(&s.Conditions, c)
	}
}

func (v *view) component(c render.Component) v1alpha1.ComponentStatus {
	out := v1alpha1.ComponentStatus{Name: string(c)}
	if d := v.deployments[c]; d != nil {
		out.Desired, out.Updated, out.Ready = replicas(d), d.Status.UpdatedReplicas, d.Status.ReadyReplicas
	}
	for _, p := range v.pods[c] {
		if p.terminating() {
			out.Terminating++
		}
	}
	return out
}

// version is that which all live gateways run; empty while they differ.
func (v *view) version() string {
	out := ""
	for _, p := range v.pods[render.Gateway] {
		if p.terminating() || len(p.Spec.Containers) == 0 {
			continue
		}
		_, version, _ := strings.Cut(p.Spec.Containers[0].Image[strings.LastIndex(p.Spec.Containers[0].Image, "/")+1:], ":")
		if out != "" && out != version {
			return ""
		}
		out = version
	}
	return out
}

func condition(kind string, is bool, reason, message string) metav1.Condition {
	status := metav1.ConditionFalse
	if is {
		status = metav1.ConditionTrue
	}
	const most = 1024
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message[:min(len(message), most)]}
}

// readyCondition: every component has a pod that serves, and what it needs.
func (v *view) readyCondition() metav1.Condition {
	missing := []string{}
	for _, c := range v.status.Components {
		if c.Ready == 0 && (c.Desired > 0 || v.deployments[render.Component(c.Name)] == nil) {
			missing = append(missing, c.Name)
		}
	}
	if len(missing) == 0 {
		return condition(v1alpha1.ConditionReady, true, "AllComponentsReady", "")
	}
	for _, p := range v.problems {
		if p.reason == "SecretMissing" || p.reason == "ConfigMapMissing" || p.reason == "ApplyFailed" || p.reason == "SecretNotOurs" {
			return condition(v1alpha1.ConditionReady, false, p.reason, p.message)
		}
	}
	if reason, message := v.diagnose(); reason != "" {
		return condition(v1alpha1.ConditionReady, false, reason, message)
	}
	return condition(v1alpha1.ConditionReady, false, "PodsNotReady", "no pod is ready of: "+strings.Join(missing, ", "))
}

// diagnose asks pods that are not ready why, the components that others wait for first.
func (v *view) diagnose() (reason, message string) {
	for _, c := range []render.Component{render.Router, render.Presence, render.Gateway} {
		for _, p := range v.pods[c] {
			if p.terminating() || ready(p.Pod) {
				continue
			}
			// What a container ended with is definite; what a young one says of itself may only be that it is young.
			for _, words := range []string{ended(p.Pod), v.grown(p)} {
				if reason = classify(c, words); reason != "" {
					return reason, fmt.Sprintf("%s: %s", p.Name, words)
				}
			}
		}
	}
	return "", ""
}

// grown is why a pod says that it is not ready, once it had time to be.
func (v *view) grown(p pod) string {
	const youth = 15 * time.Second
	if p.Status.StartTime == nil || v.now.Sub(p.Status.StartTime.Time) < youth {
		return ""
	}
	return p.sample.NotReady
}

// ended is what a container said when it ended, or why it does not begin.
func ended(p *corev1.Pod) string {
	const last = 3 // lines of what it logged: a complaint may have several
	for _, s := range p.Status.ContainerStatuses {
		for _, state := range []corev1.ContainerState{s.State, s.LastTerminationState} {
			if t := state.Terminated; t != nil && t.Message != "" {
				lines := strings.Split(strings.TrimSpace(t.Message), "\n")
				return strings.Join(lines[max(0, len(lines)-last):], " ")
			}
			if w := state.Waiting; w != nil && (w.Reason == "ErrImagePull" || w.Reason == "ImagePullBackOff" || w.Reason == "ErrImageNeverPull" || w.Reason == "CreateContainerConfigError") {
				return w.Reason + ": " + w.Message
			}
		}
	}
	return ""
}

// classify gives a pod's words a reason of a closed set; empty if they tell nothing definite.
func classify(c render.Component, words string) string {
	text := strings.ToLower(words)
	has := func(any ...string) bool {
		return slices.ContainsFunc(any, func(s string) bool { return strings.Contains(text, s) })
	}
	switch {
	case words == "":
		return ""
	case has("imagepull", "errimage"):
		return "ImageUnavailable"
	case c == render.Router && has("sasl", "authentication", "not authorized", "authorization failed"):
		return "KafkaAuthFailed"
	case c == render.Router && has("missing topic", "topics are missing", "no such topic", "unknown topic"):
		return "KafkaTopicsMissing"
	case c == render.Router && has("kafka", "broker", "dial tcp", "connection refused", "i/o timeout", "no such host"):
		return "KafkaUnreachable"
	case c == render.Presence && has("wrongpass", "noauth", "noperm", "invalid username-password"):
		return "RedisAuthFailed"
	case c == render.Presence && has("redis", "store", "dial tcp", "connection refused", "i/o timeout", "no such host"):
		return "RedisUnreachable"
	case has("expected", "there is no such setting"):
		return "ConfigurationInvalid"
	}
	return ""
}

func (v *view) progressing() metav1.Condition {
	for _, c := range render.Components() {
		d := v.deployments[c]
		switch {
		case d == nil:
			return condition(v1alpha1.ConditionProgressing, true, "Creating", string(c)+" is being made")
		case rollingOut(d):
			return condition(v1alpha1.ConditionProgressing, true, "RolloutInProgress", string(c)+" is being rolled out")
		}
	}
	for _, c := range v.status.Components {
		if c.Terminating > 0 {
			return condition(v1alpha1.ConditionProgressing, true, "Draining", "pods of "+c.Name+" are ending")
		}
		if c.Ready < c.Desired {
			return condition(v1alpha1.ConditionProgressing, true, "Scaling", c.Name+" waits for pods to be ready")
		}
	}
	for _, k := range v.status.Keys {
		if k.Phase == string(keyring.Publishing) {
			return condition(v1alpha1.ConditionProgressing, true, "RotatingKeys", "key ring "+k.Name+" waits for pods to report the new key")
		}
	}
	if d := v.deployments[render.Gateway]; v.plan.Replicas != replicas(d) {
		return condition(v1alpha1.ConditionProgressing, true, "Scaling", "the number of gateways changes")
	}
	return condition(v1alpha1.ConditionProgressing, false, "Settled", "")
}

func (v *view) degraded() metav1.Condition {
	if len(v.problems) > 0 {
		return condition(v1alpha1.ConditionDegraded, true, v.problems[0].reason, v.problems[0].message)
	}
	if v.plan.Limit == scaling.MetricsUnavailable || v.plan.Coverage < 100 && v.plan.Coverage < v.resource.Spec.Gateway.Scaling.Connections.MinCoveragePercent {
		return condition(v1alpha1.ConditionDegraded, true, "MetricsUnavailable", fmt.Sprintf("%d %% of the gateways tell their sockets; the number of gateways is held", v.plan.Coverage))
	}
	if reason, message := v.diagnose(); reason != "" {
		return condition(v1alpha1.ConditionDegraded, true, reason, message)
	}
	if v.plan.Limit == scaling.AtMaximum {
		return condition(v1alpha1.ConditionDegraded, true, "AtMaximum", "more gateways are needed than scaling.connections.maxReplicas allows")
	}
	return condition(v1alpha1.ConditionDegraded, false, "AsExpected", "")
}

// transition is the type of event that a condition is worth; none if it only says the same again.
func transition(before []metav1.Condition, now metav1.Condition) (string, bool) {
	old := meta.FindStatusCondition(before, now.Type)
	if old != nil && old.Status == now.Status && old.Reason == now.Reason {
		return "", false
	}
	if old == nil && now.Status == metav1.ConditionFalse && now.Type != v1alpha1.ConditionReady {
		return "", false // nothing was wrong, and nothing is
	}
	good := now.Status == metav1.ConditionTrue
	if now.Type != v1alpha1.ConditionReady {
		good = now.Status == metav1.ConditionFalse || now.Type == v1alpha1.ConditionProgressing
	}
	if good {
		return corev1.EventTypeNormal, true
	}
	return corev1.EventTypeWarning, true
}
