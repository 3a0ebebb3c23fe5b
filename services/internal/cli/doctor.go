package cli

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edumatrix/interlink/services/internal/doctor"
)

func (c Command) doctor() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "What is wrong with the settings, and with what they point to",
		Long: `Looks at the settings of this environment and at Kafka, Redis, Next.js and Interlink where they point to.
It changes nothing. Exit code 1 if something does not work.`,
		Example: "  interlink doctor\n  docker compose run --rm interlink doctor",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, wrong := c.settings()
			var found []doctor.Finding
			if wrong != nil {
				for line := range strings.SplitSeq(wrong.Error(), "\n") {
					name, text, _ := strings.Cut(line, ": ")
					found = append(found, doctor.Finding{Level: doctor.Bad, About: name, Text: text})
				}
			}
			found = append(found, doctor.Examine(cmd.Context(), doctor.Patient{
				Settings: settings, Environ: c.Environ, Container: doctor.Container(c.Environ),
				Client: &http.Client{Timeout: 5 * time.Second}, Now: time.Now,
			})...)
			c.tell(found)
			if doctor.Worst(found) == doctor.Bad {
				return &exitError{code: 1}
			}
			return nil
		},
	}
}

func (c Command) tell(found []doctor.Finding) {
	marks := map[doctor.Level]string{doctor.Fine: "ok   ", doctor.Note: "note ", doctor.Bad: "WRONG"}
	counts := map[doctor.Level]int{}
	for _, f := range found {
		counts[f.Level]++
		_, _ = fmt.Fprintf(c.Out, "%s  %s: %s\n", marks[f.Level], f.About, f.Text)
	}
	_, _ = fmt.Fprintf(c.Out, "\n%d wrong, %d to note, %d fine\n", counts[doctor.Bad], counts[doctor.Note], counts[doctor.Fine])
}
