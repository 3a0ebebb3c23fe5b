package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/launch"
)

func (c Command) whoami() *cobra.Command {
	var cookie, token string
	cmd := &cobra.Command{
		Use: "whoami", Short: "Who a cookie or token belongs to, or why it is refused",
		Long: `Reads a session as a gateway with this environment would, and says why if it would refuse it: another secret,
another cookie name, another version of NextAuth, expired.`,
		Example: `  interlink whoami --cookie 'next-auth.session-token=eyJ…'
  interlink whoami --token eyJ…`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (cookie == "") == (token == "") {
				return errors.New("expected --cookie NAME=VALUE (as the browser sends it) or --token TOKEN")
			}
			settings, err := c.settings()
			if err != nil {
				return err
			}
			verifier, err := auth.New(launch.AuthOptions(settings))
			if err != nil {
				return fmt.Errorf("%w; run this with the environment of the gateway, INTERLINK_DEV=1 for development mode", err)
			}
			e := verifier.Explain(cmd.Context(), auth.Credentials{Token: token, CookieHeader: cookie, Now: time.Now()})
			return c.explain(e)
		},
	}
	cmd.Flags().StringVar(&cookie, "cookie", "", "a Cookie header, NAME=VALUE")
	cmd.Flags().StringVar(&token, "token", "", "what a client sends as auth.token")
	return cmd
}

func (c Command) explain(e auth.Explanation) error {
	say := func(label, text string) {
		if text != "" {
			_, _ = fmt.Fprintf(c.Out, "%-9s %s\n", label, text)
		}
	}
	say("found", e.Kind)
	say("in", e.Source)
	if e.Err != nil {
		say("answer", e.Err.Error())
		for _, hint := range e.Hints {
			say("hint", hint)
		}
		return &exitError{code: 1}
	}
	p := e.Principal
	say("user", p.User)
	say("name", p.Name)
	say("email", p.Email)
	say("until", p.ExpiresAt.Format(time.RFC3339))
	if len(p.Grants) > 0 {
		grants := map[string][]string{}
		for r, set := range p.Grants {
			grants[string(r)] = set.Names()
		}
		text, err := json.Marshal(grants)
		if err != nil {
			return err
		}
		say("rooms", string(text))
	}
	return nil
}
