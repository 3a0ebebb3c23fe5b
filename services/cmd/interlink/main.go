// Command interlink is all of Interlink: the services in one process, each alone, and the tools around them.
package main

import (
	"context"
	"os"

	"github.com/edumatrix/interlink/services/internal/cli"
	"github.com/edumatrix/interlink/services/internal/launch"
	"github.com/edumatrix/interlink/services/internal/listen"
)

// version is stamped by the build.
var version string

func main() {
	os.Exit(cli.Main(cli.Interlink(listening), launch.Run, version))
}

func listening(ctx context.Context, l cli.Listening) error {
	return listen.Run(ctx, listen.Options(l))
}
