// Command payouts measures payouts per second end to end, beside a bare HTTP loop of the same calls to the same simulator in
// one run: tick, claim, call, outcome, ledger, events, callback, notification row, with durability on. Figures hold for the
// machine they were taken on.
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
	"github.com/agogopay/agogo/bench/installation"
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

// options are the flags.
type options struct {
	binary                     string
	calls, concurrency, rounds int
	latency                    time.Duration
	scale                      int
	apart, planned             bool
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	flags := flag.NewFlagSet("payouts", flag.ContinueOnError)
	flags.StringVar(&o.binary, "agogo", "bin/agogo", "the built command (make build)")
	flags.IntVar(&o.calls, "calls", 10_000, "payouts in each round")
	flags.IntVar(&o.concurrency, "concurrency", 64, "calls at once, in both")
	flags.IntVar(&o.rounds, "rounds", 3, "rounds; the median counts")
	flags.DurationVar(&o.latency, "latency", 0, "how long the provider takes; with it the rate is held against concurrency/latency instead of a loop")
	flags.IntVar(&o.scale, "scale", 0, "after the rounds one of so many times as many payouts; its time is held against theirs")
	flags.BoolVar(&o.apart, "apart", false, "the simulator in a process of its own: processor time and memory are then the services' and NATS's alone")
	flags.BoolVar(&o.planned, "planned", false, "what is timed begins with the first claim: payouts are planned before, while their batch is paused")
	if err := flags.Parse(args); err != nil {
		return err
	}
	in, err := installation.Start(ctx, installation.Options{Binary: o.binary, Concurrency: o.concurrency, Apart: o.apart})
	if err != nil {
		return err
	}
	defer in.Stop()
	if o.latency > 0 {
		return delayed(ctx, in, o, out)
	}
	took, err := beside(ctx, in, o, out)
	if err != nil || o.scale == 0 {
		return err
	}
	return larger(ctx, in, o, took, out)
}

// beside runs evening and loop in turns, and returns the evenings' median time.
func beside(ctx context.Context, in *installation.Installation, o options, out io.Writer) (float64, error) {
	// The loop is called back like anybody, and forgets it. At Agogo its callbacks would be about strangers' references, stored
	// and matched in vain while payouts are measured.
	deaf := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer deaf.Close()
	var loops, payouts, times []float64
	for round := range o.rounds {
		if err := in.Callbacks(ctx, deaf.URL); err != nil {
			return 0, err
		}
		loop, err := bare.Loop(ctx, bare.Config{
			URL: in.Info.Simulator, Country: "ci", Calls: o.calls, Concurrency: o.concurrency,
			Run: "bench-" + strconv.FormatInt(time.Now().UnixNano(), 36),
		})
		if err != nil {
			return 0, err
		}
		paid, err := evening(ctx, in, round, o.calls, o.planned)
		if err != nil {
			return 0, err
		}
		loops, payouts, times = append(loops, loop.PerSecond()), append(payouts, paid.perSecond()), append(times, paid.took.Seconds())
		fmt.Fprintf(out, "round %d  bare loop %6.0f/s  payouts %6.0f/s  (%s)\n", round+1, loop.PerSecond(), paid.perSecond(), paid)
	}
	a, b := median(loops), median(payouts)
	fmt.Fprintf(out, "median   bare loop %6.0f/s  payouts %6.0f/s  = %.0f %% of the loop, %d payouts a round, concurrency %d\n", a, b, 100*b/a, o.calls, o.concurrency)
	return median(times), nil
}

// delayed holds evenings against what so many calls at once can do at most with a provider that takes its time.
func delayed(ctx context.Context, in *installation.Installation, o options, out io.Writer) error {
	if err := in.Latency(ctx, o.latency); err != nil {
		return err
	}
	most := float64(o.concurrency) / o.latency.Seconds()
	var rates []float64
	for round := range o.rounds {
		paid, err := evening(ctx, in, round, o.calls, o.planned)
		if err != nil {
			return err
		}
		rate := float64(paid.payouts) / paid.paid.Seconds()
		rates = append(rates, rate)
		fmt.Fprintf(out, "round %d  payouts %6.0f/s of %.0f/s  (%s)\n", round+1, rate, most, paid)
	}
	m := median(rates)
	fmt.Fprintf(out, "median   payouts %6.0f/s = %.0f %% of what %d calls at once of %s allow\n", m, 100*m/most, o.concurrency, o.latency)
	return nil
}

// larger shows whether a payout costs more among many.
func larger(ctx context.Context, in *installation.Installation, o options, took float64, out io.Writer) error {
	paid, err := evening(ctx, in, o.rounds, o.calls*o.scale, o.planned)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "larger   %d payouts: %.1f times the time of %d  (%s)\n", paid.payouts, paid.took.Seconds()/took, o.calls, paid)
	return nil
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}
