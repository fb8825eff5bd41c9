// Command floor measures the least that paying out with these parts costs: the same tables with their indexes, written in sets by the same
// driver and made durable, the same calls and callbacks, five messages a payout stored by the same JetStream, two of which are
// delivered. It decides nothing, proves nothing and would lose money at the first fault. What Agogo costs beyond it is Agogo's own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

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
	binary                  string
	payouts, calls, planned int
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	flags := flag.NewFlagSet("floor", flag.ContinueOnError)
	flags.StringVar(&o.binary, "agogo", "bin/agogo", "the built command (make build): its Postgres, NATS and simulator are used")
	flags.IntVar(&o.payouts, "payouts", 10_000, "how many")
	flags.IntVar(&o.calls, "concurrency", 64, "calls at once, and rows in a transaction")
	flags.IntVar(&o.planned, "page", 500, "payouts that one transaction plans")
	if err := flags.Parse(args); err != nil {
		return err
	}
	in, err := installation.Start(ctx, installation.Options{Binary: o.binary, Concurrency: o.calls})
	if err != nil {
		return err
	}
	defer in.Stop()
	rows, err := openTables(ctx, in, o.payouts)
	if err != nil {
		return err
	}
	defer rows.close()
	mail, err := openStream(ctx, in)
	if err != nil {
		return err
	}
	defer mail.close()
	hooks, err := receive(ctx, in, rows)
	if err != nil {
		return err
	}
	defer hooks.close()
	before, own, began := in.Usage(), self(), time.Now()
	if err := pay(ctx, in, o, rows, mail); err != nil {
		return err
	}
	if err := errors.Join(mail.heard(ctx, 2*o.payouts), hooks.stored(ctx, o.payouts)); err != nil {
		return err
	}
	took, used := time.Since(began), in.Usage().Since(before)
	per := func(d time.Duration) int64 { return (d / time.Duration(o.payouts)).Microseconds() }
	fmt.Fprintf(out, "floor    %6.0f payouts/s, cpu a payout %d µs (%d in calls, rows and messages, %d in NATS and the simulator) + %d µs Postgres\n",
		float64(o.payouts)/took.Seconds(), per(self()-own+used.Services), per(self()-own), per(used.Services), per(used.Postgres))
	return nil
}

// self is the processor time of this process so far.
func self() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// pay plans page by page, sends in waves, and tells. Nothing overlaps but the calls of a wave: what is measured is work, not time.
func pay(ctx context.Context, in *installation.Installation, o options, rows *tables, mail *mail) error {
	caller, err := newCaller(ctx, in, o.calls)
	if err != nil {
		return err
	}
	for from := 0; from < o.payouts; from += o.planned {
		ids, err := rows.plan(ctx, from, min(o.planned, o.payouts-from))
		if err != nil {
			return err
		}
		if err := mail.tell(ctx, ids, "created", "approved"); err != nil {
			return err
		}
		for len(ids) > 0 {
			wave := ids[:min(o.calls, len(ids))]
			ids = ids[len(wave):]
			if err := rows.begin(ctx, wave); err != nil {
				return err
			}
			if err := caller.all(ctx, wave); err != nil {
				return err
			}
			if err := rows.record(ctx, wave); err != nil {
				return err
			}
			if err := mail.tell(ctx, wave, "submitting", "succeeded"); err != nil {
				return err
			}
			if err := rows.notify(ctx, wave); err != nil {
				return err
			}
			if err := mail.tell(ctx, wave, "suppressed"); err != nil {
				return err
			}
		}
	}
	return nil
}
