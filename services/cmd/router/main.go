// Command router reads Kafka, pushes to the gateways and serves the HTTP API.
package main

import (
	"os"

	"github.com/edumatrix/interlink/services/internal/cli"
	"github.com/edumatrix/interlink/services/internal/launch"
)

// version is stamped by the build.
var version string

func main() {
	os.Exit(cli.Main(cli.Router, launch.Run, version))
}
