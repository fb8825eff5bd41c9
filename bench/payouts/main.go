// Command payouts measures how many payouts a second go out of this machine to a simulator that already runs.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"time"

	"github.com/agogopay/agogo/bench/bare"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("payouts", flag.ContinueOnError)
	cfg := bare.Config{Country: "ci", Run: "bench-" + strconv.FormatInt(time.Now().UnixNano(), 36)}
	flags.StringVar(&cfg.URL, "simulator", "http://127.0.0.1:9900", "address of a running simulator (agogo simulator)")
	flags.IntVar(&cfg.Calls, "calls", 20_000, "payments to make")
	flags.IntVar(&cfg.Concurrency, "concurrency", 16, "calls at once")
	if err := flags.Parse(args); err != nil {
		return err
	}
	r, err := bare.Loop(ctx, cfg)
	if err != nil {
		return fmt.Errorf("%w (is a simulator running there?  agogo simulator)", err)
	}
	_, err = fmt.Fprintln(out, "bare HTTP loop:", r)
	return err
}
