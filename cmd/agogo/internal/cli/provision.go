package cli

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/agogopay/agogo/cmd/agogo/internal/provision"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/process"
	"github.com/agogopay/agogo/internal/stream"
)

func (a *app) provisionCommand() *cobra.Command {
	c := noun("provision", "Make what services run on: keys, rights, certificates, schemas, roles, tables, streams", a.provisionKeysCommand(), a.provisionNATSCommand(), a.provisionApplyCommand(), a.provisionContextCommand(), a.provisionSecretsCommand(), a.provisionAuthCommand(), a.provisionVariablesCommand(), a.provisionReloadCommand())
	c.Long = `An installation of separate processes is made in three steps, each of which may be repeated at any time, and is after an upgrade:

  agogo provision keys        nkeys of the broker's users, passwords of the database's roles, tokens, certificates
  agogo provision nats-conf   the broker's users with exactly their subjects, for its configuration
  agogo provision apply       database, schemas, roles, tables, streams, consumers

Then 'agogo provision context' tells the command line where it is.

'agogo dev' does all of it by itself.`
	return c
}

func (a *app) provisionKeysCommand() *cobra.Command {
	var keys provision.Keys
	var hosts []string
	c := leaf("keys", "Make keys, passwords, tokens and, with --host, certificates that are not there yet", exactly(), func(_ *cobra.Command, _ []string) error {
		if err := keys.Make(); err != nil {
			return err
		}
		if len(hosts) > 0 {
			if err := keys.Certificates(clock.Real().Now(), []string{"nats", "postgres", "grpc"}, hosts); err != nil {
				return err
			}
		}
		fmt.Fprintf(a.Out, "keys of %d users, %d roles and %d actors are in %s\n", len(stream.Users()), len(provision.Services), len(provision.Tokens), keys.Dir)
		return nil
	}, "agogo provision keys --dir /etc/agogo/keys", "agogo provision keys --dir /etc/agogo/keys --host localhost,127.0.0.1,pay.example.com")
	c.Flags().StringVar(&keys.Dir, "dir", "", "the folder that holds them, readable by its owner only (required)")
	c.Flags().StringSliceVar(&hosts, "host", nil, "names and addresses that the certificates of NATS, Postgres and gRPC are good for; none: no certificates are made")
	_ = c.MarkFlagRequired("dir")
	return c
}

func (a *app) provisionNATSCommand() *cobra.Command {
	var keys provision.Keys
	c := leaf("nats-conf", "Print the broker's users and their subjects, to be included in its configuration", exactly(), func(_ *cobra.Command, _ []string) error {
		key := keys.Public
		if keys.Dir == "" {
			key = func(user string) (string, error) { return "$" + provision.KeyVariable(user), nil }
		}
		return provision.Accounts(a.Out, key)
	}, "agogo provision nats-conf --dir /etc/agogo/keys > /etc/nats/agogo-accounts.conf", "agogo provision nats-conf   # keys as variables of the server's environment")
	c.Flags().StringVar(&keys.Dir, "dir", "", "folder of the keys; without it their place is taken by variables, AGOGO_NKEY_PAYOUTS and so on")
	return c
}

// applying is what `provision apply` is given.
type applying struct {
	postgres string
	nats     process.Server
	keys     provision.Keys
	only     []string
	replicas int
	age      time.Duration
	sizes    map[string]string
}

func (a *app) provisionApplyCommand() *cobra.Command {
	var p applying
	c := leaf("apply", "Make the database, schemas, roles, tables, streams and consumers, or bring them up to date", exactly(), func(c *cobra.Command, _ []string) error {
		return a.apply(c.Context(), p)
	}, "agogo provision apply --keys /etc/agogo/keys --postgres-dsn postgres://postgres@127.0.0.1/agogo --nats-url nats://127.0.0.1:4222",
		"agogo provision apply --keys /etc/agogo/keys --only nats --replicas 3 --max-bytes EVENTS=100GiB,COMMANDS=20GiB")
	c.Long = `Nothing that is there is taken away: an edit of a stream that would lose messages is refused before anything is changed, and tables
only gain. The administrator's rights are needed here alone; the services run without them.`
	f := c.Flags()
	f.StringVar(&p.keys.Dir, "keys", "", "folder that 'agogo provision keys' has made (required)")
	f.StringVar(&p.postgres, "postgres-dsn", a.Getenv("AGOGO_POSTGRES_DSN"), "database to make, as an administrator's URL (AGOGO_POSTGRES_DSN)")
	f.StringVar(&p.nats.URL, "nats-url", a.Getenv("AGOGO_NATS_URL"), "servers (AGOGO_NATS_URL)")
	f.StringVar(&p.nats.Creds, "nats-creds", a.Getenv("AGOGO_NATS_CREDS"), "credentials of the provisioner (AGOGO_NATS_CREDS; default: those in the folder)")
	f.StringVar(&p.nats.CA, "nats-ca", a.Getenv("AGOGO_NATS_CA"), "authorities of the servers' certificates (AGOGO_NATS_CA)")
	f.StringSliceVar(&p.only, "only", []string{"postgres", "nats"}, "one of the two alone, where somebody else makes the other")
	f.IntVar(&p.replicas, "replicas", 1, "copies of each stream; 3 in production")
	f.DurationVar(&p.age, "events-age", 0, "how long EVENTS keeps events (default 336h)")
	f.StringToStringVar(&p.sizes, "max-bytes", nil, "sizes of streams, such as EVENTS=100GiB")
	_ = c.MarkFlagRequired("keys")
	return c
}

func (a *app) apply(ctx context.Context, p applying) error {
	options, err := p.check()
	if err != nil {
		return usageError{err}
	}
	if slices.Contains(p.only, "postgres") {
		passwords, err := p.keys.Passwords()
		if err != nil {
			return err
		}
		if err := provision.Database(ctx, p.postgres, passwords); err != nil {
			return err
		}
		fmt.Fprintf(a.Out, "database ready: a schema and a role for each of %s\n", strings.Join(provision.Services, ", "))
	}
	if slices.Contains(p.only, "nats") {
		if err := provision.Streams(ctx, p.nats, options); err != nil {
			return err
		}
		fmt.Fprintf(a.Out, "streams and consumers ready: %d copies of each\n", options.Replicas)
	}
	return nil
}

func (p *applying) check() (stream.Options, error) {
	o := stream.Options{Replicas: p.replicas, EventsAge: p.age, MaxBytes: map[string]int64{}}
	for _, what := range p.only {
		switch {
		case what != "postgres" && what != "nats":
			return o, fmt.Errorf("--only knows postgres and nats, not %q", what)
		case what == "postgres" && p.postgres == "":
			return o, fmt.Errorf("--postgres-dsn is needed: the database to make, postgres://admin:password@host:port/agogo")
		case what == "nats" && p.nats.URL == "":
			return o, fmt.Errorf("--nats-url is needed: nats://host:port or tls://host:port")
		}
	}
	if p.replicas != 1 && p.replicas != 3 && p.replicas != 5 {
		return o, fmt.Errorf("--replicas is 1, 3 or 5, not %d: an even number bears no more failures than the odd one below it", p.replicas)
	}
	if p.nats.Creds == "" {
		if path := p.keys.NATS(stream.Provisioner); exists(path) {
			p.nats.Creds = path
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.sizes)) {
		n, err := parseSize(p.sizes[name])
		if err != nil {
			return o, fmt.Errorf("--max-bytes %s: %w", name, err)
		}
		o.MaxBytes[name] = n
	}
	return o, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// parseSize reads bytes with a binary unit, as Kubernetes and NATS write them.
func parseSize(s string) (int64, error) {
	for unit, shift := range map[string]uint{"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40} {
		if digits, ok := strings.CutSuffix(strings.TrimSuffix(s, "B"), unit); ok {
			if n, err := strconv.ParseUint(digits, 10, 20); err == nil && n > 0 {
				return int64(n) << shift, nil
			}
		}
	}
	return 0, fmt.Errorf("%q is no size: write a whole number and KiB, MiB, GiB or TiB", s)
}
