// Command gateway holds the sockets of browsers.
package main

import (
	"os"

	"github.com/edumatrix/interlink/services/internal/cli"
	"github.com/edumatrix/interlink/services/internal/launch"
)

// version is stamped by the build.
var version string

func main() {
	os.Exit(cli.Main(cli.Gateway, launch.Run, version))
}
