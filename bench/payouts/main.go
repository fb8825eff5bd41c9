// Command payouts measures payouts per second end to end, beside a bare HTTP loop of the same calls to the same simulator in
// one run: import, tick, claim, call, outcome, ledger, events, with durability on. Figures hold for the machine they were
// taken on.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"slices"
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
	binary := flags.String("agogo", "bin/agogo", "the built command (make build)")
	calls := flags.Int("calls", 10_000, "payouts in each round")
	concurrency := flags.Int("concurrency", 64, "calls at once, in both")
	rounds := flags.Int("rounds", 3, "rounds; the median counts")
	if err := flags.Parse(args); err != nil {
		return err
	}
	in, err := start(ctx, *binary, *concurrency)
	if err != nil {
		return err
	}
	defer in.stop()
	// The loop is called back like anybody, and forgets it. At Agogo its callbacks would be about strangers' references, stored
	// and matched in vain while payouts are measured.
	deaf := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer deaf.Close()
	var loops, payouts []float64
	for round := range *rounds {
		if err := in.callbacks(ctx, deaf.URL); err != nil {
			return err
		}
		loop, err := bare.Loop(ctx, bare.Config{
			URL: in.info.Simulator, Country: "ci", Calls: *calls, Concurrency: *concurrency,
			Run: "bench-" + strconv.FormatInt(time.Now().UnixNano(), 36),
		})
		if err != nil {
			return err
		}
		paid, err := in.evening(ctx, round, *calls)
		if err != nil {
			return err
		}
		loops, payouts = append(loops, loop.PerSecond()), append(payouts, paid.perSecond())
		fmt.Fprintf(out, "round %d  bare loop %6.0f/s  payouts %6.0f/s  (imported in %.1fs, paid in %.1fs, %s, resident %d MB)\n",
			round+1, loop.PerSecond(), paid.perSecond(), paid.imported.Seconds(), paid.took.Seconds(), paid.cpu(), paid.used.resident>>20)
	}
	a, b := median(loops), median(payouts)
	fmt.Fprintf(out, "median   bare loop %6.0f/s  payouts %6.0f/s  = %.0f %% of the loop, %d payouts a round, concurrency %d\n", a, b, 100*b/a, *calls, *concurrency)
	return nil
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}
