// Command scheduler runs the scheduler service. Its settings are environment variables; see internal/process.
package main

import (
	"context"
	"os"

	"github.com/agogopay/agogo/internal/process"
	"github.com/agogopay/agogo/services/scheduler"
)

func main() {
	os.Exit(process.Main(context.Background(), "scheduler", scheduler.Check, func(ctx context.Context, p *process.Process) error {
		s, err := scheduler.New(scheduler.Config{File: p.File, Process: p.Env},
			scheduler.Deps{NATS: p.NATS, Auth: p.Auth, Clock: p.Clock, Telemetry: p.Telemetry})
		if err != nil {
			return err
		}
		return s.Run(ctx, nil)
	}))
}
