// Package cli owns the command line: the words of `interlink` and of the binaries of the single services, their help
// and what they print. What a command does beyond talking to people is others'.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/edumatrix/interlink/services/internal/config"
)

// Command is one run of a program. The zero value of a field is not usable.
type Command struct {
	Out, Err io.Writer
	Environ  map[string]string
	Version  string
	Run      Runner
}

// Runner runs a service until ctx ends; launch.Run is the real one.
type Runner func(ctx context.Context, c config.Config, out, errOut io.Writer) error

// Main runs the root command that build makes and returns the exit code. The first SIGINT or SIGTERM ends ctx; a
// second one ends the process at once.
func Main(build func(Command) *cobra.Command, run Runner, version string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // from then on, a signal has its usual effect
	c := Command{Out: os.Stdout, Err: os.Stderr, Environ: config.Environ(os.Environ()), Version: Version(version), Run: run}
	return c.execute(ctx, build(c), os.Args[1:])
}

func (c Command) execute(ctx context.Context, root *cobra.Command, args []string) int {
	root.SetOut(c.Out)
	root.SetErr(c.Err)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var exit *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.code
	}
	_, _ = fmt.Fprintln(c.Err, Complaint(err))
	return 1
}

// exitError ends with a code after everything has been said.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// Complaint is an error for people: one line for each thing that is wrong.
func Complaint(err error) string {
	lines := strings.Split(err.Error(), "\n")
	if len(lines) == 1 {
		return "interlink: " + lines[0]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "interlink: %d things are wrong:", len(lines))
	for _, line := range lines {
		b.WriteString("\n  - " + line)
	}
	return b.String()
}

// Version is what the build was stamped with, else what Go knows of it.
func Version(stamped string) string {
	if stamped != "" {
		return stamped
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := "devel"
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			version += "-" + s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			version += "-changed"
		}
	}
	return version
}

// Interlink makes the program with all commands.
func Interlink(listen Listener) func(Command) *cobra.Command {
	return func(c Command) *cobra.Command { return c.interlink(listen) }
}

func (c Command) interlink(listen Listener) *cobra.Command {
	root := c.service(config.Serve, "interlink")
	root.Use = "interlink [command]"
	root.Short = "The live half of a Next.js application: one publish reaches every browser in the room"
	root.Long = `Interlink delivers what Next.js publishes (by Kafka or HTTP) to browsers, over the Socket.IO protocol.

Without a command it is ` + "`interlink serve`" + `: all services in one process, on one port.
Settings come from the environment: see ` + "`interlink config`" + `.`
	root.Example = `  INTERLINK_DEV=1 interlink          everything on a laptop, nothing else to install
  interlink doctor                   what is wrong with the settings of this machine
  interlink publish --room conversation:42 --event message:new --data '{"text":"hi"}'
  interlink listen --user u7 --room conversation:42`
	root.AddCommand(
		c.serve(),
		c.service(config.Gateway, "gateway"), c.service(config.Router, "router"), c.service(config.Presence, "presence"),
		c.publish(), c.listen(listen), c.why(), c.token(), c.whoami(), c.doctor(), c.mapping(), c.config(), c.healthcheck(), c.version(),
	)
	return root
}

// Gateway, Router and Presence are the programs of one service each.
func Gateway(c Command) *cobra.Command  { return c.alone(config.Gateway) }
func Router(c Command) *cobra.Command   { return c.alone(config.Router) }
func Presence(c Command) *cobra.Command { return c.alone(config.Presence) }

func (c Command) alone(role config.Role) *cobra.Command {
	root := c.service(role, string(role))
	root.AddCommand(c.config(), c.healthcheck(), c.version())
	return root
}

var about = map[config.Role][2]string{
	config.Serve: {"All services in one process, on one port", `Runs gateway, router and presence in one process. Browsers and Next.js use the same port (SOCKET_IO_PORT, 3001).

Without KAFKA_BROKERS it brings a broker of its own, without Redis a store of its own: good for a laptop.
With INTERLINK_DEV=1 nothing at all needs to be set: a fixed secret, every room open, a page to try it at /.`},
	config.Gateway: {"The sockets of browsers", "Runs a gateway: it holds the sockets of browsers. Any number of them."},
	config.Router:  {"Kafka and the HTTP API", "Runs a router: it reads Kafka, pushes to the gateways and serves /v1. As many as there are partitions at most."},
	config.Presence: {"Who is online, and Redis",
		"Runs presence: it alone knows Redis. Two are enough; messages never wait for it."},
}

func (c Command) service(role config.Role, use string) *cobra.Command {
	example := map[config.Role]string{
		config.Serve:    "  INTERLINK_DEV=1 interlink serve\n  KAFKA_BROKERS=kafka:9092 REDIS_URL=redis://redis:6379 AUTH_SECRET=… INTERNAL_API_KEY=… interlink serve",
		config.Gateway:  "  INTERLINK_ROUTERS=dns:///router:9102 INTERLINK_PRESENCE=dns:///presence:9103 AUTH_SECRET=… INTERNAL_API_KEY=… interlink gateway",
		config.Router:   "  KAFKA_BROKERS=kafka:9092 INTERLINK_GATEWAYS=dns:///gateway:9101 INTERLINK_PRESENCE=dns:///presence:9103 INTERNAL_API_KEY=… interlink router",
		config.Presence: "  REDIS_URL=redis://redis:6379 INTERLINK_ROUTERS=dns:///router:9102 interlink presence",
	}
	return &cobra.Command{
		Use: use, Short: about[role][0], Long: about[role][1], Example: example[role], Version: c.Version,
		Args: cobra.NoArgs, SilenceErrors: true, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := config.Read(role, c.Environ)
			if err != nil {
				return err
			}
			return c.Run(cmd.Context(), settings, c.Out, c.Err)
		},
	}
}

func (c Command) serve() *cobra.Command { return c.service(config.Serve, "serve") }

// settings reads the configuration for a command that starts no service.
func (c Command) settings() (config.Config, error) { return config.ReadAnyway(c.Environ) }

func (c Command) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "The version of this program", Example: "  interlink version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(c.Out, "interlink %s\n", c.Version)
			return err
		},
	}
}
