// Command payouts runs the payouts service. Its settings are environment variables; see internal/process.
package main

import (
	"context"
	"os"

	"github.com/agogopay/agogo/internal/process"
	"github.com/agogopay/agogo/services/payouts"
)

func main() {
	os.Exit(process.Main(context.Background(), "payouts", payouts.Check, func(ctx context.Context, p *process.Process) error {
		s, err := payouts.New(payouts.Config{File: p.File, Process: p.Env},
			payouts.Deps{NATS: p.NATS, Auth: p.Auth, Clock: p.Clock, Telemetry: p.Telemetry})
		if err != nil {
			return err
		}
		return s.Run(ctx, nil)
	}))
}
