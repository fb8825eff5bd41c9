package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/agogopay/agogo/cmd/agogo/internal/provision"
	"github.com/agogopay/agogo/internal/lifecycle"
	"github.com/agogopay/agogo/internal/telemetry"
	"github.com/agogopay/agogo/internal/web"
)

func (a *app) provisionReloadCommand() *cobra.Command {
	var r provision.Reloader
	var metrics string
	c := leaf("nats-reload", "Beside a broker: have it take up certificates and keys that were renewed in their place", exactly(), func(c *cobra.Command, _ []string) error {
		if r.Every <= 0 {
			return usageError{errors.New("--every is a time above zero, such as 15s")}
		}
		return a.reload(c.Context(), &r, metrics)
	}, "agogo provision nats-reload --pid-file /run/nats/nats.pid --certificate /etc/nats-tls/tls.crt --watch /etc/nats-tls,/etc/nats-keys")
	c.Long = `A NATS server reads its files when it starts and when it is told to. This asks it again and again which certificate it serves, and tells
it to read them (SIGHUP) until that is the one of the file, and whenever another of the watched files has changed. It runs as the
server's own user where it sees its process, as the chart does it, and needs no right beside that. Its metrics say when the certificate
ends that is really served.`
	f := c.Flags()
	f.StringVar(&r.PIDFile, "pid-file", "/run/nats/nats.pid", "file in which the server says its process")
	f.StringVar(&r.Address, "server", "127.0.0.1:4222", "where it serves")
	f.StringVar(&r.Certificate, "certificate", "", "file of the certificate that it should serve; none: it does not encrypt")
	f.StringSliceVar(&r.Watch, "watch", nil, "files and folders that it reads")
	f.StringVar(&r.Monitor, "monitor", "http://127.0.0.1:8222", "where it serves its monitoring, to see whether it has taken its files; none: it is believed")
	f.DurationVar(&r.Every, "every", 15*time.Second, "how often to look")
	f.StringVar(&metrics, "http", "127.0.0.1:8223", "where metrics and health are served")
	return c
}

// reload runs until it is told to end.
func (a *app) reload(ctx context.Context, r *provision.Reloader, addr string) error {
	t, err := telemetry.New(ctx, "nats-reload", cmp.Or(a.Getenv("AGOGO_LOG"), "info"), a.Err)
	if err != nil {
		return err
	}
	r.Logger = t.Logger
	if err := r.Register(t.Registry); err != nil {
		return err
	}
	g := lifecycle.New(t.Logger, 0)
	server := &web.Server{Address: addr, Handler: t.Handler(g.Ready)}
	g.Add("metrics", server.Start, server.Stop)
	g.Go("reloader", r.Run)
	if err := g.Run(ctx, nil); err != nil {
		return fmt.Errorf("beside the broker: %w", err)
	}
	return nil
}
