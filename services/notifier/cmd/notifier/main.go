// Command notifier runs the notifier service. Its settings are environment variables; see internal/process.
package main

import (
	"context"
	"os"

	"github.com/agogopay/agogo/internal/process"
	"github.com/agogopay/agogo/services/notifier"
)

func main() {
	os.Exit(process.Main(context.Background(), "notifier", notifier.Check, func(ctx context.Context, p *process.Process) error {
		s, err := notifier.New(notifier.Config{File: p.File, Process: p.Env},
			notifier.Deps{NATS: p.NATS, Auth: p.Auth, Clock: p.Clock, Telemetry: p.Telemetry})
		if err != nil {
			return err
		}
		return s.Run(ctx, nil)
	}))
}
