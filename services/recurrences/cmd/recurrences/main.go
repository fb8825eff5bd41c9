// Command recurrences runs the recurrences service. Its settings are environment variables; see internal/process.
package main

import (
	"context"
	"os"

	"github.com/agogopay/agogo/internal/process"
	"github.com/agogopay/agogo/services/recurrences"
)

func main() {
	os.Exit(process.Main(context.Background(), "recurrences", recurrences.Check, func(ctx context.Context, p *process.Process) error {
		s, err := recurrences.New(recurrences.Config{File: p.File, Process: p.Env},
			recurrences.Deps{NATS: p.NATS, Auth: p.Auth, Clock: p.Clock, Telemetry: p.Telemetry})
		if err != nil {
			return err
		}
		return s.Run(ctx, nil)
	}))
}
