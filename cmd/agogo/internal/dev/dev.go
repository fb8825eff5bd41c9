// Package dev runs every service in one process with an embedded NATS server, a Postgres child and the simulator. It differs
// from production only in addresses: the same streams, consumers, SQL, schemas and roles.
package dev

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/agogopay/agogo/cmd/agogo/internal/provision"
	"github.com/agogopay/agogo/examples"
	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/lifecycle"
	"github.com/agogopay/agogo/internal/pg/pgserver"
	"github.com/agogopay/agogo/internal/process"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/stream/natsserver"
)

// Services that dev can run, in starting order.
var Services = []string{"payouts", "recurrences", "notifier", "scheduler"}

// Options are the flags of `agogo dev`.
type Options struct {
	Config      string // "": the built-in example
	DataDir     string
	Ports       string // default, free, +N
	NATSURL     string // "": embedded
	NATSCreds   string
	PostgresDSN string // "": a child
	Only        []string
	NoSimulator bool
	ClockAhead  time.Duration // of the machine's clock, so that a day can be over that is not
	Sealed      bool          // nothing of what runs may reach beyond this machine; see [Options.Check] and sealed
	Yields      bool          // to a dev that is up already: the CLI stays pointed to that one
	Log         string        // level[,format]
	LogTo       io.Writer
	Getenv      func(string) string
	Progress    io.Writer // what takes long says so here
}

// stopBudget is how long Ctrl-C may take.
const stopBudget = 5 * time.Second

// Run starts everything, calls ready when it is up, and stops it in order when ctx ends.
func Run(ctx context.Context, o Options, ready func(*Info)) error {
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return err
	}
	held, err := lock(o.DataDir)
	if err != nil {
		return err
	}
	defer func() { _ = held.Close() }()
	process.RelaxCollector(o.Getenv)
	d, err := assemble(ctx, o)
	if err != nil {
		return err
	}
	unpublish := func() {}
	defer func() { unpublish() }()
	return d.group.Run(ctx, func() {
		d.info.GRPC, d.info.HTTP = d.addresses()
		remove, err := publish(o.DataDir, d.info, o.Yields, o.Getenv)
		if err != nil {
			d.logger.ErrorContext(ctx, "dev: dev.json could not be written; the CLI will not find this process", "error", err)
			return
		}
		unpublish = remove
		ready(d.info)
	})
}

// dev is one running installation.
type dev struct {
	Options
	ports   ports
	file    *config.File
	secrets *secrets
	info    *Info
	logger  *slog.Logger
	group   *lifecycle.Group
	auth    auth.Authenticator
	clock   clock.Clock
	running []*running

	postgres  *pgserver.Server
	nats      *natsserver.Server
	simulator *outside
}

// Check says what is wrong with the flags by themselves.
func (o Options) Check() error {
	for _, s := range o.Only {
		if !slices.Contains(Services, s) {
			return fmt.Errorf("--only knows %s, not %q", strings.Join(Services, ", "), s)
		}
	}
	if o.Sealed && (o.NATSURL != "" || o.PostgresDSN != "" || o.NoSimulator) {
		return errors.New("this runs on its own NATS, Postgres and simulator only, because its payments are invented")
	}
	if o.ClockAhead < 0 {
		return errors.New("--clock-ahead is negative: what was done in the meantime would lie in the future")
	}
	_, err := parsePorts(o.Ports)
	return err
}

// now is the clock of everything that runs.
func (o Options) now() clock.Clock {
	if o.ClockAhead == 0 {
		return clock.Real()
	}
	return clock.Offset(clock.Real().Now().Add(o.ClockAhead))
}

// assemble checks everything that can be wrong before anything is started, then lists the parts in starting order.
func assemble(ctx context.Context, o Options) (*dev, error) {
	p, err := parsePorts(o.Ports)
	if err != nil {
		return nil, err
	}
	if err := o.Check(); err != nil {
		return nil, err
	}
	if len(o.Only) == 0 {
		o.Only = Services
	}
	d := &dev{Options: o, ports: p, clock: o.now(), logger: slog.New(slog.NewTextHandler(o.LogTo, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if err := d.load(); err != nil {
		return nil, err
	}
	if err := p.check(ctx, d.fixedPorts()...); err != nil {
		return nil, err
	}
	d.group = lifecycle.New(d.logger, stopBudget)
	d.group.Add("postgres", d.startPostgres, d.stopPostgres)
	d.group.Add("nats", d.startNATS, d.stopNATS)
	d.group.Add("provision", d.provision, nil)
	if !o.NoSimulator {
		d.group.Add("simulator", d.startSimulator, d.stopSimulator)
	}
	d.group.Add("services", d.startServices, d.stopServices)
	d.group.Add("callbacks", d.connectCallbacks, nil)
	d.group.Go("watch", d.watch)
	return d, nil
}

func (d *dev) fixedPorts() []string {
	names := make([]string, 0, 2*len(d.Only)+2)
	for _, s := range d.Only {
		names = append(names, s+".grpc", s+".http")
	}
	if d.NATSURL == "" {
		names = append(names, "nats")
	}
	if !d.NoSimulator {
		names = append(names, "simulator")
	}
	return names
}

// load reads the tenants file and makes tokens. The built-in example may do without its providers' secrets, because its
// providers are the simulator; a file of the user's may not.
func (d *dev) load() error {
	path, getenv := d.Config, d.Getenv
	if path == "" {
		path = filepath.Join(d.DataDir, "tenants.yaml")
		if err := os.WriteFile(path, append([]byte(builtIn), closing(examples.Tenants)...), 0o600); err != nil {
			return err
		}
		getenv = func(name string) string {
			if v := d.Getenv(name); v != "" {
				return v
			}
			return sandboxValue(name)
		}
	}
	file, err := config.Load(path, getenv)
	if err != nil {
		return err
	}
	d.file = file
	if d.Sealed {
		if err := sealed(file); err != nil {
			return err
		}
	}
	if err := ahead(d.ClockAhead, file); err != nil {
		return err
	}
	if err := signingKey(d.DataDir, file); err != nil {
		return err
	}
	d.secrets, err = loadSecrets(d.DataDir, []string{"admin", "operator", "approver", "approver2"}, Services)
	if err != nil {
		return err
	}
	d.auth, err = auth.NewStatic(append(devTokens(d.secrets.Tokens), file.Auth.Tokens...))
	d.info = &Info{Version: 1, Tokens: d.secrets.Tokens, Modes: map[string]string{}}
	for _, t := range file.Tenants {
		d.info.Tenants = append(d.info.Tenants, t.ID)
		d.info.Modes[t.ID] = t.Mode
	}
	return err
}

// builtIn is written above the built-in example, which lies where people look for a file to change.
const builtIn = `# Written anew by agogo at each start, so changes here are lost. To change something, copy this file and name the copy with --config.
#
`

// closing has the example close its days, which it does not by itself: it names no key to sign reports with, and dev has one.
func closing(example []byte) []byte {
	const schedule = "- { name: close, job: payouts/close"
	return bytes.Replace(example, []byte("# "+schedule), []byte(schedule), 1)
}

// sandboxValue stands in for a variable of the built-in example. Cielo's have a shape that is checked.
func sandboxValue(name string) string {
	switch name {
	case "CIELO_MERCHANT_ID":
		return "00000000-0000-4000-8000-000000000001"
	case "CIELO_MERCHANT_KEY":
		return strings.Repeat("SANDBOX0", 5)
	default:
		return "sandbox-" + name
	}
}

// devTokens are the actors of dev.json: one of every kind, and a second approver, because some things take two people.
func devTokens(secrets map[string]string) []config.Token {
	all := []string{"*"}
	return []config.Token{
		{Name: "admin", Role: "admin", Tenants: all, Secret: secrets["admin"]},
		{Name: "operator", Role: "operator", Tenants: all, Secret: secrets["operator"]},
		{Name: "approver", Role: "approver", Tenants: all, Secret: secrets["approver"]},
		{Name: "approver2", Role: "approver", Tenants: all, Secret: secrets["approver2"]},
	}
}

// provision makes schemas, roles, tables, streams and consumers, as the installation job does in production.
func (d *dev) provision(ctx context.Context) error {
	passwords := map[string]string{}
	for _, s := range d.Only {
		passwords[s] = d.secrets.Roles[s]
	}
	if err := provision.Database(ctx, d.info.PostgresDSN, passwords); err != nil {
		return err
	}
	return provision.Streams(ctx, process.Server{URL: d.info.NATS.URL, Creds: d.credsOf(stream.Provisioner)}, stream.Options{Replicas: 1})
}
