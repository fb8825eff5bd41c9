package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/agogopay/agogo/cmd/agogo/internal/dev"
	"github.com/agogopay/agogo/simulator"
)

// localFlags are those of everything that runs on this machine.
func localFlags(c *cobra.Command, o *dev.Options) {
	f := c.Flags()
	f.StringVar(&o.DataDir, "data-dir", "", "where everything is kept")
	f.StringVar(&o.Ports, "ports", "default", "default, free, or +N to shift the default ports")
}

const logUsage = "debug, info, warn or error, and after a comma text or json"

// devFlags are those of localFlags and what takes parts from elsewhere, by default from the environment of every process.
func (a *app) devFlags(c *cobra.Command, o *dev.Options) {
	localFlags(c, o)
	f := c.Flags()
	f.StringVar(&o.Config, "config", a.Getenv("AGOGO_CONFIG"), "tenants file (AGOGO_CONFIG; default: the built-in example)")
	f.StringVar(&o.NATSURL, "nats-url", a.Getenv("AGOGO_NATS_URL"), "use this NATS instead of an embedded one (AGOGO_NATS_URL)")
	f.StringVar(&o.NATSCreds, "nats-creds", a.Getenv("AGOGO_NATS_CREDS"), "credentials file for --nats-url (AGOGO_NATS_CREDS)")
	f.StringVar(&o.PostgresDSN, "postgres-dsn", a.Getenv("AGOGO_POSTGRES_DSN"), "use this Postgres instead of a child process (AGOGO_POSTGRES_DSN)")
	f.StringVar(&o.Log, "log", logLevel(a.Getenv), logUsage+" (AGOGO_LOG)")
}

// quiet is what is logged where nothing else is asked for.
const quiet = "warn,text"

func logLevel(getenv func(string) string) string {
	if l := getenv("AGOGO_LOG"); l != "" {
		return l
	}
	return quiet
}

func (a *app) devCommand() *cobra.Command {
	o := dev.Options{}
	c := leaf("dev", "Run everything in one process, with embedded NATS and Postgres, until Ctrl-C", exactly(), func(c *cobra.Command, _ []string) error {
		if err := o.Check(); err != nil {
			return usageError{err}
		}
		o.Getenv, o.LogTo, o.Progress = a.Getenv, a.Err, a.Err
		if o.DataDir == "" {
			d, err := dev.DefaultDataDir(a.Getenv)
			if err != nil {
				return err
			}
			o.DataDir = filepath.Join(d, "dev")
		}
		return dev.Run(c.Context(), o, func(info *dev.Info) { a.announce(o.DataDir, info) })
	}, "agogo dev", "agogo dev --ports free --data-dir /tmp/agogo", "agogo dev --config tenants.yaml --no-simulator --only scheduler,payouts")
	c.Long = `Run every service in one process. It differs from production only in addresses: the same streams, consumers, SQL, schemas
and roles. Prints a line that begins with "ready" when all is up and writes DATA-DIR/dev.json, by which the other commands
find it.`
	a.devFlags(c, &o)
	c.Flags().StringSliceVar(&o.Only, "only", nil, "run only these services")
	c.Flags().BoolVar(&o.NoSimulator, "no-simulator", false, "do not run the provider simulator")
	c.Flags().DurationVar(&o.ClockAhead, "clock-ahead", 0, "how far the services' clock is ahead of the machine's, to see what a later hour brings: 24h closes today (sandbox tenants only)")
	return c
}

func (a *app) announce(dir string, info *dev.Info) {
	tenants := make([]string, len(info.Tenants))
	for i, t := range info.Tenants {
		tenants[i] = t + " (" + info.Modes[t] + ")"
	}
	fmt.Fprintf(a.Out, "ready  %d services, tenants %s\n", len(info.GRPC), strings.Join(tenants, ", "))
	for _, s := range dev.Services {
		if addr, ok := info.GRPC[s]; ok {
			fmt.Fprintf(a.Out, "  %-11s grpc %-21s http %s\n", s, addr, info.HTTP[s])
		}
	}
	fmt.Fprintf(a.Out, "  %-11s %s\n", "nats", info.NATS.URL)
	if info.Simulator != "" {
		fmt.Fprintf(a.Out, "  %-11s %s\n", "simulator", info.Simulator)
	}
	fmt.Fprintf(a.Out, "  %-11s %s\n", "context", filepath.Join(dir, "dev.json"))
	fmt.Fprintln(a.Out, "Try:  agogo schedules list   ·   agogo payments import FILE   ·   agogo events tail")
}

func (a *app) simulatorCommand() *cobra.Command {
	var addr, book string
	c := leaf("simulator", "Run the providers' simulator alone: their HTTP, a book of the money that moved, faults on demand", exactly(), func(c *cobra.Command, _ []string) error {
		return simulator.Run(c.Context(), addr, simulator.Config{BookPath: book}, func(at string) {
			fmt.Fprintf(a.Out, "ready  simulator http://%s   control: /_control/ (docs/simulator.md)\n", at)
		})
	}, "agogo simulator", "agogo simulator --addr 127.0.0.1:9901 --book /tmp/book.jsonl")
	c.Flags().StringVar(&addr, "addr", "127.0.0.1:9900", "where to listen")
	c.Flags().StringVar(&book, "book", "", "keep the book in this file over restarts")
	return c
}

func (a *app) doctorCommand() *cobra.Command {
	return leaf("doctor", "Check that every service of the context answers and is ready", exactly(), func(c *cobra.Command, _ []string) error {
		info, err := a.info()
		if err != nil {
			return err
		}
		if err := a.checkOutput(); err != nil {
			return err
		}
		return a.examine(c.Context(), info)
	}, "agogo doctor", "agogo doctor -o json")
}

// finding is what doctor says of one part.
type finding struct {
	Part  string `json:"part"`
	Addr  string `json:"addr"`
	State string `json:"state"` // "ready", or what is wrong; of a tenant its mode
}

func (a *app) examine(ctx context.Context, info *dev.Info) error {
	list := listing[finding]{app: a, encode: func(f finding) ([]byte, error) { return json.Marshal(f) }, columns: []column[finding]{
		col("part", func(f finding) string { return f.Part }),
		col("address", func(f finding) string { return f.Addr }),
		col("state", func(f finding) string { return f.State }),
	}}
	bad := 0
	for _, s := range dev.Services {
		addr, ok := info.HTTP[s]
		if !ok {
			continue
		}
		f := finding{s, addr, "ready"}
		if err := ready(ctx, addr); err != nil {
			f.State, bad = err.Error(), bad+1
		}
		if err := list.add(f); err != nil {
			return err
		}
	}
	if f, err := os.Stat(info.NATS.Creds); info.NATS.Creds != "" && (err != nil || f.Mode().Perm()&0o077 != 0) {
		bad++
		if err := list.add(finding{"nats", info.NATS.Creds, "must exist and be readable by its owner only"}); err != nil {
			return err
		}
	}
	for _, t := range info.Tenants {
		if err := list.add(finding{"tenant " + t, "", info.Modes[t]}); err != nil {
			return err
		}
	}
	if err := list.end(); err != nil {
		return err
	}
	if bad > 0 {
		return errFailed
	}
	return nil
}

func ready(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("does not answer: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		body := make([]byte, 300)
		n, _ := res.Body.Read(body)
		return fmt.Errorf("not ready: %s", body[:n])
	}
	return nil
}
