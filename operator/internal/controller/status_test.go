package controller

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/edumatrix/interlink/operator/api/v1alpha1"
	"github.com/edumatrix/interlink/operator/internal/render"
)

func TestWordsOfPodsHaveReasons(t *testing.T) {
	for _, tc := range []struct {
		component   render.Component
		words, want string
	}{
		{render.Router, "kafka has not answered yet", "KafkaUnreachable"},
		{render.Router, "dial tcp 10.0.0.1:9092: connect: connection refused", "KafkaUnreachable"},
		{render.Router, "SASL Authentication Failed: wrong password", "KafkaAuthFailed"},
		{render.Presence, "WRONGPASS invalid username-password pair", "RedisAuthFailed"},
		{render.Presence, "NOAUTH Authentication required.", "RedisAuthFailed"},
		{render.Presence, "dial tcp: lookup redis: no such host", "RedisUnreachable"},
		{render.Gateway, "INTERLINK_PING_INTERVAL: expected a duration", "ConfigurationInvalid"},
		{render.Gateway, "ErrImagePull: not found", "ImageUnavailable"},
		{render.Gateway, "gateway: no router has attached yet", ""},
		{render.Router, "the partition logs are not complete yet", ""},
		{render.Router, "", ""},
	} {
		if got := classify(tc.component, tc.words); got != tc.want {
			t.Errorf("%s, %q: %q, want %q", tc.component, tc.words, got, tc.want)
		}
	}
}

func TestEventsAreForTransitions(t *testing.T) {
	ready := condition(v1alpha1.ConditionReady, true, "AllComponentsReady", "")
	broken := condition(v1alpha1.ConditionReady, false, "KafkaUnreachable", "away")
	wrong := condition(v1alpha1.ConditionDegraded, true, "SecretMissing", "")
	fine := condition(v1alpha1.ConditionDegraded, false, "AsExpected", "")
	for name, tc := range map[string]struct {
		before []metav1.Condition
		now    metav1.Condition
		want   string
	}{
		"ready for the first time":       {nil, ready, "Normal"},
		"not ready for the first time":   {nil, broken, "Warning"},
		"ready again":                    {[]metav1.Condition{broken}, ready, "Normal"},
		"the same with other words":      {[]metav1.Condition{broken}, condition(v1alpha1.ConditionReady, false, "KafkaUnreachable", "still"), ""},
		"for another reason":             {[]metav1.Condition{broken}, condition(v1alpha1.ConditionReady, false, "SecretMissing", ""), "Warning"},
		"nothing was wrong, nothing is":  {nil, fine, ""},
		"something is wrong now":         {[]metav1.Condition{fine}, wrong, "Warning"},
		"what was wrong has been healed": {[]metav1.Condition{wrong}, fine, "Normal"},
	} {
		if got, _ := transition(tc.before, tc.now); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
