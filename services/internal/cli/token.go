package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/config"
)

func (c Command) token() *cobra.Command {
	var user, name string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use: "token", Short: "Make a token that a client can connect with",
		Long: `Signs an HS256 token with JWT_SECRET, for tests and scripts: a client sends it as auth.token.

Without JWT_SECRET it is signed with the secret of development mode.`,
		Example: `  interlink token --user u7
  interlink token --user u7 --name "Ada Lovelace" --ttl 1h`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			settings, err := c.settings()
			if err != nil {
				return err
			}
			token, err := mint(settings, user, name, ttl, time.Now())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.Out, token)
			return err
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "the user's id")
	cmd.Flags().StringVar(&name, "name", "", "the name that others see")
	cmd.Flags().DurationVar(&ttl, "ttl", 24*time.Hour, "how long it is good for")
	return cmd
}

func mint(settings config.Config, user, name string, ttl time.Duration, now time.Time) (string, error) {
	if user == "" {
		return "", errors.New("--user: expected the id of a user, such as --user u7")
	}
	if ttl <= 0 {
		return "", errors.New("--ttl: expected a time such as 1h")
	}
	secret := first(settings.Auth.JWTSecrets.Values(), config.DevSecret)
	return auth.Mint(secret, auth.Token{User: user, Name: name, Now: now, TTL: ttl})
}
