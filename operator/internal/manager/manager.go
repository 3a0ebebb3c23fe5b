// Package manager owns how the operator runs: its scheme, its caches, leader election, which optional APIs there are.
package manager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/edumatrix/interlink/operator/api/v1alpha1"
	"github.com/edumatrix/interlink/operator/internal/controller"
	"github.com/edumatrix/interlink/operator/internal/render"
	"github.com/edumatrix/interlink/operator/internal/scrape"
)

// Options of Run.
type Options struct {
	Config         *rest.Config
	Namespaces     []string // empty: all
	MetricsAddr    string   // "0": none
	ProbeAddr      string   // "0": none
	LeaderElection bool
	LeaderIn       string             // namespace of the lease; empty: the pod's
	Every          time.Duration      // see controller.Options
	Scraper        controller.Scraper // [asks the pods]
	Now            func() time.Time   // [time.Now]
	Logger         *slog.Logger
	Several        bool // more than one in a process, as tests have
}

// Scheme knows Kubernetes' own kinds and ours.
func Scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	return s, errors.Join(clientgoscheme.AddToScheme(s), v1alpha1.AddToScheme(s))
}

// Run reconciles until ctx ends.
func Run(ctx context.Context, o Options) error {
	scheme, err := Scheme()
	if err != nil {
		return fmt.Errorf("manager: %w", err)
	}
	log := logr.FromSlogHandler(o.Logger.Handler())
	ctrl.SetLogger(log)
	m, err := ctrl.NewManager(o.Config, ctrl.Options{
		Scheme: scheme, Logger: log, Cache: caches(o.Namespaces),
		Metrics: metricsserver.Options{BindAddress: o.MetricsAddr}, HealthProbeBindAddress: o.ProbeAddr,
		LeaderElection: o.LeaderElection, LeaderElectionID: "interlink-operator", LeaderElectionNamespace: o.LeaderIn, LeaderElectionReleaseOnCancel: true,
		Client:     client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}}}},
		Controller: config.Controller{SkipNameValidation: &o.Several},
	})
	if err != nil {
		return fmt.Errorf("manager: %w", err)
	}
	numbers, err := controller.NewMetrics(metrics.Registry)
	if err != nil && !o.Several {
		return fmt.Errorf("manager: %w", err)
	}
	if o.Scraper == nil {
		o.Scraper = scrape.New(render.AdminPort)
	}
	r := controller.New(controller.Options{Client: m.GetClient(), Live: m.GetAPIReader(), Scraper: o.Scraper, Events: m.GetEventRecorder("interlink-operator"),
		APIs: discover(m.GetRESTMapper()), Metrics: numbers, Every: o.Every, Now: o.Now})
	if err := r.Register(m); err != nil {
		return err
	}
	if err := errors.Join(m.AddHealthzCheck("ping", healthz.Ping), m.AddReadyzCheck("ping", healthz.Ping)); err != nil {
		return fmt.Errorf("manager: %w", err)
	}
	if err := m.Start(ctx); err != nil {
		return fmt.Errorf("manager: %w", err)
	}
	return nil
}

// Check reads the resources once.
func Check(ctx context.Context, o Options) error {
	scheme, err := Scheme()
	if err != nil {
		return fmt.Errorf("manager: %w", err)
	}
	c, err := client.New(o.Config, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("manager: %w", err)
	}
	in := append(o.Namespaces, "")[0]
	var all v1alpha1.RealtimeGatewayList
	if err := c.List(ctx, &all, client.InNamespace(in)); err != nil {
		return fmt.Errorf("manager: list resources: %w", err)
	}
	o.Logger.Info("resources can be read", "count", len(all.Items))
	return nil
}

// caches hold only our pods; of Secrets and ConfigMaps nothing but metadata is watched, see controller.Register.
func caches(namespaces []string) cache.Options {
	o := cache.Options{ByObject: map[client.Object]cache.ByObject{
		&corev1.Pod{}: {Label: labels.SelectorFromSet(labels.Set{"app.kubernetes.io/name": "interlink"})},
	}}
	if len(namespaces) > 0 {
		o.DefaultNamespaces = map[string]cache.Config{}
		for _, n := range namespaces {
			o.DefaultNamespaces[n] = cache.Config{}
		}
	}
	return o
}

// discover says which optional kinds there are, at start: a cluster that gets one later restarts the operator.
func discover(m meta.RESTMapper) render.APIs {
	has := func(group, version, kind string) bool {
		_, err := m.RESTMapping(schema.GroupKind{Group: group, Kind: kind}, version)
		return err == nil
	}
	return render.APIs{
		HTTPRoute:      has("gateway.networking.k8s.io", "v1", "HTTPRoute"),
		ServiceMonitor: has("monitoring.coreos.com", "v1", "ServiceMonitor"),
		Certificate:    has("cert-manager.io", "v1", "Certificate"),
	}
}
