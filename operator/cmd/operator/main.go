// Command operator turns RealtimeGateway resources into running gateways, routers and presence.
package main

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/edumatrix/interlink/operator/internal/manager"
)

// version is stamped by the build.
var version string

func main() {
	namespaces := flag.String("namespaces", "", "comma list of namespaces to look after; empty: all")
	metrics := flag.String("metrics-addr", ":8080", "where metrics are served")
	probes := flag.String("probe-addr", ":8081", "where /healthz and /readyz are served")
	elect := flag.Bool("leader-elect", true, "several operators, one works")
	every := flag.Duration("interval", 15*time.Second, "between two looks when nothing happens")
	check := flag.Bool("check", false, "say whether resources can be read, and end")
	flag.Parse()
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	log.Info("starting", "version", version)
	o := manager.Options{MetricsAddr: *metrics, ProbeAddr: *probes, LeaderElection: *elect, Every: *every, Logger: log}
	if *namespaces != "" {
		o.Namespaces = strings.Split(*namespaces, ",")
	}
	ctx := ctrl.SetupSignalHandler()
	var err error
	if o.Config, err = ctrl.GetConfig(); err == nil {
		run := manager.Run
		if *check {
			run = manager.Check
		}
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
