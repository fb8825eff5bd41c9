package dev

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/agogopay/agogo/cmd/agogo/internal/provision"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/pg/pgserver"
	"github.com/agogopay/agogo/internal/process"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/stream/natsserver"
	"github.com/agogopay/agogo/internal/telemetry"
	"github.com/agogopay/agogo/services/notifier"
	"github.com/agogopay/agogo/services/payouts"
	"github.com/agogopay/agogo/services/recurrences"
	"github.com/agogopay/agogo/services/scheduler"
	"github.com/agogopay/agogo/simulator"
)

// What parts may take of the time that Ctrl-C may take, so that something is left for Postgres: it comes last.
const (
	servicesBudget  = stopBudget / 2
	simulatorBudget = stopBudget / 5
)

func (d *dev) startPostgres(ctx context.Context) error {
	if d.PostgresDSN != "" {
		d.info.PostgresDSN = d.PostgresDSN
		return nil
	}
	s, err := pgserver.Start(ctx, pgserver.Options{DataDir: filepath.Join(d.DataDir, "postgres"), Logger: d.logger, Progress: d.Progress})
	if err != nil {
		return err
	}
	d.postgres, d.info.PostgresDSN = s, s.DSN()
	return nil
}

func (d *dev) stopPostgres(ctx context.Context) error {
	if d.postgres == nil {
		return nil
	}
	return d.postgres.Stop(ctx)
}

// startNATS runs NATS with its default of syncing to disk every two minutes: what a crash of the machine could take from it
// is still in the outboxes, which keep every message for 72 hours. Production runs three replicas and syncs always.
func (d *dev) startNATS(ctx context.Context) error {
	if d.NATSURL != "" {
		fmt.Fprintf(d.Progress, "connecting to NATS at %s (30 s at most) …\n", d.NATSURL)
		d.info.NATS = NATS{URL: d.NATSURL, Creds: d.NATSCreds}
		return nil
	}
	s, err := natsserver.Start(ctx, natsserver.Options{
		StoreDir: filepath.Join(d.DataDir, "nats"), Port: d.ports.number("nats"), Logger: d.logger, Users: stream.Users(),
	})
	if err != nil {
		return err
	}
	d.nats, d.info.NATS = s, NATS{URL: s.URL(), Creds: s.Creds()}
	return nil
}

// credsOf is how a service is let in: as a user with its own rights, or, at a NATS from elsewhere, as it was given to dev.
func (d *dev) credsOf(user string) string {
	if d.nats == nil {
		return d.NATSCreds
	}
	return d.nats.CredsOf(user)
}

func (d *dev) stopNATS(context.Context) error {
	if d.nats != nil {
		d.nats.Stop()
	}
	return nil
}

// startSimulator serves the outside world on one port; its book survives a restart, as the providers' books would.
func (d *dev) startSimulator(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", d.ports.addr("simulator"))
	if err != nil {
		return err
	}
	d.info.Simulator = "http://" + l.Addr().String()
	sim, err := simulator.New(simulator.Config{BookPath: filepath.Join(d.DataDir, "simulator-book.jsonl"), Clock: d.clock, Logger: d.logger})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d.simulator = &outside{Simulator: sim, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(d.simulator.ended)
		d.simulator.err = sim.Serve(own, l)
	}()
	redirect(d.file, l.Addr().String())
	return nil
}

// outside is the simulated outside world while it is served.
type outside struct {
	*simulator.Simulator
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // of serving; read after ended
}

// stopSimulator does not wait for callers that it keeps waiting on purpose; its book is written before anybody is answered.
func (d *dev) stopSimulator(ctx context.Context) error {
	if d.simulator == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, simulatorBudget)
	defer cancel()
	d.simulator.cancel()
	select {
	case <-d.simulator.ended:
		return d.simulator.err
	case <-ctx.Done():
		return nil
	}
}

// connectCallbacks tells the simulated providers where to post final states to, as is done once at a real provider.
func (d *dev) connectCallbacks(context.Context) error {
	if d.simulator == nil {
		return nil
	}
	_, http := d.addresses()
	for _, t := range d.file.Tenants {
		for _, p := range t.Providers {
			if err := d.connectCallback(http, t.ID, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// connectCallback does so for one provider, if its service runs and callbacks were agreed on.
func (d *dev) connectCallback(http map[string]string, tenant string, p config.Provider) error {
	address := func(service string) string {
		return fmt.Sprintf("http://%s/webhooks/%s/%s/%s", http[service], service, tenant, p.Name)
	}
	switch {
	case p.Kind == "orange_omr" && http["payouts"] != "":
		return d.simulator.SetCallback(simulator.Callback{URL: address("payouts"), Authorization: p.CallbackAuthorization})
	case p.Kind == "mtn_momo" && http["payouts"] != "" && p.CallbackURL != "":
		// Each transfer says where to call back; what it says is a public address, behind which the service listens here.
		return d.simulator.SetMTNCallback(simulator.MTNCallback{Via: "http://" + http["payouts"]})
	case p.Kind == "orange_sonatel" && http["payouts"] != "" && p.CallbackKey != "":
		return d.simulator.SetSonatelCallback(simulator.SonatelCallback{URL: address("payouts"), Key: p.CallbackKey, Secret: p.CallbackSecret})
	case p.Kind == "cielo" && http["recurrences"] != "" && p.WebhookHeader != "":
		return d.simulator.SetWebhook(simulator.Webhook{URL: address("recurrences"), Header: p.WebhookHeader, Value: p.WebhookSecret})
	default:
		return nil
	}
}

// service is what the services have in common.
type service interface {
	Run(ctx context.Context, ready func()) error
	GRPCAddr() string
	HTTPAddr() string
}

// running is a service that was started.
type running struct {
	name   string
	svc    service
	nc     *nats.Conn
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// startServices starts all services side by side and returns when every one is ready.
func (d *dev) startServices(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, len(d.Only))
	d.running = make([]*running, len(d.Only))
	for i, name := range d.Only {
		wg.Go(func() { d.running[i], errs[i] = d.startService(ctx, name) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return errors.Join(err, d.stopServices(context.WithoutCancel(ctx)))
	}
	return nil
}

func (d *dev) startService(ctx context.Context, name string) (*running, error) {
	dsn, err := provision.ServiceDSN(d.info.PostgresDSN, name, d.secrets.Roles[name])
	if err != nil {
		return nil, err
	}
	natsCreds := d.credsOf(name)
	nc, err := process.Connect(ctx, process.Server{URL: d.info.NATS.URL, Creds: natsCreds}, name, d.logger)
	if err != nil {
		return nil, err
	}
	newTelemetry := telemetry.New
	if d.Sealed {
		newTelemetry = telemetry.NewSealed
	}
	tel, err := newTelemetry(ctx, name, d.Log, d.LogTo)
	if err != nil {
		return nil, err
	}
	env := config.Process{
		ConfigPath: d.file.Path, NATSURL: d.info.NATS.URL, NATSCreds: natsCreds, PostgresDSN: dsn,
		GRPCAddr: d.ports.addr(name + ".grpc"), HTTPAddr: d.ports.addr(name + ".http"), Log: d.Log,
	}
	svc, err := d.newService(name, env, nc, tel)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return start(ctx, name, svc, nc)
}

func (d *dev) newService(name string, env config.Process, nc *nats.Conn, tel *telemetry.Telemetry) (service, error) {
	switch name {
	case "scheduler":
		return scheduler.New(scheduler.Config{File: d.file, Process: env}, scheduler.Deps{NATS: nc, Auth: d.auth, Clock: d.clock, Telemetry: tel})
	case "payouts":
		return payouts.New(payouts.Config{File: d.file, Process: env}, payouts.Deps{NATS: nc, Auth: d.auth, Clock: d.clock, Telemetry: tel})
	case "recurrences":
		return recurrences.New(recurrences.Config{File: d.file, Process: env}, recurrences.Deps{NATS: nc, Auth: d.auth, Clock: d.clock, Telemetry: tel})
	case "notifier":
		return notifier.New(notifier.Config{File: d.file, Process: env}, notifier.Deps{NATS: nc, Auth: d.auth, Clock: d.clock, Telemetry: tel})
	default:
		return nil, fmt.Errorf("no service is called %q", name)
	}
}

// start runs a service until its own context ends, and returns when it is ready or has failed.
func start(ctx context.Context, name string, svc service, nc *nats.Conn) (*running, error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &running{name: name, svc: svc, nc: nc, cancel: cancel, done: make(chan struct{})}
	up := make(chan struct{})
	go func() {
		defer close(r.done)
		r.err = svc.Run(own, func() { close(up) })
	}()
	select {
	case <-up:
		return r, nil
	case <-r.done:
		cancel()
		return nil, fmt.Errorf("%s: %w", name, r.err)
	case <-ctx.Done():
		cancel()
		<-r.done
		return nil, ctx.Err()
	}
}

// watch ends the whole process when one part ends by itself: half an installation is worse than none.
func (d *dev) watch(ctx context.Context) error {
	failed := make(chan error, len(d.running))
	for _, r := range d.running {
		go func() {
			<-r.done
			failed <- fmt.Errorf("%s stopped: %w", r.name, cmp.Or(r.err, errByItself))
		}()
	}
	var postgres, simulator <-chan struct{} // nil, and so never ready, where they are not ours
	if d.postgres != nil {
		postgres = d.postgres.Done()
	}
	if d.simulator != nil {
		simulator = d.simulator.ended
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-failed:
		return err
	case <-postgres:
		return fmt.Errorf("postgres stopped: %w", errByItself)
	case <-simulator:
		return fmt.Errorf("simulator stopped: %w", cmp.Or(d.simulator.err, errByItself))
	}
}

var errByItself = errors.New("it ended by itself")

// stopServices stops all services side by side.
func (d *dev) stopServices(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, servicesBudget)
	defer cancel()
	var errs []error
	for _, r := range d.running {
		if r != nil {
			r.cancel()
		}
	}
	for _, r := range d.running {
		if r != nil {
			errs = append(errs, d.stopService(ctx, r))
		}
	}
	return errors.Join(errs...)
}

// stopService waits until a service has stopped. One that waits for a slow provider longer than a person waits after Ctrl-C
// is left where it is: to its work that is what a crash would be, and the next start looks up what became of it.
func (d *dev) stopService(ctx context.Context, r *running) error {
	defer r.nc.Close()
	select {
	case <-r.done:
	case <-ctx.Done():
	}
	select {
	case <-r.done:
	default:
		d.logger.WarnContext(ctx, "dev: stopped in the middle of a service's work; what is open is looked up after the next start", "service", r.name)
		return nil
	}
	if r.err != nil && !errors.Is(r.err, context.Canceled) {
		return fmt.Errorf("%s: %w", r.name, r.err)
	}
	return nil
}

// addresses are where the services listen, by name.
func (d *dev) addresses() (grpc, http map[string]string) {
	grpc, http = map[string]string{}, map[string]string{}
	for _, r := range d.running {
		grpc[r.name], http[r.name] = r.svc.GRPCAddr(), r.svc.HTTPAddr()
	}
	return grpc, http
}
