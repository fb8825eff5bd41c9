package provision

import (
	"context"
	"log/slog"

	"github.com/agogopay/agogo/internal/process"
	"github.com/agogopay/agogo/internal/stream"
)

// Streams makes streams and consumers, or widens them. A server that starts at the same time is waited for.
func Streams(ctx context.Context, at process.Server, o stream.Options) error {
	nc, err := process.Connect(ctx, at, stream.Provisioner, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := stream.JetStream(nc)
	if err != nil {
		return err
	}
	return stream.Provision(ctx, js, o)
}
