package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func (c Command) healthcheck() *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use: "healthcheck", Short: "The probe of the container image",
		Long: `Asks the service that runs with the same environment whether it is ready: /readyz of the admin port, or /health of the
public port if nobody listens there. Exit code 0 if so.`,
		Example: "  interlink healthcheck\n  interlink healthcheck --url http://127.0.0.1:3001/health",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := c.settings()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 5*time.Second)
			defer cancel()
			if url != "" {
				return c.probe(ctx, url)
			}
			_, port, err := net.SplitHostPort(settings.Ports.Admin)
			if err != nil {
				return fmt.Errorf("INTERLINK_ADMIN_ADDR: %w", err)
			}
			err = c.probe(ctx, "http://"+net.JoinHostPort("127.0.0.1", port)+"/readyz")
			if errors.Is(err, syscall.ECONNREFUSED) || port == "0" {
				err = c.probe(ctx, "http://"+net.JoinHostPort("127.0.0.1", strconv.Itoa(settings.Public.Port))+"/health")
			}
			return err
		},
	}
	cmd.Flags().StringVar(&url, "url", "", "ask this address instead")
	return cmd
}

func (c Command) probe(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("--url: expected an address: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("not well: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	text := strings.TrimSpace(string(body))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not well: %s %s", resp.Status, text)
	}
	_, err = fmt.Fprintln(c.Out, text)
	return err
}
