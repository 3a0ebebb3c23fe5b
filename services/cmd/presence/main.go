// Command presence knows who is online, and Redis.
package main

import (
	"os"

	"github.com/edumatrix/interlink/services/internal/cli"
	"github.com/edumatrix/interlink/services/internal/launch"
)

// version is stamped by the build.
var version string

func main() {
	os.Exit(cli.Main(cli.Presence, launch.Run, version))
}
