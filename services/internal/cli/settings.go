package cli

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func (c Command) config() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "config", Short: "The settings, what they are here, and what they mean",
		Long:    "Lists the settings that the environment gives, and with --all every setting with its default. Secrets are not shown.",
		Example: "  interlink config\n  interlink config --all",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			settings, wrong := c.settings()
			w := tabwriter.NewWriter(c.Out, 0, 4, 2, ' ', 0)
			group, shown := "", 0
			for _, e := range settings.Entries() {
				if !e.Given && !all {
					continue
				}
				if e.Group != group {
					group = e.Group
					_, _ = fmt.Fprintf(w, "\n%s\n", group)
				}
				shown++
				value := e.Value
				if e.File != "" {
					value += " (from " + e.File + ")"
				} else if !e.Given {
					value += " (default)"
				}
				_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\n", e.Name, value, e.Doc)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			if shown == 0 {
				_, _ = fmt.Fprintln(c.Out, "No setting is given here; `interlink config --all` lists them all.")
			}
			return wrong
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "also the settings that are not given")
	return cmd
}
