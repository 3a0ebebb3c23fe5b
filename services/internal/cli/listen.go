package cli

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// Listening is what `interlink listen` is asked for, in the words of the package listen, which this one does not know: its client library would
// come into the programs of the services.
type Listening struct {
	URL   string
	Token string
	Rooms []string
	Count int
	Out   io.Writer
	Err   io.Writer
}

// Listener prints what a user's browser would get until ctx ends.
type Listener func(ctx context.Context, l Listening) error

type listenFlags struct {
	user, url, token string
	rooms            []string
	count            int
}

func (c Command) listen(run Listener) *cobra.Command {
	var f listenFlags
	cmd := &cobra.Command{
		Use: "listen", Short: "Print what a user's browser would get",
		Long: `Connects as a user over WebSocket, joins the rooms and prints one line of JSON per event until it is stopped.
What happens to the connection is told on standard error.`,
		Example: `  interlink listen --user u7 --room conversation:42
  interlink listen --token "$TOKEN" --url https://app.example --room conversation:42 --count 1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := c.settings()
			if err != nil {
				return err
			}
			if f.token == "" {
				if f.token, err = mint(settings, f.user, "", 24*time.Hour, time.Now()); err != nil {
					return err
				}
			}
			f.url = c.base(settings, f.url)
			return run(cmd.Context(), Listening{URL: f.url, Token: f.token, Rooms: f.rooms, Count: f.count, Out: c.Out, Err: c.Err})
		},
	}
	cmd.Flags().StringVar(&f.user, "user", "", "the user's id; a token is made for it with JWT_SECRET, else the secret of development mode")
	cmd.Flags().StringVar(&f.token, "token", "", "connect with this token instead")
	cmd.Flags().StringSliceVar(&f.rooms, "room", nil, "a room to join; may be repeated")
	cmd.Flags().StringVar(&f.url, "url", "", "where Interlink is, such as http://127.0.0.1:3001")
	cmd.Flags().IntVar(&f.count, "count", 0, "stop after so many events (those of the session itself don't count)")
	return cmd
}
