// Command interlink is all of Interlink: the services in one process, each alone, and the tools around them.
package main

import (
	"os"

	"github.com/edumatrix/interlink/services/internal/cli"
	"github.com/edumatrix/interlink/services/internal/launch"
)

// version is stamped by the build.
var version string

func main() {
	os.Exit(cli.Main(cli.Interlink, launch.Run, version))
}
