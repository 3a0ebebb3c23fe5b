package controller

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/edumatrix/interlink/operator/api/v1alpha1"
)

// Metrics of the operator, beside controller-runtime's own.
type Metrics struct {
	desired *prometheus.GaugeVec
	held    *prometheus.CounterVec
}

// NewMetrics registers them.
func NewMetrics(to prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		desired: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "interlink_operator_desired_replicas", Help: "Gateways that the sockets of a resource ask for."}, []string{"namespace", "name"}),
		held:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "interlink_operator_held_total", Help: "Looks at which the number of gateways was not what sockets ask for, by reason."}, []string{"reason"}),
	}
	for _, c := range []prometheus.Collector{m.desired, m.held} {
		if err := to.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) observe(of types.NamespacedName, s v1alpha1.RealtimeGatewayStatus) {
	m.desired.WithLabelValues(of.Namespace, of.Name).Set(float64(s.Scaling.DesiredReplicas))
	if s.Scaling.LimitedBy != "" {
		m.held.WithLabelValues(s.Scaling.LimitedBy).Inc()
	}
}

func (m *Metrics) forget(of types.NamespacedName) { m.desired.DeleteLabelValues(of.Namespace, of.Name) }
