// Command agogo runs Agogo on one machine (dev, demo, simulator) and administers it over gRPC.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/agogopay/agogo/cmd/agogo/internal/cli"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // gives a second Ctrl-C its usual effect back
	code := cli.Main(ctx, cli.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv, Version: version}, os.Args[1:])
	stop()
	os.Exit(code)
}
