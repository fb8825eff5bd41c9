package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/agogopay/agogo/cmd/agogo/internal/demo"
)

func (a *app) demoCommand() *cobra.Command {
	o := demo.Options{Out: a.Out}
	var seed int64
	var installed bool
	c := leaf("demo", "Pay the drivers of one evening and charge the members of a club, start to end, and check the results", exactly(), func(c *cobra.Command, _ []string) error {
		if err := o.Dev.Check(); err != nil {
			return usageError{err}
		}
		o.Dev.Getenv, o.Dev.LogTo, o.Dev.Progress = a.home, a.Err, a.Err
		o.Console = terminal(a.Out)
		if c.Flags().Changed("seed") {
			o.Seed = &seed
		}
		if installed {
			info, err := a.info()
			if err != nil {
				return err
			}
			o.Installed = info
		}
		err := demo.Run(c.Context(), o)
		if errors.Is(err, demo.ErrDiffers) {
			fmt.Fprintln(a.Err, "agogo:", err)
			return errFailed
		}
		return err
	}, "agogo demo", "agogo demo --once", "agogo demo --seed 7 --once   # a generated evening and a generated week with random faults",
		"agogo demo --installed --context context.json   # on separate processes that are up already")
	c.Long = `Everything runs on this machine: Postgres, NATS, the services and the simulated companies, with two tenants side by side.
lebenis, in Abidjan: the evening of 24 January 2025 is imported and 15 drivers are paid 450,000 XOF. wallclub, in São Paulo:
42 recurrences are charged on 30 October 2025, lost answers are looked up, sellers hear what is on hold, declined charges are
tried again, old recurrences are cleaned up. Ticks fire at their nominal times; books, the companies' books and independent
expectations are compared. Exit 1 if anything differs. With --seed an evening and a week are generated, faults included, and
checked by oracles that share no code with the services.

The demo takes no tenants file, database or NATS of yours, and nothing from AGOGO_CONFIG and its like: its payments are invented. With --installed it starts nothing and refuses an installation that has a
live tenant.`
	localFlags(c, &o.Dev)
	c.Flags().StringVar(&o.Dev.Log, "log", quiet, logUsage)
	c.Flags().Lookup("ports").DefValue, o.Dev.Ports = "free", "free"
	c.Flags().BoolVar(&o.Once, "once", false, "end after the report instead of staying open")
	c.Flags().BoolVar(&installed, "installed", false, "show it on the installation of --context, which has the examples' tenants, a simulator, and nothing of theirs yet")
	c.Flags().Int64Var(&seed, "seed", 0, "generate an evening and a week from this seed")
	return c
}

// home is all that the demo takes from the environment: where this user keeps data. Everything else that stands there may be
// meant for an installation that moves real money, and the demo's payments are invented.
func (a *app) home(name string) string {
	if name != "XDG_DATA_HOME" {
		return ""
	}
	return a.Getenv(name)
}

// terminal reports whether w is one, so that progress may redraw a line.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
